"""What the clients saw: throughput, waits, and how the connections were spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bmtlib.analysis.compare import df_throughput, df_trials, df_wait_curve, df_web_share
from bmtlib.analysis.naming import conditions, named, number, scales, waits_from
from bmtlib.analysis.plots.findings import throughput_finding, waits_finding, web_share_finding
from bmtlib.analysis.plots.levels import Shown, level_figure
from bmtlib.analysis.plots.series import all_series
from bmtlib.analysis.plots.style import (
    QUIET,
    Label,
    beside,
    label_ends,
    label_room,
    lay_out,
    new_figure,
    nothing_to_show,
    panel_grid,
    sentences,
    styled,
    text_colour,
)
from bmtlib.analysis.tables import Tables
from bmtlib.texts import say


def no_case() -> str:
    """Why there is nothing to draw where no case is done."""
    return say("No case is done, so there is nothing to compare.")


@styled
def plot_throughput(tables: Tables) -> Figure:
    """Requests/s by arm: single blocks as dots, median and 95 % interval; over a factor's levels if there is one."""
    table, trials = named(tables, df_throughput(tables)), named(tables, df_trials(tables))
    if table.empty:
        return nothing_to_show(say("Requests/s by arm"), no_case())
    bar = say("Bar: 95 % interval.") if table["low_per_s"].notna().any() else ""
    note = sentences(say("Dot: one block. Line: median."), bar, f"{conditions(tables)}.")
    if not scales(tables):
        figure = new_figure(throughput_finding(tables), note, 0.55 + 0.55 * len(table))
        _throughput_rows(tables, figure.subplots(), table, trials)
        return figure
    shown = Shown(
        value="requests_per_s", low="low_per_s", high="high_per_s", dots="requests_per_s", unit=say("requests/s")
    )
    return level_figure(tables, table, trials, throughput_finding(tables), note, shown)


def _throughput_rows(tables: Tables, axes: Axes, table: pd.DataFrame, trials: pd.DataFrame) -> None:
    series = all_series(tables)
    for y, (_, row) in enumerate(table.iterrows()):
        colour = series[row["series"]].colour
        dots = trials[trials["series"] == row["series"]]
        if np.isfinite(row["low_per_s"]):
            axes.plot(
                [row["low_per_s"], row["high_per_s"]],
                [y, y],
                color=colour,
                alpha=0.35,
                linewidth=9,
                solid_capstyle="butt",
            )
        axes.plot([row["requests_per_s"]] * 2, [y - 0.25, y + 0.25], color=colour, linewidth=2.5)
        axes.plot(
            dots["requests_per_s"], beside(y, len(dots)), "o", color=colour, markersize=5, markeredgecolor="white"
        )
        median = row["requests_per_s"]
        axes.annotate(
            number(median), (median, y - 0.27), ha="center", va="bottom", fontweight="bold", color=text_colour(colour)
        )
    axes.set_yticks(range(len(table)), list(table["series"]), fontsize=10.5)
    axes.set_ylim(len(table) - 0.6, -0.65)
    axes.set_xlim(0, 1.04 * np.nanmax(table[["high_per_s", "max_per_s"]].to_numpy()) or 1)
    axes.set_xlabel(say("requests/s"))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)


_MOST_ROWS = 3  # of panels
_MOST_LINES = 5  # of a panel
_SHORT_NAME = 18  # letters
_FLAT = 40  # longest wait to the shortest median: above, a linear axis shows the longest only
# Percentiles that get a tick. The axis is stretched towards 100 %, where the long waits are.
_TICKS = (50, 90, 99, 99.9, 99.99, 99.999)


@styled
def plot_waits(tables: Tables) -> Figure:
    """What clients waited, by percentile, the rare long waits stretched out; one panel per level of the scales."""
    curve = named(tables, df_wait_curve(tables))
    if curve.empty:
        why = say("No waits were kept.") if len(df_trials(tables)) else no_case()
        return nothing_to_show(say("What clients waited"), why)
    curve, others = _extremes(curve)
    parts, fewer = _parts(list(curve.groupby("scale", sort=False)), abreast := 2 if _short(curve) else 1)
    trials = named(tables, df_trials(tables)).loc[lambda found: found["series"].isin(curve["series"])]
    blocks = say("Dot: 99 % of one block.") if len(trials) > len(curve["series"].unique()) * len(parts) else ""
    pooled = say("{what}, all clients and blocks pooled.", what=waits_from(tables))
    note = sentences(pooled, blocks, others, fewer, f"{conditions(tables)}.")
    figure = new_figure(waits_finding(tables), note, 3.1 * math.ceil(len(parts) / abreast))
    panels = panel_grid(figure, len(parts), abreast)
    drawn = []
    for axes, (title, part) in zip(panels, parts, strict=True):
        axes.set_title(str(title))
        end, labels = _wait_lines(tables, axes, part, _TICKS if min(len(parts), abreast) == 1 else _TICKS[::2])
        if blocks:
            _block_dots(tables, axes, trials[trials["scale"] == title])
        axes.set_xlim(0, 1.02 * end / (1 - label_room([text for _, text, _ in labels], min(len(parts), abreast))))
        drawn.append((end, labels))
    lay_out(figure)
    for axes, (end, labels) in zip(panels, drawn, strict=True):
        label_ends(axes, end, labels)
    return figure


Parts = list[tuple[Any, pd.DataFrame]]


def _short(curve: pd.DataFrame) -> bool:
    """Whether names of arms have room in a panel of half the width."""
    return int(curve["series"].str.len().max()) <= _SHORT_NAME


