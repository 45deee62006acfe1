"""What the director paid for a request: CPU time and bytes."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bmtlib.analysis.compare import df_director_bytes, df_director_cpu, df_trials
from bmtlib.analysis.naming import conditions, named, number, percent, scales
from bmtlib.analysis.plots.findings import bytes_finding, cpu_finding
from bmtlib.analysis.plots.levels import Shown, level_figure
from bmtlib.analysis.plots.series import all_series
from bmtlib.analysis.plots.style import CPU_COLOURS, INK, beside, new_figure, nothing_to_show, sentences, styled
from bmtlib.analysis.tables import Tables
from bmtlib.texts import msg, say

_MOST_BEYOND = 1.25  # of the longest bar and dot


def _without_direct(table: pd.DataFrame) -> pd.DataFrame:
    """The direct arm does not pass the director: its zeros would only take room."""
    return table[table["kind"] != "direct"] if (table["kind"] != "direct").any() else table


@styled
def plot_director_cpu(tables: Tables) -> Figure:
    """CPU time of the director per request: by arm, stacked by kind; over a factor: the sum of all kinds."""
    table = _without_direct(named(tables, df_director_cpu(tables))).dropna(subset="total_us")
    if table.empty:
        return nothing_to_show(say("Director CPU time per request"), say("No done case has CPU times of the director."))
    trials = _without_direct(named(tables, df_trials(tables)))
    if scales(tables):
        shown = Shown(
            value="total_us", low="low_us", high="high_us", dots="director_cpu_us", unit=say("µs per request")
        )
        note = sentences(say("Dot: one block. Bar: 95 % interval."), f"{conditions(tables)}.")
        return level_figure(tables, table, trials, cpu_finding(tables), note, shown)
    kinds = [kind for kind in CPU_COLOURS if table[f"{kind}_us"].sum() > 0 and kind != "steal"]
    note = sentences(
        say("Dot: one block.") if len(trials) > len(table) else "",
        say("Line: 95 % interval.") if table["low_us"].notna().any() else "",
        say("Right: the sum, and how busy the director's CPUs were."),
        f"{conditions(tables)}.",
    )
    figure = new_figure(cpu_finding(tables), note, 0.6 + 0.5 * len(table), {kind: CPU_COLOURS[kind] for kind in kinds})
    axes, most = figure.subplots(), 0.0
    for y, (_, row) in enumerate(table.iterrows()):
        left = 0.0
        for kind in kinds:
            axes.barh(y, row[f"{kind}_us"], left=left, height=0.62, color=CPU_COLOURS[kind])
            left += row[f"{kind}_us"]
        blocks = trials.loc[trials["series"] == row["series"], "director_cpu_us"].dropna()
        end = max(left, blocks.max())
        if pd.notna(row["low_us"]):
            # An interval of few blocks is wide; what is above would only take room.
            high = min(row["high_us"], _MOST_BEYOND * end)
            axes.plot([row["low_us"], high], [y, y], color=INK, linewidth=1.4)
            end = max(end, high)
        axes.plot(blocks, beside(y, len(blocks)), "o", color="white", markeredgecolor=INK, markersize=5)
        most = max(most, end)
        text = f"{number(row['total_us'])} µs"
        if pd.notna(row["busy_share"]):
            text = say("{time}, {share} busy", time=text, share=percent(row["busy_share"]))
        axes.annotate(text, (end, y), xytext=(8, 0), textcoords="offset points", va="center", fontweight="bold")
    _rows(axes, list(table["series"]), 1.4 * most)
    axes.set_xlabel(say("CPU time of the director per request, µs"))
    return figure


@styled
def plot_director_bytes(tables: Tables) -> Figure:
    """Bytes into and out of the director per request, and what the client receives; over a factor: those going out."""
    table = _without_direct(named(tables, df_director_bytes(tables))).dropna(subset="in_bytes")
    if table.empty:
        why = say("No done case has byte counts of the director.")
        return nothing_to_show(say("Bytes through the director per request"), why)
    trials = _without_direct(named(tables, df_trials(tables)))
    dots = say("Dot: one block.") if len(trials) > len(table) else ""
    note = sentences(say("On the wire, headers included."), dots, f"{conditions(tables)}.")
    if scales(tables):
        shown = Shown(
            value="out_bytes",
            dots="director_out_bytes",
            unit=say("bytes out of the director per request"),
            reference="client_bytes",
            reference_label=say("to the client"),
        )
        return level_figure(tables, table, trials, bytes_finding(tables), note, shown)
    figure = new_figure(bytes_finding(tables), note, 0.5 + 0.85 * len(table))
    axes, series = figure.subplots(), all_series(tables)
    for y, (_, row) in enumerate(table.iterrows()):
        colour = series[row["series"]].colour
        bars: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
            (msg("{bytes} B into the director"), "director_in_bytes", "in_bytes", {"color": colour, "alpha": 0.55}),
            (msg("{bytes} B out of it"), "director_out_bytes", "out_bytes", {"color": colour}),
            (msg("{bytes} B to the client"), "client_bytes", "client_bytes", {"facecolor": "none", "edgecolor": INK}),
        )
        for at, (name, column, sums, look) in zip((y - 0.27, y, y + 0.27), bars, strict=True):
            if pd.notna(value := row[sums]):
                axes.barh(at, value, height=0.22, **look)
                blocks = trials.loc[trials["series"] == row["series"], column].dropna()
                axes.plot(blocks, [at] * len(blocks), "o", color="white", markeredgecolor=INK, markersize=3.5)
                text = say(name, bytes=number(value))
                axes.annotate(text, (value, at), xytext=(6, 0), textcoords="offset points", va="center")
    _rows(axes, list(table["series"]), 1.5 * table[["in_bytes", "out_bytes", "client_bytes"]].max().max())
    axes.set_xlabel(say("bytes per request"))
    return figure


def _rows(axes: Axes, names: list[str], end: float) -> None:
    """A row per name, top down; x from zero to `end`."""
    axes.set_yticks(range(len(names)), names, fontsize=10.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, end if end > 0 else 1)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
