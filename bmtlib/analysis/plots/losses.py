"""Where packets and connections were lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bmtlib.analysis.compare import df_drops
from bmtlib.analysis.drops import LAYERS, LOSSES, SIGNS
from bmtlib.analysis.naming import conditions, named, short_number
from bmtlib.analysis.plots.load import no_case
from bmtlib.analysis.plots.style import FAINT, INK, QUIET, new_figure, nothing_to_show, row_label, sentences, styled
from bmtlib.analysis.tables import Tables
from bmtlib.texts import say

_MOST_COLUMNS = 4  # whose names fit side by side


@styled
def plot_drops(tables: Tables) -> Figure:
    """Losses per million requests: layers from the wire to the program as rows, arms as columns, or the other way round
    where arms are many; clean layers stay."""
    table = named(tables, df_drops(tables))
    if table.empty:
        return nothing_to_show(say("Losses by layer"), no_case())
    columns = list(table["series"].unique())
    rows = [row for layer in LAYERS for row in _rows_of(table[table["layer"] == layer], layer)]
    one = table["scale"].nunique() == 1
    unit = say("Per million requests.") if one else say("Per million requests, at the level with the most.")
    note = sentences(unit, f"{conditions(tables)}.")
    if len(columns) > _MOST_COLUMNS:
        return _arms_down(table, columns, rows, note)
    figure = new_figure(_finding(table), note, 0.55 + 0.34 * len(rows))
    axes = figure.subplots()
    for y, (_, part) in enumerate(rows):
        for x, series in enumerate(columns):
            _draw_cell(axes, x, y, part.loc[part["series"] == series, "per_million"].max(), say("not measured"))
    _cells(axes, columns, [name for name, _ in rows], {})
    return figure


def _arms_down(table: pd.DataFrame, series: list[str], layers: list[tuple[str, pd.DataFrame]], note: str) -> Figure:
    """Arms as rows and layers as columns, where names of arms do not fit side by side."""
    note = say("{note} –: not measured.", note=note)
    figure = new_figure(_finding(table), note, 1.4 + 0.36 * len(series))
    axes = figure.subplots()
    for x, (_, part) in enumerate(layers):
        for y, name in enumerate(series):
            _draw_cell(axes, x, y, part.loc[part["series"] == name, "per_million"].max(), "–")
    slanted: dict[str, Any] = {"rotation": 35, "ha": "left", "rotation_mode": "anchor"}
    _cells(axes, [name for name, _ in layers], [row_label(name) for name in series], slanted)
    return figure


def _cells(axes: Axes, columns: list[str], rows: list[str], slanted: dict[str, Any]) -> None:
    axes.set_xticks(range(len(columns)), columns, **slanted)
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _draw_cell(axes: Axes, x: int, y: int, per_million: float, unknown: str) -> None:
    lost = bool(per_million > 0)
    strength = min(1.0, 0.25 + 0.15 * np.log10(1 + per_million)) if lost else 0.45
    colour = "#D55E00" if lost else FAINT
    axes.fill_between([x - 0.48, x + 0.48], y - 0.44, y + 0.44, color=colour, alpha=strength, linewidth=0)
    text = unknown if np.isnan(per_million) else short_number(per_million)
    weight = "bold" if lost else "normal"
    look: dict[str, Any] = {"color": INK if lost else QUIET, "fontweight": weight, "fontsize": 9.5}
    axes.text(x, y, text, ha="center", va="center", **look)


def _rows_of(table: pd.DataFrame, layer: str) -> list[tuple[str, pd.DataFrame]]:
    """A row per counter that is not zero somewhere; one for the whole layer when all are."""
    totals = table.groupby("counter", sort=False)["count"].sum()
    if not totals.gt(0).any():
        return [(layer, table)]
    return [
        (f"{layer}: {counter.removeprefix('TcpExt').removeprefix('Tcp')}", table[table["counter"] == counter])
        for counter in totals.index[totals > 0]
    ]


def _finding(table: pd.DataFrame) -> str:
    places = table[table["counter"].isin([loss.counter for loss in LOSSES if loss.lost])]
    lossy = places[places["count"].fillna(0) > 0]
    if not lossy.empty:
        layers = [layer for layer in LAYERS if layer in set(lossy["layer"])]
        return say("Losses in these layers: {layers}", layers="; ".join(layers))
    signs = set(table.loc[table["layer"].isin(SIGNS) & (table["count"].fillna(0) > 0), "layer"])
    unknown = places["count"].isna().any()
    clean = say("No measured layer shows a loss") if unknown else say("No layer lost a packet or a connection")
    if signs == set(SIGNS):
        return say("{clean}, but interfaces counted drops and segments were sent again", clean=clean)
    if "interface" in signs:
        return say("{clean}, but interfaces counted drops", clean=clean)
    return say("{clean}, but segments were sent again", clean=clean) if signs else clean
