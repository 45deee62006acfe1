"""What the explorer draws: a row per series, or lines over the levels of a factor; a panel per level of another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bmtlib.analysis.explore import (
    ARM,
    BLOCK,
    View,
    all_series_names,
    df_explored,
    df_explored_trials,
    levels,
    series_names,
)
from bmtlib.analysis.explore_words import column_words, finding, held_words, metric_words, too_much
from bmtlib.analysis.naming import conditions, level, number
from bmtlib.analysis.plots.series import Series
from bmtlib.analysis.plots.style import (
    KIND_COLOURS,
    Label,
    label_ends,
    label_room,
    lay_out,
    new_figure,
    nothing_to_show,
    panel_grid,
    shade,
    styled,
    text_colour,
)
from bmtlib.analysis.tables import Tables
from bmtlib.texts import say

_DASHES = ("-", "--", "-.", ":")


@styled
def plot_explored(tables: Tables, view: View) -> Figure:
    """A view of `explore`: single blocks as dots, and their median with 95 % interval unless trials are shown."""
    trials, table = df_explored_trials(tables, view), df_explored(tables, view)
    if trials.empty:
        return nothing_to_show(finding(tables, view), say("No case that is done has this figure."))
    if why := too_much(tables, view):
        return nothing_to_show(finding(tables, view), why)
    looks = _looks(all_series_names(tables, view))
    trials = trials.assign(series=series_names(tables, view, trials))
    table = table.assign(series=series_names(tables, view, table))
    parts = list(_parts(tables, view, trials, table))
    rows = max(part["series"].nunique() for _, part, _ in parts)
    body = (0.55 + 0.42 * rows if view.x == ARM else 3.1) * -(-len(parts) // 2) + (0.25 if len(parts) > 1 else 0)
    figure = new_figure(finding(tables, view), _note(tables, view, table), body)
    panels, drawn = panel_grid(figure, len(parts)), []
    for axes, (heading, dots, middle) in zip(panels, parts, strict=True):
        axes.set_title(heading)
        if view.x == ARM:
            _rows(axes, looks, dots, middle, view)
        else:
            end, labels = _lines(tables, axes, looks, dots, middle, view)
            room = label_room([text for _, text, _ in labels], len(panels))
            axes.set_xlim(-0.3, -0.3 + (end + 0.4) / (1 - room))
            drawn.append((axes, end, labels))
    lay_out(figure)
    for axes, end, labels in drawn:
        label_ends(axes, end, labels)
    return figure


def _looks(kinds: Mapping[str, str]) -> dict[str, Series]:
    """Colour and line of each series: shades of its kind's colour."""
    found = {}
    for kind in dict.fromkeys(kinds.values()):
        own = [label for label, of in kinds.items() if of == kind]
        for place, label in enumerate(own):
            colour, dash = shade(KIND_COLOURS.get(kind, "#222222"), place, len(own)), _DASHES[place % len(_DASHES)]
            found[label] = Series(label=label, kind=kind, colour=colour, dash=dash)
    return found


def _note(tables: Tables, view: View, table: pd.DataFrame) -> str:
    """How to read the figure, and under which conditions it holds."""
    parts = [say("Dot: one case.")]
    if view.x == BLOCK:
        parts = [say("Dot: one case; blocks in the order in which they were measured.")]
    elif view.trials:
        parts += [say("Thin line: the cases of one block.")] if view.x != ARM else []
    else:
        parts += [say("Line: median over blocks.")]
        parts += [say("Bar: 95 % interval.")] if table["low"].notna().any() else []
    if view.x not in (ARM, BLOCK) and table[view.x].isna().any():
        parts.append(say("Dotted across: an arm without this factor."))
    if held := held_words(tables, view):
        parts.append(say("Held at {levels}.", levels=held))
    return " ".join([*parts, f"{conditions(tables)}."])


def _parts(
    tables: Tables, view: View, trials: pd.DataFrame, table: pd.DataFrame
) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """Heading, cases and summary of each panel. An arm that has not the factor of the split is in every panel."""
    if not view.split:
        yield "", trials, table
        return
    for value in levels(tables, view.split):
        dots, middle = (part[part[view.split].isna() | (part[view.split] == value)] for part in (trials, table))
        if dots[view.split].notna().any():
            yield level(view.split, value), dots, middle


def _rows(axes: Axes, looks: Mapping[str, Series], trials: pd.DataFrame, table: pd.DataFrame, view: View) -> None:
    """One row per series, values along x."""
    names = list(dict.fromkeys(trials["series"]))
    for y, name in enumerate(names):
        colour, dots = looks[name].colour, trials.loc[trials["series"] == name, view.metric]
        if not view.trials:
            row = table[table["series"] == name].iloc[0]
            if np.isfinite(row["low"]):
                look: Any = {"color": colour, "alpha": 0.35, "linewidth": 9, "solid_capstyle": "butt"}
                axes.plot([row["low"], row["high"]], [y, y], **look)
            middle = row[view.metric]
            axes.plot([middle] * 2, [y - 0.25, y + 0.25], color=colour, linewidth=2.5)
            look = {"ha": "center", "va": "bottom", "fontweight": "bold", "color": text_colour(colour)}
            if middle > 0 or not view.log:
                axes.annotate(number(middle), (middle, y - 0.27), **look)
        # Blocks of single cases lie one below the other, in their order.
        places = np.linspace(y - 0.22, y + 0.22, len(dots)) if view.trials and len(dots) > 1 else [y] * len(dots)
        axes.plot(dots, places, "o", color=colour, markersize=5, markeredgecolor="white")
    axes.set_yticks(range(len(names)), names, fontsize=10)
    axes.set_ylim(len(names) - 0.5, -0.7)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(metric_words(view.metric))
    axes.grid(axis="x")
    _scale(axes, "x", _all_values(trials, table, view), view.log)


