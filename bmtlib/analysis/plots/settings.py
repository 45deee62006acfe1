"""Before and after: what the director's settings changed, measure by measure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bmtlib.analysis.naming import at_largest, conditions, named, number, ratio_text
from bmtlib.analysis.plots.load import no_case
from bmtlib.analysis.plots.series import all_series
from bmtlib.analysis.plots.style import INK, QUIET, new_figure, nothing_to_show, row_label, sentences, styled
from bmtlib.analysis.settings import df_setting_trials, df_settings
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import done
from bmtlib.texts import msg, say, translated

_AXES = {
    "requests_per_s": msg("requests/s"),
    "wait_p99_ms": msg("99 % waited\nless than, ms"),
    "lost_per_1000": msg("lost per\n1,000 requests"),
}


@styled
def plot_settings(tables: Tables) -> Figure:
    """Requests/s, waits and losses of each setting; dashed: the first setting of the arm, which is what it replaces."""
    title = say("What the director's settings changed")
    table = named(tables, df_settings(tables))
    if not table["value"].gt(0).any():
        varied = say("No arm was measured with two settings of the director (levers, queues, threads).")
        return nothing_to_show(title, varied if len(done(tables)) else no_case())
    table, at = at_largest(table)
    trials = named(tables, df_setting_trials(tables))
    series = list(table["series"].unique())
    bar = say("Bar: 95 % interval.") if table["low"].notna().any() else ""
    measures = {
        name: words for name, words in _AXES.items() if table.loc[table["measure"] == name, "value"].gt(0).any()
    }
    clean = "" if "lost_per_1000" in measures else say("Nothing was lost, or it was not measured.")
    note = sentences(
        say("Dot: one block. Line: median."),
        bar,
        say("Dashed: the arm's first setting."),
        clean,
        at.strip(),
        f"{conditions(tables)}.",
    )
    figure = new_figure(_finding(table, title), note, 0.7 + 0.46 * len(series))
    panels = figure.subplots(1, len(measures), squeeze=False, sharey=True)[0]
    looks = all_series(tables)
    for axes, (measure, words) in zip(panels, measures.items(), strict=True):
        part = table[table["measure"] == measure]
        for y, name in enumerate(series):
            colour = looks[name].colour
            _draw(axes, y, part[part["series"] == name].iloc[0], trials.loc[trials["series"] == name, measure], colour)
        _firsts(axes, part, series)
        ends = [part["high"].max(), trials.loc[trials["series"].isin(series), measure].max()]
        axes.set_xlim(0, 1.08 * np.nanmax([*ends, 0.0]) or 1)
        axes.set_xlabel(translated(words))
        axes.locator_params(axis="x", nbins=3)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if abs(value) >= 10 else f"{value:g}")
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(series)), [row_label(name) for name in series])
    panels[0].set_ylim(len(series) - 0.55, -0.65)
    return figure


def _draw(axes: Axes, y: int, row: pd.Series, dots: pd.Series, colour: tuple[float, float, float]) -> None:
    if np.isfinite(row["low"]):
        ends = [row["low"], row["high"]]
        axes.plot(ends, [y, y], color=colour, alpha=0.35, linewidth=8, solid_capstyle="butt")
    axes.plot(dots, [y] * len(dots), "o", color=colour, markersize=4, markeredgecolor="white", markeredgewidth=0.6)
    if np.isfinite(row["value"]):
        axes.plot([row["value"]] * 2, [y - 0.25, y + 0.25], color=colour, linewidth=2.5)
        # The dashed line of the first setting passes behind the figure.
        look: Any = {"fontsize": 9, "color": INK, "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.6}}
        text = f"{row['value']:,.0f}" if row["value"] >= 10 else number(row["value"])
        axes.annotate(text, (row["value"], y - 0.27), ha="center", va="bottom", **look)
    else:
        axes.text(
            0.02, y, say("not measured"), transform=axes.get_yaxis_transform(), va="center", color=QUIET, fontsize=9
        )


def _firsts(axes: Axes, part: pd.DataFrame, series: list[str]) -> None:
    """A dashed line from each arm's first setting down to its last."""
    firsts = part[part["first"]]
    for i, (_, row) in enumerate(firsts.iterrows()):
        top = series.index(row["series"])
        bottom = series.index(firsts["series"].iloc[i + 1]) if i + 1 < len(firsts) else len(series)
        axes.plot([row["value"]] * 2, [top, bottom - 0.6], color=INK, linewidth=0.9, linestyle=(0, (4, 3)))


def _finding(table: pd.DataFrame, title: str) -> str:
    """Each setting against the first of its arm, those that are decided: by waits where something was lost, for a lost
    packet first lengthens the longest waits; else by requests/s."""
    lossy = table.loc[table["measure"] == "lost_per_1000", "value"].gt(0).any()
    measure = "wait_p99_ms" if lossy else "requests_per_s"
    words = say("99th percentile of the wait") if lossy else say("Requests/s")
    rates = table[table["measure"] == measure]
    parts, undecided = [], 0
    for arm, rows in rates.groupby("arm", sort=False):
        decided = rows[rows["verdict"].isin(("higher", "lower"))]
        undecided += int((~rows["first"]).sum()) - len(decided)
        own = [f"{_setting(row)} {ratio_text(row['ratio'])}" for _, row in decided.iterrows()]
        if own:
            first = _setting(rows[rows["first"]].iloc[0])
            parts.append(say("{arm}: {settings} times {first}", arm=arm, settings=", ".join(own), first=first))
    if not parts:
        return say("No setting is shown to change: {what}", what=words) if undecided else title
    found = f"{words}, {'; '.join(parts)}"
    return say("{found} ({count} more undecided)", found=found, count=undecided) if undecided else found


def _setting(row: pd.Series) -> str:
    return str(row["series"]).partition(", ")[2] or str(row["series"])
