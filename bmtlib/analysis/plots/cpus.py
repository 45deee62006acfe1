"""What the CPUs did while the load ran, and what interrupted them."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bmtlib.analysis.compare import df_cpu_over_time, df_irq_softirq, df_trials
from bmtlib.analysis.irqs import irq_label
from bmtlib.analysis.naming import at_largest, conditions, named, number, role_word
from bmtlib.analysis.plots.findings import busy_finding, softirq_finding
from bmtlib.analysis.plots.load import no_case
from bmtlib.analysis.plots.style import (
    CPU_COLOURS,
    EVENT_COLOURS,
    FAINT,
    new_figure,
    nothing_to_show,
    row_label,
    sentences,
    styled,
)
from bmtlib.analysis.tables import Tables
from bmtlib.texts import say

_MOST_COLUMNS = 3  # arms side by side; more stand below each other
_MOST_CPUS = 4  # that get a row each; more are shown as the mean of their role
_QUEUE = re.compile(r"(?<=[a-z])[.-]\d+$")  # of a card's interrupts: one colour for all its queues
_SMALL = 0.02  # kinds of interrupt below this share are "other"


@styled
def plot_cpu_over_time(tables: Tables) -> Figure:
    """What each CPU did, second by second: a column per arm, a row per CPU, or the other way round where there are many
    arms; at the largest level of each scale."""
    table = named(tables, df_cpu_over_time(tables))
    if table.empty:
        return nothing_to_show(
            say("What the CPUs did while the load ran"), say("No done case has samples of the CPUs.")
        )
    table, at = at_largest(table)
    if table["cpu"].nunique() > _MOST_CPUS:
        by_role = ["series", "role", "time_s", "cpu_kind"]
        table = table.groupby(by_role, sort=False)["share"].mean().reset_index()
        table = table.assign(row=[say("CPUs, {role}", role=role_word(role)) for role in table["role"]])
    else:
        names = zip(table["cpu"], table["role"], strict=True)
        table = table.assign(row=[say("CPU {cpu} ({role})", cpu=cpu, role=role_word(role)) for cpu, role in names])
    seconds = [second + 0.5 for second in range(int(table["time_s"].max()) + 1)]
    rows = list(table[["role", "row"]].drop_duplicates().sort_values(["role", "row"])["row"])
    columns = list(table["series"].unique())
    seen = {
        kind: CPU_COLOURS[kind] for kind in CPU_COLOURS if table.loc[table["cpu_kind"] == kind, "share"].max() > 0.01
    }
    note = sentences(say("Empty: idle; hatched: not sampled. Mean over blocks."), at.strip(), f"{conditions(tables)}.")
    if many := len(columns) > _MOST_COLUMNS:
        rows, columns = columns, rows
    figure = new_figure(busy_finding(tables), note, 0.7 + (0.95 if many else 1.2) * len(rows), seen)
    grid = figure.subplots(len(rows), len(columns), squeeze=False, sharex=True, sharey=True)
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            cpus, series = (column, row) if many else (row, column)
            _draw_shares(grid[y, x], table[(table["row"] == cpus) & (table["series"] == series)], seconds)
        grid[y, 0].set_ylabel(say("busy, %") if many else f"{row}\n{say('busy, %')}")
        if many:
            grid[y, 0].set_title(row)
    for x, column in enumerate(columns):
        # Two lines where the first row of panels has a title of its own.
        grid[0, x].set_title(f"{column}\n{rows[0] if x == 0 else ''}" if many else column)
        grid[-1, x].set_xlabel(say("seconds of load"))
    grid[0, 0].set_xlim(0, len(seconds))
    return figure


def _draw_shares(axes: Axes, part: pd.DataFrame, seconds: list[float]) -> None:
    wide = part.pivot_table(index="time_s", columns="cpu_kind", values="share")
    wide = 100 * wide.reindex(index=seconds, columns=list(CPU_COLOURS))
    edges = np.repeat([seconds[0] - 0.5, *(second + 0.5 for second in seconds)], 2)[1:-1]
    levels = np.repeat(wide.fillna(0).to_numpy(), 2, axis=0).T
    axes.stackplot(edges, levels, colors=list(CPU_COLOURS.values()), linewidth=0)
    for second in wide.index[wide.isna().all(axis=1)]:
        axes.axvspan(second - 0.5, second + 0.5, facecolor="none", edgecolor=FAINT, hatch="///", linewidth=0)
    axes.set_ylim(0, 100)
    axes.set_yticks([0, 50, 100])
    axes.grid(axis="y")


@styled
def plot_irq_softirq(tables: Tables) -> Figure:
    """Softirqs (left) and interrupts (right) per request on each CPU, of many arms only the director's; at the largest
    level of each scale."""
    table = named(tables, df_irq_softirq(tables)).dropna(subset="per_request")
    if table.empty:
        why = no_case() if df_trials(tables).empty else say("The probes softirqs and interrupts were not taken.")
        return nothing_to_show(say("Softirqs and interrupts per request, by CPU"), why)
    table, at = at_largest(table)
    own = ""
    if table["series"].nunique() > _MOST_COLUMNS and (table["role"] == "director").any():
        table, own = table[table["role"] == "director"], say("The director's CPUs only.")
    one = table["cpu"].nunique() == 1 or table["cpu"].nunique() > _MOST_CPUS
    if own:
        names = table[["series", "cpu"]].to_numpy()
        table = table.assign(row=[series if one else f"{series}, CPU {cpu}" for series, cpu in names])
    elif table["cpu"].nunique() > _MOST_CPUS:
        names = table[["series", "role"]].to_numpy()
        table = table.assign(row=[f"{series}, {role_word(role)}" for series, role in names])
    else:
        names = table[["series", "cpu", "role"]].to_numpy()
        table = table.assign(
            row=[
                say("{arm}, CPU {cpu} ({role})", arm=series, cpu=cpu, role=role_word(role))
                for series, cpu, role in names
            ]
        )
    ordered = table.sort_values(["role", "cpu"], kind="stable")
    rows = [
        row for series in table["series"].unique() for row in ordered.loc[ordered["series"] == series, "row"].unique()
    ]
    note = sentences(say("From before the load to after it, all blocks."), own, at.strip(), f"{conditions(tables)}.")
    figure = new_figure(softirq_finding(tables), note, 1.1 + (0.4 if own else 0.34) * len(rows))
    left, right = figure.subplots(1, 2, sharey=True)
    _draw_events(left, table[table["source"] == "softirq"], rows, say("softirqs per request"))
    _draw_events(right, table[table["source"] == "irq"], rows, say("interrupts per request"))
    left.set_yticks(range(len(rows)), [row_label(row, 27) for row in rows])
    left.set_ylim(len(rows) - 0.5, -0.5)
    return figure


def _draw_events(axes: Axes, part: pd.DataFrame, rows: list[str], what: str) -> None:
    part = part.assign(
        event=[_QUEUE.sub("", irq_label(name, said)) for name, said in part[["name", "description"]].to_numpy()]
    )
    sums = part.groupby("event")["per_request"].sum().sort_values(ascending=False)
    large = list(sums.index[sums > _SMALL * sums.sum()])[: len(EVENT_COLOURS) - 1]
    part = part.assign(event=part["event"].where(part["event"].isin(large), say("other")))
    wide = part.pivot_table(index="row", columns="event", values="per_request", aggfunc="sum").reindex(rows).fillna(0)
    total = np.zeros(len(rows))
    for colour, event in zip(EVENT_COLOURS, [*large, say("other")], strict=False):
        if event in wide:
            axes.barh(range(len(rows)), wide[event], left=total, color=colour, height=0.7, label=event)
            total += wide[event].to_numpy()
    for y, value in enumerate(total):
        axes.annotate(number(value), (value, y), xytext=(5, 0), textcoords="offset points", va="center")
    axes.set_xlim(0, 1.3 * max([*total, 1e-9]))
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(what)
    axes.grid(axis="x")
    if large:
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=2, handlelength=1, columnspacing=1, borderpad=0.2, fontsize=9
        )