def _lines(
    tables: Tables, axes: Axes, looks: Mapping[str, Series], trials: pd.DataFrame, table: pd.DataFrame, view: View
) -> tuple[int, list[Label]]:
    """Lines over the levels of x; the place of the last level, and the labels that belong to the ends of the lines."""
    steps = sorted(trials[BLOCK].unique()) if view.x == BLOCK else levels(tables, view.x)
    place = {value: i for i, value in enumerate(steps)}
    end, labels = len(steps) - 1, []
    for name in dict.fromkeys(trials["series"]):
        look, dots = looks[name], trials[trials["series"] == name]
        if view.x != BLOCK and dots[view.x].isna().all():
            last = _across(axes, look, dots, table[table["series"] == name], end, view)
        elif view.trials or view.x == BLOCK:
            last = _single(axes, look, dots, place, view)
        else:
            last = _middle(axes, look, dots, table[table["series"] == name], place, view)
        if np.isfinite(last) and (last > 0 or not view.log):
            labels.append((last, look.label, text_colour(look.colour)))
    names = [str(value) if view.x == BLOCK else level(view.x, value) for value in steps]
    names = [re.sub(r"^concurrency | (tuning|threads?|queues?|requests/s)$", "", name) for name in names]
    axes.set_xticks(range(len(steps)), names)
    if max(map(len, names)) * len(names) > (70 if not view.split else 34):
        axes.tick_params(axis="x", labelrotation=30)
    axes.set_xlabel(column_words(view.x))
    axes.set_ylabel(metric_words(view.metric))
    axes.grid(axis="y")
    _scale(axes, "y", _all_values(trials, table, view), view.log)
    return end, labels


def _middle(
    axes: Axes, look: Series, dots: pd.DataFrame, table: pd.DataFrame, place: Mapping[Any, int], view: View
) -> float:
    table = table.sort_values(view.x, key=lambda values: values.map(place))
    at = [place[value] for value in table[view.x]]
    axes.plot(at, table[view.metric], color=look.colour, linewidth=2, linestyle=look.dash)
    axes.vlines(at, table["low"], table["high"], color=look.colour, alpha=0.35, linewidth=6)
    _dots(axes, look, [place[value] for value in dots[view.x]], dots[view.metric])
    return float(table[view.metric].iloc[-1])


def _single(axes: Axes, look: Series, dots: pd.DataFrame, place: Mapping[Any, int], view: View) -> float:
    """The cases of a block joined; over blocks all of them."""
    for _, part in [("", dots)] if view.x == BLOCK else dots.groupby(BLOCK):
        part = part.sort_values(view.x, key=lambda values: values.map(place))
        at = [place[value] for value in part[view.x]]
        axes.plot(at, part[view.metric], color=look.colour, linewidth=0.8, alpha=0.7, linestyle=look.dash)
    _dots(axes, look, [place[value] for value in dots[view.x]], dots[view.metric])
    last = dots.loc[dots[view.x].map(place) == max(place[value] for value in dots[view.x]), view.metric]
    return float(last.median())


def _across(axes: Axes, look: Series, dots: pd.DataFrame, table: pd.DataFrame, end: int, view: View) -> float:
    """An arm that has not the factor along x: the same at all of its levels."""
    if view.trials:
        for value in dots[view.metric]:
            axes.plot([-0.2, end], [value, value], color=look.colour, linewidth=0.8, linestyle=":")
        return float(dots[view.metric].median())
    row = table.iloc[0]
    axes.plot([-0.2, end], [row[view.metric]] * 2, color=look.colour, linewidth=2, linestyle=":")
    if np.isfinite(row["low"]):
        axes.fill_between([-0.2, end], row["low"], row["high"], color=look.colour, alpha=0.12, linewidth=0)
    _dots(axes, look, [-0.2] * len(dots), dots[view.metric])
    return float(row[view.metric])


def _dots(axes: Axes, look: Series, at: Sequence[float], values: pd.Series) -> None:
    axes.plot(at, values, "o", color=look.colour, markersize=4, markeredgecolor="white", markeredgewidth=0.6)


def _all_values(trials: pd.DataFrame, table: pd.DataFrame, view: View) -> np.ndarray:
    ends = [] if view.trials or view.x == BLOCK else [table["high"], table["low"]]
    return pd.concat([trials[view.metric], *ends]).dropna().to_numpy("float64")


def _scale(axes: Axes, along: str, values: np.ndarray, log: bool) -> None:
    """From zero, or logarithmic when that was asked for and there is something above zero."""
    limits, axis = (axes.set_xlim, axes.xaxis) if along == "x" else (axes.set_ylim, axes.yaxis)
    positive = values[values > 0]
    if log and len(positive):
        (axes.set_xscale if along == "x" else axes.set_yscale)("log")
        limits(positive.min() / 1.4, positive.max() * 1.4)
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if positive.max() < 100 * positive.min() else (1,)))
        axis.set_minor_formatter(NullFormatter())
    else:
        limits(0, 1.06 * values.max() or 1)
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1000 else f"{value:g}"))
