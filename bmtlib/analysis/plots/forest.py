"""Every ratio of two arms on one axis, with its interval and its single blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bmtlib.analysis.forest import df_forest, df_ratio_blocks
from bmtlib.analysis.naming import conditions, level, ratio_text
from bmtlib.analysis.plots.findings import pair_text
from bmtlib.analysis.plots.load import no_case
from bmtlib.analysis.plots.series import all_series
from bmtlib.analysis.plots.style import FAINT, INK, QUIET, Colour, new_figure, nothing_to_show, styled, text_colour
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import done
from bmtlib.texts import say

_ROW_IN = 0.26
# Ticks of a logarithmic axis of ratios: those within the data are taken.
_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
_BETWEEN = (0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.5, 1.7)
_FARTHEST = 10.0  # a ratio beyond, or below its inverse, is a triangle at the end of the axis
_NARROW = 3.0  # highest by lowest figure, up to which the ticks between are taken


@dataclass(frozen=True, kw_only=True)
class _Line:
    """One line of the figure: the name of a measure, a ratio, or how many are folded away."""

    label: str
    row: pd.Series | None = None
    head: bool = False


@styled
def plot_ratio_forest(tables: Tables) -> Figure:
    """A row per measure, pair and level: median and interval over blocks, single blocks as dots, a line at 1."""
    table = df_forest(tables)
    if table.empty:
        none = say("No block has both of the arms to compare.")
        return nothing_to_show(say("Ratios between the arms"), none if len(done(tables)) else no_case())
    lines = list(_lines(tables, table))
    interval = say("Bar: 95 % interval.") if table["low"].notna().any() else say("Too few blocks for an interval.")
    drawn = [line.row for line in lines if line.row is not None]
    low, high = _ends(pd.DataFrame(drawn))
    notes = [say("Dot: one block. Diamond: median, hollow where it is undecided."), interval]
    if any(row["verdict"] == "undecided" and row["marked"] for row in drawn):
        notes.append(say("Hollow, and the bar apart from 1: marks of guards leave it open."))
    if any(not low <= row["ratio"] <= high for row in drawn):
        notes.append(say("Triangle: beyond the axis."))
    note = f"{' '.join(notes)} {conditions(tables)}."
    figure = new_figure(_finding(tables), note, 0.55 + _ROW_IN * len(lines))
    axes = figure.subplots()
    blocks, series = df_ratio_blocks(tables), all_series(tables)
    _scale(axes, low, high)
    axes.axvline(1, color=INK, linewidth=1)
    for y, line in enumerate(lines):
        if line.row is not None:
            _draw(
                axes, y, line.row, _blocks_of(tables, blocks, line.row), series[pair_text(tables, line.row)[0]].colour
            )
        elif not line.head:
            axes.axhline(y, color=FAINT, linewidth=0.7, linestyle=":")
    _labels(axes, lines)
    pairs = {(row["arm"], row["against"]) for row in drawn}
    if len(pairs) == 1:
        arm, against = pairs.pop()
        axes.set_xlabel(say("{arm} / {against}, times (CPU and bytes per request)", arm=arm, against=against))
    else:
        axes.set_xlabel(say("the first / the second, times (CPU and bytes per request)"))
    return figure


def _lines(tables: Tables, table: pd.DataFrame) -> Iterator[_Line]:
    """Measures as heads of their rows; a measure with one row is its own label."""
    pairs = table[["arm", "against"]].drop_duplicates()
    for measure, part in table.groupby("measure", sort=False):
        words = _words(str(measure))
        shown = part[part["place"].notna()].sort_values("place")
        if len(part) == 1 and len(pairs) == 1:
            yield _Line(label=words, row=shown.iloc[0])
            continue
        yield _Line(label=words, head=True)
        before = -1
        for _, row in shown.iterrows():
            if row["place"] > before + 1:
                yield _Line(label=_folded(part))
            before = row["place"]
            yield _Line(label=_label(tables, row, len(pairs) > 1), row=row)


def _words(measure: str) -> str:
    return {
        "requests_per_s": say("requests/s"),
        "director_cpu_us": say("director CPU"),
        "director_bytes": say("bytes through the director"),
        "wait_p99_ms": say("wait, 99th percentile"),
    }[measure]


def _folded(part: pd.DataFrame) -> str:
    between = part[part["place"].isna()]
    counts = between["verdict"].value_counts()
    return say(
        "… {count} between: {higher} higher, {undecided} undecided, {lower} lower",
        count=len(between),
        **{word: int(counts.get(word, 0)) for word in ("higher", "undecided", "lower")},
    )


def _label(tables: Tables, row: pd.Series, pairs: bool) -> str:
    levels = ", ".join(level(column, row[column]) for column in tables.factors if pd.notna(row[column]))
    if not pairs:
        return levels
    arm, against = row["arm"], row["against"]
    return f"{arm} / {against}, {levels}" if levels else f"{arm} / {against}"


def _blocks_of(tables: Tables, blocks: pd.DataFrame, row: pd.Series) -> pd.DataFrame:
    for name in ("measure", "arm", "against", *tables.factors):
        blocks = blocks[blocks[name].isna() if pd.isna(row[name]) else (blocks[name] == row[name]).fillna(False)]
    return blocks


def _draw(axes: Axes, y: int, row: pd.Series, dots: pd.DataFrame, colour: Colour) -> None:
    if np.isfinite(row["low"]):
        axes.plot([row["low"], row["high"]], [y, y], color=colour, alpha=0.4, linewidth=5, solid_capstyle="butt")
    axes.plot(dots["ratio"], [y + 0.3] * len(dots), "o", color=colour, markersize=2.6, alpha=0.8)
    decided = row["verdict"] != "undecided"
    face = colour if decided else "white"
    low, high = axes.get_xlim()
    marker = "<" if row["ratio"] < low else ">" if row["ratio"] > high else "D"
    at = min(max(row["ratio"], low * 1.06), high / 1.06)
    axes.plot(at, y, marker, color=colour, markersize=6, markerfacecolor=face, markeredgewidth=1.4)
    text = ratio_text(row["ratio"], row["low"], row["high"])
    axes.annotate(
        text,
        (1.01, y),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=9,
        color=text_colour(colour) if decided else QUIET,
        fontweight="bold" if decided else "normal",
    )


def _labels(axes: Axes, lines: list[_Line]) -> None:
    axes.set_yticks(range(len(lines)), [line.label for line in lines])
    for tick, line in zip(axes.get_yticklabels(), lines, strict=True):
        tick.set_fontweight("bold" if line.head else "normal")
        if line.row is None and not line.head:
            tick.set_color(QUIET)
            tick.set_fontsize(9)
    axes.set_ylim(len(lines) - 0.4, -0.7)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")


def _ends(drawn: pd.DataFrame) -> tuple[float, float]:
    """Of the axis: all that is drawn, but no further from 1 than what leaves ratios near it room."""
    shown = drawn[["ratio", "low", "high", "min", "max"]].to_numpy("float64").ravel()
    values = np.clip(shown[np.isfinite(shown) & (shown > 0)], 1 / _FARTHEST, _FARTHEST)
    values = np.append(values, 1.0)
    return float(values.min()) / 1.12, float(values.max()) * 1.12


def _scale(axes: Axes, low: float, high: float) -> None:
    """Logarithmic: half as much and twice as much lie equally far from 1."""
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    ticks = [tick for tick in (_BETWEEN if high / low < _NARROW else _TICKS) if low <= tick <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _finding(tables: Tables) -> str:
    """What is decided, measure by measure; no more than the verdicts."""
    table = df_forest(tables)
    pairs = table[["arm", "against"]].drop_duplicates()
    found = []
    for measure, part in table.groupby("measure", sort=False):
        counts = part["verdict"].value_counts()
        words = {"measure": _words(str(measure)), "total": len(part)}
        words |= {word: int(counts.get(word, 0)) for word in ("higher", "lower", "undecided")}
        if words["higher"] == len(part):
            found.append(say("{measure} higher", **words))
        elif words["lower"] == len(part):
            found.append(say("{measure} lower", **words))
        elif words["undecided"] == len(part):
            found.append(say("{measure} undecided", **words))
        else:
            found.append(say("{measure} higher at {higher}, lower at {lower} of {total}", **words))
    sides = say(" and ").join(f"{row.arm} / {row.against}" for row in pairs.head(2).itertuples())
    if len(pairs) > 2:
        sides = say("{count} pairs of arms", count=len(pairs))
    if (table["verdict"] == "undecided").all():
        return say("{pairs}: no difference shown", pairs=sides)
    return say("{pairs}: {found}", pairs=sides, found="; ".join(found))