def _extremes(curve: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Of many arms with settings of their own, those with the shortest and the longest waits of each arm."""
    arms = curve.groupby("series", sort=False)["arm"].first()
    if len(arms) <= _MOST_LINES:
        return curve, ""
    waits = curve[curve["longer_share"] <= 0.01].groupby(["series", "scale"])["wait_ms"].min().groupby("series").max()
    of_arm = waits.groupby(arms)
    chosen = {*of_arm.idxmin(), *of_arm.idxmax()}
    said = say(
        "Of each arm the settings with the longest and the shortest waits; {n} not shown.", n=len(arms) - len(chosen)
    )
    return curve[curve["series"].isin(chosen)], said


def _parts(parts: Parts, abreast: int) -> tuple[Parts, str]:
    """The levels that get a panel, and words for the others."""
    most = _MOST_ROWS * abreast
    if len(parts) <= most:
        return parts, ""

    def apart(curve: pd.DataFrame) -> float:
        waits = curve[curve["longer_share"] <= 0.01].groupby("series")["wait_ms"].min()
        return float(waits.max() / waits.min()) if (waits > 0).all() else 1.0

    ranked = sorted(parts, key=lambda part: apart(part[1]), reverse=True)
    chosen = {title for title, _ in ranked[:most]}
    said = say("Not shown: {n} levels at which arms differ less at 99 %.", n=len(parts) - most)
    return [part for part in parts if part[0] in chosen], said


def _wait_lines(
    tables: Tables, axes: Axes, curve: pd.DataFrame, percents: Sequence[float]
) -> tuple[float, list[Label]]:
    """Draw one panel; where its lines end, and their labels. `percents`: those that the axis has room for."""
    series = all_series(tables)
    end, labels = 1.0, []
    for label, part in curve.groupby("series", sort=False):
        look = series[str(label)]
        # Up to percentile p everybody waited wait_ms or less. The slowest request of n stands at 1 - 1/n, not at 100 %.
        above = np.concatenate([[1.0], part["longer_share"].to_numpy()[:-1]])
        place = -np.log10(above)
        axes.step(place, part["wait_ms"], where="post", color=look.colour, linewidth=2, linestyle=look.dash)
        end = max(end, float(place[-1]))
        labels.append((float(part["wait_ms"].iloc[-1]), look.label, text_colour(look.colour)))
    ticks = [tick for tick in percents if -np.log10(1 - tick / 100) <= end]
    axes.set_xticks([-np.log10(1 - tick / 100) for tick in ticks], [f"{tick:g} %" for tick in ticks])
    _wait_scale(axes, curve, max(1.0, *(wait for wait, *_ in labels)))
    axes.set_xlabel(say("share of requests answered within"))
    axes.set_ylabel(say("wait, ms"))
    axes.grid(axis="both")
    return end, labels


def _block_dots(tables: Tables, axes: Axes, trials: pd.DataFrame) -> None:
    series = all_series(tables)
    for label, part in trials.groupby("series", sort=False):
        look: Any = {"color": series[str(label)].colour, "markersize": 4.5, "markeredgecolor": "white"}
        axes.plot([-np.log10(1 - 0.99)] * len(part), part["wait_p99_ms"], "o", zorder=3, **look)


def _wait_scale(axes: Axes, curve: pd.DataFrame, longest: float) -> None:
    """From zero; logarithmic where a few very long waits (a lost SYN costs a second) would flatten the rest."""
    usual = curve.loc[curve["longer_share"] <= 0.5].groupby("series")["wait_ms"].min()
    shortest = float(usual[usual > 0].min()) if (usual > 0).any() else longest
    if longest / shortest <= _FLAT:
        axes.set_ylim(0, 1.08 * longest)
        return
    axes.set_yscale("log")
    axes.set_ylim(shortest / 3, 1.6 * longest)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


@styled
def plot_web_share(tables: Tables) -> Figure:
    """Share of the connections that each web host took: one dot per host."""
    table = named(tables, df_web_share(tables)).dropna(subset="share")
    if table.empty:
        why = say("No probe says how many connections each web host took.")
        return nothing_to_show(say("Connections by web host"), why)
    rows = list(table.groupby("series", sort=False))
    hosts = table["host"].nunique()
    if table["scale"].nunique() > 1:
        dot = say("Dot: one of {count} web hosts at one level.", count=hosts)
    else:
        dot = say("Dot: one of {count} web hosts.", count=hosts)
    note = sentences(dot, say("Line: range over blocks. Dashed: an equal share."), f"{conditions(tables)}.")
    figure = new_figure(web_share_finding(tables), note, 0.7 + 0.55 * len(rows))
    axes = figure.subplots()
    series = all_series(tables)
    for y, (label, part) in enumerate(rows):
        shares, places = part["share"] * 100, np.linspace(-0.28, 0.28, len(part)) if len(part) > 1 else np.zeros(1)
        look: Any = {"color": series[str(label)].colour}
        axes.hlines(y + places, part["min_share"] * 100, part["max_share"] * 100, alpha=0.5, linewidth=1.2, **look)
        size = max(3.0, 7.0 - 0.2 * len(part))
        axes.plot(shares, y + places, "o", markersize=size, markeredgecolor="white", markeredgewidth=0.6, **look)
        ends = dict.fromkeys(f"{end:.1f}" for end in (shares.min(), shares.max()))
        end = 100 * part["max_share"].max()
        axes.annotate(f"{'–'.join(ends)} %", (end, y), xytext=(9, 0), textcoords="offset points", va="center")
    fair = 100 * table["fair_share"].iloc[0]
    axes.axvline(fair, color=QUIET, linestyle="--", linewidth=1)
    axes.set_xlim(0, max(2 * fair, 1.25 * 100 * table["max_share"].max()))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [str(label) for label, _ in rows], fontsize=10.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(say("share of the connections, %"))
    axes.grid(axis="x")
    return figure
