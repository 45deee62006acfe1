"""The ratios of the seed study beside those of this run, row by row of its table."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bmtlib.analysis.naming import conditions, level, ratio_text
from bmtlib.analysis.plots.style import FAINT, INK, KIND_COLOURS, QUIET, new_figure, styled, text_colour
from bmtlib.analysis.seed_rows import SAME_SIZE, df_seed_slope
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import done
from bmtlib.texts import say

_ROW_IN = 0.235
_TICKS = (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10)
# Result -> marker of our figure, and whether it is filled.
_MARKERS = {
    "reproduced": ("o", True),
    "not reproduced": ("X", True),
    "undecided": ("o", False),
    "agrees, without interval": ("o", False),
    "disagrees, without interval": ("X", False),
}


@styled
def plot_seed_slope(tables: Tables) -> Figure:
    """A row per row of the study's table: its ratio, ours with its interval, and the way from one to the other."""
    table = df_seed_slope(tables)
    if done(tables).empty:
        note = say("Open square: the study, one run each (2022). No case is done here.")
    elif table["ratio"].isna().all():
        note = say(
            "Open square: the study, one run each (2022); shaded: what would be the same, within {size} times and on "
            "its side of 1. Not measured here (bmt run seed-matrix does): {conditions}.",
            size=SAME_SIZE,
            conditions=conditions(tables),
        )
    else:
        note = say(
            "Open square: the study, one run each (2022); shaded: within {size} times, and on its side of 1. Ours: "
            "disc where it is reproduced, cross where it is not, hollow where it is not decided. Bar: 95 % interval. "
            "{conditions}.",
            size=SAME_SIZE,
            conditions=conditions(tables),
        )
    groups = [(str(arm), int(str(many)), rows) for (arm, many), rows in table.groupby(["arm", "threads"], sort=False)]
    figure = new_figure(_finding(table), note, 0.6 + _ROW_IN * (len(table) + len(groups)))
    axes = figure.subplots()
    _scale(axes, table)
    axes.axvline(1, color=INK, linewidth=1)
    y, ticks = 0, []
    for arm, threads, rows in groups:
        ticks.append((y, _heading(arm, threads), True))
        for _, row in rows.iterrows():
            y += 1
            _draw(axes, y, row)
            ticks.append((y, say("{count} connections", count=f"{row['concurrency']:,}"), False))
        y += 1
    axes.set_yticks([place for place, _, _ in ticks], [words for _, words, _ in ticks])
    for tick, (_, _, head) in zip(axes.get_yticklabels(), ticks, strict=True):
        tick.set_fontweight("bold" if head else "normal")
    axes.set_ylim(y - 0.4, -0.7)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_xlabel(say("ratio of requests/s"))
    return figure


def _heading(arm: str, threads: int) -> str:
    if arm == "proxy":
        return say("l2dsr / proxy, {threads}", threads=level("threads", threads))
    return say("l2dsr / itself at its lowest")


def _draw(axes: Axes, y: int, row: pd.Series) -> None:
    colour = KIND_COLOURS[str(row["arm"])]
    theirs, mine = row["seed_ratio"], row["ratio"]
    axes.barh(y, theirs * SAME_SIZE - theirs / SAME_SIZE, left=theirs / SAME_SIZE, height=0.62, color=FAINT, zorder=0.5)
    if np.isfinite(mine):
        axes.plot([theirs, mine], [y, y], color=colour, linewidth=1, zorder=2)
        if np.isfinite(row["low"]):
            ends = [row["low"], row["high"]]
            axes.plot(ends, [y, y], color=colour, alpha=0.4, linewidth=5, solid_capstyle="butt", zorder=2.5)
        marker, filled = _MARKERS[str(row["result"])]
        face = colour if filled else "white"
        axes.plot(mine, y, marker, color=colour, markersize=7, markerfacecolor=face, markeredgewidth=1.3, zorder=4)
    axes.plot(theirs, y, "s", color=QUIET, markersize=5, markerfacecolor="white", markeredgewidth=1.2, zorder=3)
    text = ratio_text(theirs)
    if np.isfinite(mine):
        text = f"{text} → {ratio_text(mine, row['low'], row['high'])}"
    ink = text_colour(to_rgb(colour)) if np.isfinite(mine) else QUIET
    axes.annotate(text, (1.01, y), xycoords=("axes fraction", "data"), color=ink, fontsize=9, va="center")


def _scale(axes: Axes, table: pd.DataFrame) -> None:
    ends = table[["seed_ratio", "ratio", "low", "high"]].to_numpy("float64").ravel()
    seed = table["seed_ratio"].to_numpy("float64")
    values = np.concatenate([ends[np.isfinite(ends) & (ends > 0)], seed / SAME_SIZE, seed * SAME_SIZE, [1.0]])
    low, high = values.min() / 1.08, values.max() * 1.08
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in _TICKS if low <= tick <= high]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _finding(table: pd.DataFrame) -> str:
    """How many rows were reproduced; neutral where none was decided."""
    counts = table["result"].value_counts()
    words = {
        "reproduced": int(counts.get("reproduced", 0)),
        "not_reproduced": int(counts.get("not reproduced", 0)),
        "measured": int(table["ratio"].notna().sum()),
        "total": len(table),
    }
    if not words["measured"]:
        return say("No row of the study's table was measured here: the {total} ratios of the study", **words)
    if not words["reproduced"] + words["not_reproduced"]:
        return say("The study's ratios beside ours: of {measured} rows measured none is decided", **words)
    return say(
        "Of {measured} ratios of the study measured here {reproduced} are reproduced, {not_reproduced} are not", **words
    )
