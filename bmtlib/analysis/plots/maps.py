"""Heat maps: what each CPU did over the time of the load, and which CPU each interrupt came to."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bmtlib.analysis.compare import df_cpu_over_time, df_irq_softirq, df_trials
from bmtlib.analysis.irqs import irq_label
from bmtlib.analysis.naming import at_largest, conditions, in_sentence, named, percent, short_number
from bmtlib.analysis.plots.load import no_case
from bmtlib.analysis.plots.style import (
    CPU_COLOURS,
    HEAT,
    INK,
    heat,
    heat_scale,
    new_figure,
    nothing_to_show,
    panel_title,
    styled,
)
from bmtlib.analysis.tables import Tables
from bmtlib.texts import say

_ABREAST = 3  # arms side by side
_MOST_PANELS = 6
_MOST_CPUS = 4  # of a map of CPUs: each has a row for each kind
_MOST_COLUMNS = 8  # of a map of interrupts: CPUs side by side
_MOST_EVENTS = 12
_SMALL = 0.01  # kinds of CPU time that are nowhere more than this share have no row
_ROW_IN = 0.19


@styled
def plot_cpu_map(tables: Tables) -> Figure:
    """Core x kind over time: a panel per arm, a row for each kind of CPU time on each CPU, a column per second."""
    title = say("What each CPU did while the load ran")
    table = named(tables, df_cpu_over_time(tables))
    table = table[table["cpu_kind"].isin(list(CPU_COLOURS))]
    if table.empty:
        return nothing_to_show(
            title, no_case() if df_trials(tables).empty else say("No done case has samples of the CPUs.")
        )
    table, at = at_largest(table)
    busy = table.groupby(["cpu", "role"])["share"].sum().reset_index().sort_values("share", ascending=False)
    own = busy["role"].eq("director")
    chosen = pd.concat([busy[own], busy[~own]]).head(_MOST_CPUS).sort_values(["role", "cpu"])
    kinds = [kind for kind in CPU_COLOURS if table.loc[table["cpu_kind"] == kind, "share"].max() > _SMALL]
    rows = [(int(cpu), kind) for cpu in chosen["cpu"] for kind in kinds]
    series, fewer = _panels(table)
    note = _note(
        tables,
        say(
            "The stronger the colour, the more of the CPU's time; line across: another CPU; hatched: not sampled. "
            "Mean over blocks."
        ),
        say("CPUs shown: {shown} of {all}, the director's and the busiest.", shown=len(chosen), all=len(busy))
        if len(busy) > len(chosen)
        else "",
        fewer,
        at.strip(),
    )
    down = -(-len(series) // _ABREAST)
    figure = new_figure(_cpu_finding(table, title), note, 0.7 + down * (0.6 + _ROW_IN * len(rows)))
    grid = figure.subplots(down, min(_ABREAST, len(series)), squeeze=False, sharex=True, sharey=True)
    seconds = math.ceil(table["time_s"].max())
    shades = Normalize(0, 100)
    panels = list(grid.flat)
    roles = dict(zip(chosen["cpu"], chosen["role"], strict=True))
    names = [
        say("CPU {cpu} ({role}) {kind}", cpu=cpu, role=roles[cpu], kind=kind) if kind == kinds[0] else kind
        for cpu, kind in rows
    ]
    for axes, name in zip(panels, series, strict=False):
        part = table[table["series"] == name]
        wide = part.pivot_table(index=["cpu", "cpu_kind"], columns="time_s", values="share")
        wide = wide.reindex(index=pd.MultiIndex.from_tuples(rows), columns=[second + 0.5 for second in range(seconds)])
        _heat(axes, 100 * wide.to_numpy("float64"), shades, names)
        for line in range(len(kinds), len(rows), len(kinds)):
            axes.axhline(line, color="white", linewidth=4)
        panel_title(axes, name, min(_ABREAST, len(series)))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.tick_params(axis="x", labelbottom=True)
        axes.set_xlabel(say("seconds of load"))
    _finish(figure, panels, len(series), shades, say("share of the CPU's time, %"))
    return figure


@styled
def plot_irq_map(tables: Tables) -> Figure:
    """Interrupts and softirqs x CPU: a panel per arm, a row for each kind, a column per CPU, the director's first."""
    title = say("Which CPU interrupts and softirqs came to")
    table = named(tables, df_irq_softirq(tables)).dropna(subset="per_request")
    if table.empty:
        why = no_case() if df_trials(tables).empty else say("The probes softirqs and interrupts were not taken.")
        return nothing_to_show(title, why)
    table, at = at_largest(table)
    table = table.assign(event=[_event(*row) for row in table[["source", "name", "description"]].to_numpy()])
    sums = table.groupby("event")["per_request"].sum()
    events = list(sums[sums > 0].sort_values(ascending=False).index[:_MOST_EVENTS])
    if not events:
        return nothing_to_show(title, say("Nothing was counted between the two readings."))
    series, fewer = _panels(table)
    by_cpu = table.groupby(["role", "cpu"])["per_request"].sum().reset_index()
    by_cpu = by_cpu.sort_values("per_request", ascending=False)
    own = by_cpu["role"].eq("director")
    chosen = pd.concat([by_cpu[own], by_cpu[~own]]).head(_MOST_COLUMNS).sort_values(["role", "cpu"])
    cpus = list(chosen[["role", "cpu"]].itertuples(index=False, name=None))
    most = 1000 * float(table.groupby(["series", "event", "role", "cpu"])["per_request"].sum().max())
    shades = LogNorm(most / 1e4, most)
    note = _note(
        tables,
        say("Per 1,000 requests, from before the load to after it, all blocks; grey: none. D: a CPU of the director."),
        say("Kinds shown: the {shown} most frequent of {all}.", shown=len(events), all=int((sums > 0).sum()))
        if (sums > 0).sum() > len(events)
        else "",
        say("CPUs shown: {shown} of {all}, the director's and those with the most.", shown=len(cpus), all=len(by_cpu))
        if len(by_cpu) > len(cpus)
        else "",
        fewer,
        at.strip(),
    )
    down = -(-len(series) // _ABREAST)
    figure = new_figure(_irq_finding(table, title), note, 0.7 + down * (0.75 + 0.23 * len(events)))
    grid = figure.subplots(down, min(_ABREAST, len(series)), squeeze=False, sharex=True, sharey=True)
    panels = list(grid.flat)
    for axes, name in zip(panels, series, strict=False):
        part = table[table["series"] == name]
        wide = part.pivot_table(index="event", columns=["role", "cpu"], values="per_request", aggfunc="sum")
        values = 1000 * wide.reindex(index=events, columns=pd.MultiIndex.from_tuples(cpus)).fillna(0).to_numpy(
            "float64"
        )
        _heat(axes, np.where(values > 0, values, np.nan), shades, events, hatched=False)
        if len(cpus) <= _MOST_CPUS:
            _figures(axes, values, shades)
        axes.set_xticks(
            [x + 0.5 for x in range(len(cpus))], [f"{'D ' if role == 'director' else ''}{cpu}" for role, cpu in cpus]
        )
        axes.tick_params(axis="x", labelbottom=True)
        panel_title(axes, name, min(_ABREAST, len(series)))
        axes.set_xlabel(say("CPU"))
        for line in range(1, len(cpus)):
            axes.axvline(line, color="white", linewidth=1.5)
        for line in range(1, len(events)):
            axes.axhline(line, color="white", linewidth=1.5)
    _finish(figure, panels, len(series), shades, say("per 1,000 requests"))
    return figure


def _panels(table: pd.DataFrame) -> tuple[list[str], str]:
    """Arms that get a panel, without the direct one where they are many, and words for those that do not."""
    kinds = table.drop_duplicates("series").set_index("series")["kind"]
    series = list(kinds.index)
    if len(series) > _ABREAST:
        series = [name for name in series if kinds[name] != "direct"]
    if len(series) > _MOST_PANELS:  # of each arm some
        series = [series[i] for i in np.linspace(0, len(series) - 1, _MOST_PANELS).round().astype(int)]
    left_out = [in_sentence(name) for name in kinds.index if name not in series]
    return series, say("Not shown: {arms}.", arms=", ".join(left_out)) if left_out else ""


def _heat(axes: Axes, values: np.ndarray, shades: Normalize, rows: Sequence[str], *, hatched: bool = True) -> None:
    """Cells of 1 x 1, the first row on top; what is missing is hatched, or grey."""
    axes.set_facecolor("#f2f2f2")
    if hatched:
        axes.patch.set(hatch="///", edgecolor="#dddddd", facecolor="white")
    heat(axes, values, shades)
    axes.set_yticks([y + 0.5 for y in range(len(rows))], rows, fontsize=9)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _figures(axes: Axes, values: np.ndarray, shades: Normalize) -> None:
    """The figure of each cell in it, where there is room."""
    for (y, x), value in np.ndenumerate(values):
        if value > 0:
            colour = "white" if shades(value) > 0.6 else INK
            axes.text(x + 0.5, y + 0.5, short_number(value), ha="center", va="center", fontsize=9, color=colour)


def _finish(figure: Figure, panels: list[Axes], count: int, shades: Normalize, unit: str) -> None:
    for axes in panels[count:]:
        axes.set_visible(False)
    heat_scale(figure, panels, ScalarMappable(shades, HEAT), unit)


def _event(source: str, name: str, description: str) -> str:
    return say("softirq {name}", name=name) if source == "softirq" else irq_label(name, description)


def _cpu_finding(table: pd.DataFrame, title: str) -> str:
    """What each arm spent most of the director's CPU time on."""
    mine = table[(table["role"] == "director") & (table["kind"] != "direct")]
    shares = mine.groupby(["series", "cpu_kind"], sort=False)["share"].mean()
    parts = []
    for name in mine["series"].unique():
        of_arm = shares[name]
        if of_arm.max() > 0:
            parts.append(f"{in_sentence(str(name))} {of_arm.idxmax()} ({percent(float(of_arm.max()))})")
    if not parts or len(parts) > _ABREAST:
        return title
    return say("What the director's CPUs did most of the time: {parts}", parts=", ".join(parts))


def _irq_finding(table: pd.DataFrame, title: str) -> str:
    """How much of the packet work that the softirq NET_RX does lay on the director's CPUs."""
    mine = table[(table["name"] == "NET_RX") & (table["kind"] != "direct")]
    parts = []
    for name, part in mine.groupby("series", sort=False):
        whole, own = part["per_request"].sum(), part.loc[part["role"] == "director", "per_request"].sum()
        if whole > 0:
            parts.append(f"{in_sentence(str(name))} {percent(own / whole)}")
    if not parts or len(parts) > _ABREAST:
        return title
    return say("Of all receive softirqs, those on the director's CPUs: {parts}", parts=", ".join(parts))


def _note(tables: Tables, *sentences: str) -> str:
    return " ".join([*filter(None, sentences), f"{conditions(tables)}."])
