"""A figure over the levels of a factor: the factor along x, a line per arm, a panel per level of a second factor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bmtlib.analysis.naming import bare_level, level, scales
from bmtlib.analysis.plots.series import all_series
from bmtlib.analysis.plots.style import (
    QUIET,
    Label,
    label_ends,
    label_room,
    lay_out,
    new_figure,
    panel_grid,
    text_colour,
)
from bmtlib.analysis.tables import Tables
from bmtlib.texts import msg, say, translated

_PANEL_IN = 3.3
_MOST_PANELS = 6
_TICK_IN = 0.62  # what the name of a level needs
_SCALE_NAMES = {
    "file_size_bytes": msg("file size"),
    "concurrency": msg("concurrency"),
    "offered_per_s": msg("offered requests/s"),
}
_LOG_FROM = 10.0  # ratio of largest to smallest value from which on a linear axis would flatten the small ones


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Which columns are drawn: `value` as a line, `low` and `high` as its interval, `dots` (of df_trials) by block.

    `reference`: a column that is much the same for all arms, drawn once as a quiet line named `reference_label`.
    """

    value: str
    dots: str
    unit: str
    low: str | None = None
    high: str | None = None
    reference: str | None = None
    reference_label: str = ""


def level_figure(
    tables: Tables, table: pd.DataFrame, trials: pd.DataFrame, title: str, note: str, shown: Shown
) -> Figure:
    """`table` (of a df_x) and `trials` (df_trials), both with the columns of `naming.named`, over the first scale."""
    along = scales(tables)
    parts = list(_parts(table, along))
    if len(parts) > _MOST_PANELS:
        kept = np.unique(np.linspace(0, len(parts) - 1, _MOST_PANELS).round().astype(int))
        note = say("{note} Panels: {shown} of {all} levels.", note=note, shown=len(kept), all=len(parts))
        parts = [parts[i] for i in kept]
    figure = new_figure(title, note, _PANEL_IN * -(-len(parts) // 2))
    panels = panel_grid(figure, len(parts))
    drawn = []
    for axes, (heading, part) in zip(panels, parts, strict=True):
        axes.set_title(heading)
        labels = _draw(tables, axes, along[0], part, trials[trials["scale"].isin(part["scale"])], shown)
        levels = part[along[0]].nunique()
        room = label_room([text for _, text, _ in labels], len(panels))
        axes.set_xlim(-0.3, -0.3 + (levels - 1 + 0.4) / (1 - room))
        each = (6.0 if len(panels) == 1 else 2.7) * (1 - room) / levels
        if each < _TICK_IN:  # no two ticks may run into each other; the last one stays
            places, names = list(axes.get_xticks()), [text.get_text() for text in axes.get_xticklabels()]
            step = int(np.ceil(_TICK_IN / each))
            axes.set_xticks(places[::-step], names[::-step])
        drawn.append((levels - 1, labels))
    lay_out(figure)
    for axes, (end, labels) in zip(panels, drawn, strict=True):
        label_ends(axes, end, labels)
    return figure


def _parts(table: pd.DataFrame, along: list[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    if len(along) < 2:
        yield "", table
        return
    for value, part in table.groupby(along[1], sort=True):
        yield level(along[1], value), part


def _draw(tables: Tables, axes: Axes, x: str, table: pd.DataFrame, trials: pd.DataFrame, shown: Shown) -> list[Label]:
    """Draw one panel; the labels that belong to the ends of its lines."""
    series = all_series(tables)
    levels = sorted(table[x].dropna().unique())
    place = {value: i for i, value in enumerate(levels)}
    labels: list[Label] = []
    if shown.reference is not None:
        same = table.groupby(x)[shown.reference].median()
        axes.plot([place[value] for value in same.index], same, color=QUIET, linewidth=1.2, linestyle=":")
        labels.append((float(same.iloc[-1]), shown.reference_label, (0.4, 0.4, 0.4)))
    for label, part in table.groupby("series", sort=False):
        look, part = series[str(label)], part.sort_values(x)
        at = [place[value] for value in part[x]]
        axes.plot(at, part[shown.value], color=look.colour, linewidth=2, linestyle=look.dash)
        if shown.low is not None:
            axes.vlines(at, part[shown.low], part[shown.high], color=look.colour, alpha=0.35, linewidth=6)
        dots = trials[trials["series"] == label]
        at = [place[value] for value in dots[x]]
        axes.plot(at, dots[shown.dots], "o", color=look.colour, markersize=4, markeredgecolor="white")
        labels.append((float(part[shown.value].iloc[-1]), look.label, text_colour(look.colour)))
    _scale(axes, table, shown)
    axes.set_xticks(range(len(levels)), [_tick(x, value) for value in levels])
    axes.set_xlabel(translated(_SCALE_NAMES[x]))
    axes.set_ylabel(shown.unit)
    axes.grid(axis="y")
    return labels


def _tick(x: str, value: object) -> str:
    return bare_level(x, value)


def _scale(axes: Axes, table: pd.DataFrame, shown: Shown) -> None:
    """Logarithmic where the values lie far apart, else from zero."""
    columns = [name for name in (shown.value, shown.low, shown.high, shown.reference) if name is not None]
    values = table[columns].to_numpy(dtype="float64")
    median = table[shown.value].to_numpy(dtype="float64")
    if np.nanmin(median) > 0 and np.nanmax(median) / np.nanmin(median) > _LOG_FROM:
        axes.set_yscale("log")
        axes.set_ylim(np.nanmin(median) / 1.6, np.nanmax(values) * 1.3)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}"))
    else:
        axes.set_ylim(0, 1.05 * np.nanmax(values))
        axes.yaxis.set_major_formatter("{x:,.0f}")
