"""How the load went while it ran: answers per second and waits, second by second."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from bmtlib.analysis.naming import at_largest, conditions, in_sentence, named, percent, wait_text, waits_from
from bmtlib.analysis.over_time import df_rate_over_time, df_waits_over_time
from bmtlib.analysis.plots.load import no_case
from bmtlib.analysis.plots.series import Series, all_series
from bmtlib.analysis.plots.style import (
    Label,
    label_ends,
    label_room,
    lay_out,
    new_figure,
    nothing_to_show,
    panel_grid,
    panel_title,
    styled,
    text_colour,
)
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import done
from bmtlib.texts import say

_TOGETHER = 4  # arms whose lines can be told apart in one panel
_MOST_PANELS = 8
_NAMED = 4  # arms that a heading has room for
_LINES = {"p50_ms": "50 %", "p90_ms": "90 %", "p99_ms": "99 %"}


@styled
def plot_rate_over_time(tables: Tables) -> Figure:
    """Requests/s, second by second: a line per block, their median and its interval; many arms have a panel each."""
    title = say("Requests/s while the load ran")
    table = named(tables, df_rate_over_time(tables))
    if table.empty:
        return nothing_to_show(title, _why(tables))
    table, at = at_largest(table)
    middle = table[table["block"].isna()]
    steadiness = _slowest(table)
    chosen, left_out = _chosen(steadiness.sort_values(), list(middle["series"].unique()))
    note = _note(
        tables,
        say("Thin: one block. Line: median."),
        say("Band: 95 % interval.") if middle["low_per_s"].notna().any() else "",
        say("With ab a change is blurred over one second.") if _by_ab(tables) else "",
        at.strip(),
        say("Not shown, because steadier: {n}.", n=left_out) if left_out else "",
    )
    together = len(chosen) <= _TOGETHER
    figure = new_figure(_rate_finding(table), note, 3.2 if together else 0.3 + 1.75 * -(-len(chosen) // 2))
    panels = [figure.subplots()] * len(chosen) if together else panel_grid(figure, len(chosen))
    looks, drawn, top = all_series(tables), [], 0.0
    for axes, name in zip(panels, chosen, strict=True):
        part = table[table["series"] == name]
        drawn.append((axes, _rate_line(axes, part, looks[name])))
        highest = float(part["per_s"].max())
        top = max(top, highest, min(float(np.nan_to_num(part["high_per_s"]).max()), 1.5 * highest))
    for axes in dict.fromkeys(panels):
        axes.set_ylim(0, 1.12 * top or 1)
        _seconds_axis(axes, float(np.ceil(table["time_s"].max())), chosen if together else [])
        axes.yaxis.set_major_formatter("{x:,.0f}")
    if together:
        panels[0].set_xlabel(say("seconds of load"))
        panels[0].set_ylabel(say("requests/s"))
        lay_out(figure)
        label_ends(panels[0], max(x for _, (x, _) in drawn), [label for _, (_, label) in drawn])
    else:
        _panel_labels(panels, chosen, say("requests/s"))
    return figure


def _rate_line(axes: Axes, part: pd.DataFrame, look: Series) -> tuple[float, Label]:
    """Where the line of an arm ends, and its label there."""
    middle = part[part["block"].isna()]
    x = middle["time_s"].to_numpy("float64")
    axes.fill_between(x, middle["low_per_s"], middle["high_per_s"], color=look.colour, alpha=0.15, linewidth=0)
    for _, block in part[part["block"].notna()].groupby("block"):
        axes.plot(block["time_s"], block["per_s"], color=look.colour, linewidth=0.8, alpha=0.7)
    marker: dict[str, Any] = {"marker": "o", "markersize": 3.5} if len(x) < 30 else {}
    axes.plot(x, middle["per_s"], color=look.colour, linewidth=2.2, **marker)
    return float(x[-1]), (float(middle["per_s"].iloc[-1]), look.label, text_colour(look.colour))


@styled
def plot_waits_over_time(tables: Tables) -> Figure:
    """Percentiles of the waits, second by second, pooled over all blocks; dots: of single blocks; a panel per arm."""
    title = say("What clients waited while the load ran")
    table = named(tables, df_waits_over_time(tables))
    if table.empty:
        return nothing_to_show(title, _why(tables))
    table, at = at_largest(table)
    pooled = table[table["block"].isna()]
    worst = pooled.groupby("series", sort=False)["p99_ms"].max().sort_values(ascending=False)
    chosen, left_out = _chosen(worst, list(pooled["series"].unique()))
    note = _note(
        tables,
        say("{what}, by the second of its begin, all clients and blocks pooled.", what=waits_from(tables)),
        say("Dot: 99 % of one block."),
        at.strip(),
        say("Not shown, because their waits are shorter: {n}.", n=left_out) if left_out else "",
    )
    abreast = len(chosen) if len(chosen) <= 3 else 2
    rows = -(-len(chosen) // abreast)
    figure = new_figure(_waits_finding(tables, pooled, title), note, 0.5 + 2.1 * rows)
    grid = list(figure.subplots(rows, abreast, squeeze=False, sharex=True, sharey=True).flat)
    for axes in grid[len(chosen) :]:
        axes.set_visible(False)
    panels, looks = grid[: len(chosen)], all_series(tables)
    drawn = [
        _wait_bands(axes, table[table["series"] == name], looks[name])
        for axes, name in zip(panels, chosen, strict=True)
    ]
    seconds = float(np.ceil(table["time_s"].max()))
    _seconds_axis(panels[0], seconds, list(_LINES.values()), panels=abreast)
    shown = table.loc[table["series"].isin(chosen), list(_LINES)].to_numpy("float64")
    if np.isfinite(shown).any() and np.nanmax(shown) > 0:
        positive = shown[shown > 0]
        panels[0].set_yscale("log")
        panels[0].set_ylim(np.nanmin(positive) / 1.4, np.nanmax(positive) * 1.4)
        panels[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panels[0].yaxis.set_minor_formatter(NullFormatter())
        panels[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    _panel_labels(panels, chosen, say("wait, ms"), abreast)
    lay_out(figure)
    for axes, (end, labels) in zip(panels, drawn, strict=True):
        label_ends(axes, end, labels)
    return figure


def _wait_bands(axes: Axes, part: pd.DataFrame, look: Series) -> tuple[float, list[Label]]:
    pooled = part[part["block"].isna()]
    x = pooled["time_s"].to_numpy("float64")
    axes.fill_between(x, pooled["p50_ms"], pooled["p99_ms"], color=look.colour, alpha=0.2, linewidth=0)
    labels: list[Label] = []
    for (column, text), width in zip(_LINES.items(), (2.2, 1.4, 2.2), strict=True):
        axes.plot(x, pooled[column], color=look.colour, linewidth=width)
        known = pooled[column].dropna()
        if len(known):
            labels.append((float(known.iloc[-1]), text, text_colour(look.colour)))
    blocks = part[part["block"].notna()]
    axes.plot(
        blocks["time_s"],
        blocks["p99_ms"],
        "o",
        color=look.colour,
        markersize=3.2,
        markeredgecolor="white",
        markeredgewidth=0.5,
    )
    axes.grid(axis="y")
    return float(x[-1]), labels


def _seconds_axis(axes: Axes, seconds: float, labels: list[str], panels: int = 1) -> None:
    """From the start of the load, with room for labels behind its end."""
    room = label_room(labels, panels) if labels else 0.02
    axes.set_xlim(0, seconds / (1 - room))
    axes.set_xticks([tick for tick in MaxNLocator(6, integer=True).tick_values(0, seconds) if 0 <= tick <= seconds])
    axes.grid(axis="y")


def _panel_labels(panels: list[Axes], names: list[str], unit: str, abreast: int = 2) -> None:
    for i, (axes, name) in enumerate(zip(panels, names, strict=True)):
        panel_title(axes, name, abreast)
        if i % abreast == 0:
            axes.set_ylabel(unit)
        if i >= len(panels) - abreast:
            axes.set_xlabel(say("seconds of load"))
            axes.tick_params(labelbottom=True)


def _chosen(ranked: pd.Series, order: list[str]) -> tuple[list[str], int]:
    """The most interesting arms, in the order in which they are shown, and how many are left out."""
    first = {str(name) for name in ranked.index[:_MOST_PANELS]}
    return [name for name in order if name in first], max(0, len(ranked) - _MOST_PANELS)


def _slowest(table: pd.DataFrame) -> pd.Series:
    """Of each arm, the slowest second of a block against the mean one of that block."""
    rates = table[table["block"].notna()].groupby(["series", "block"], sort=False)["per_s"]
    share = (rates.min() / rates.mean().replace(0, np.nan)).fillna(1.0)
    return share.groupby("series", sort=False).min()


def _rate_finding(table: pd.DataFrame) -> str:
    found = _slowest(table)
    if len(found) > _NAMED:
        return say(
            "The slowest second of a block had, of its mean one, {low} ({arm}) to {high} of the requests/s",
            low=percent(float(found.min())),
            arm=in_sentence(str(found.idxmin())),
            high=percent(float(found.max())),
        )
    parts = ", ".join(f"{in_sentence(str(name))} {percent(float(share))}" for name, share in found.items())
    return say("Requests/s in the slowest second of a block, of its mean one: {parts}", parts=parts)


def _waits_finding(tables: Tables, pooled: pd.DataFrame, title: str) -> str:
    known = pooled.dropna(subset="p99_ms").groupby("series", sort=False)["p99_ms"]
    if not len(known) or len(known) > _NAMED:
        return title
    ends = known.agg(["min", "max"])
    parts = ", ".join(
        f"{in_sentence(str(name))} {_from_to(wait_text(tables, low), wait_text(tables, high))}"
        for name, (low, high) in zip(ends.index, ends.to_numpy("float64"), strict=True)
    )
    return say("99 of 100 requests were answered within, second by second: {parts}", parts=parts)


def _from_to(low: str, high: str) -> str:
    return high if low == high else say("{low} to {high}", low=low.removesuffix(" ms"), high=high)


def _by_ab(tables: Tables) -> bool:
    return bool((tables.cases["load_engine"] == "ab").any())


def _note(tables: Tables, *sentences: str) -> str:
    return " ".join([*filter(None, sentences), f"{conditions(tables)}."])


def _why(tables: Tables) -> str:
    if done(tables).empty:
        return no_case()
    if (tables.cases["load_engine"] == "wrk").all():
        return say("wrk does not tell when a request was made.")
    return say("No load lasted three seconds, or no client kept its requests.")
