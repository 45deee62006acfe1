"""Where interrupts and packets went: IRQ x CPU over time, and which CPU had the packets."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bmtlib.analysis.irqs import df_irq_over_time, df_packets_by_cpu, irq_label
from bmtlib.analysis.naming import at_largest, conditions, named, number, percent
from bmtlib.analysis.plots.findings import by_series
from bmtlib.analysis.plots.load import no_case
from bmtlib.analysis.plots.style import (
    EVENT_COLOURS,
    HEAT,
    INK,
    QUIET,
    heat,
    heat_scale,
    new_figure,
    nothing_to_show,
    row_label,
    sentences,
    styled,
)
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import done
from bmtlib.texts import msg, say, translated

_MOST_IRQS = 10  # rows of a panel
_MOST_CPUS = 8  # columns; more CPUs are those with the most
_COUNTED_BY = {"ipvs": msg("LVS's packets"), "softnet": msg("all packets received")}


@styled
def plot_irq_over_time(tables: Tables) -> Figure:
    """How often each interrupt came to each CPU: a row of panels per arm, a column per CPU of the director."""
    title = say("Interrupts on the director's CPUs")
    table = named(tables, df_irq_over_time(tables))
    if table.empty:
        why = say("No device interrupted the director's CPUs, or it was not sampled. A lab of namespaces has no NIC.")
        return nothing_to_show(title, why if len(done(tables)) else no_case())
    table, at = at_largest(table)
    pairs = table[["irq", "description"]].to_numpy()
    table = table.assign(label=[irq_label(irq, said) for irq, said in pairs])
    most = table.groupby("label")["per_s"].sum().nlargest(_MOST_IRQS).index
    labels = sorted(most, key=_natural)
    cpus = sorted(table.groupby("cpu")["per_s"].sum().nlargest(_MOST_CPUS).index)
    series = list(table["series"].unique())
    highest = float(table["per_s"].max())
    note = sentences(
        say("The stronger the colour, the more often. Mean over blocks."), at.strip(), f"{conditions(tables)}."
    )
    figure = new_figure(_irq_finding(table, title), note, 1.35 + len(series) * (0.35 + 0.17 * len(labels)))
    grid = figure.subplots(len(series), len(cpus), squeeze=False, sharex=True, sharey=True)
    seconds = int(np.ceil(table["time_s"].max()))
    # The square root lets the rare ones show without hiding which are frequent.
    shades = PowerNorm(0.5, 0, highest or 1)
    for y, name in enumerate(series):
        for x, cpu in enumerate(cpus):
            part = table[(table["series"] == name) & (table["cpu"] == cpu)]
            _draw_heat(grid[y, x], part, labels, seconds, shades)
        grid[y, 0].set_yticks([row + 0.5 for row in range(len(labels))], labels, fontsize=9)
        grid[y, 0].set_title(name)
    for x, cpu in enumerate(cpus):
        grid[0, x].set_title(f"CPU {cpu}\n{series[0] if x == 0 else ''}")
        grid[-1, x].set_xlabel(say("seconds of load"))
    grid[0, 0].xaxis.set_major_locator(MaxNLocator(max(2, 8 // len(cpus)), integer=True))
    heat_scale(figure, list(grid.flat), ScalarMappable(shades, HEAT), say("interrupts per second"))
    return figure


def _draw_heat(axes: Axes, part: pd.DataFrame, labels: list[str], seconds: int, shades: Normalize) -> None:
    wide = part.pivot_table(index="label", columns="time_s", values="per_s", aggfunc="sum")
    # In a second that was sampled, what is not there did not come.
    wide = wide.reindex(index=labels).fillna(0).reindex(columns=[second + 0.5 for second in range(seconds)])
    heat(axes, wide.to_numpy("float64"), shades)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for line in range(1, len(labels)):
        axes.axhline(line, color="white", linewidth=1.5)


def _natural(label: str) -> list[tuple[int, str]]:
    """Sorts queue 10 behind queue 9."""
    digits = "".join(letter if letter.isdigit() else " " for letter in label).split()
    return [(0, "".join(letter for letter in label if not letter.isdigit())), *((int(part), "") for part in digits)]


def _irq_finding(table: pd.DataFrame, title: str) -> str:
    shares, busiest = {}, set()
    for series, part in table.groupby("series", sort=False):
        sums = part.groupby("cpu")["per_s"].sum()
        if sums.sum() > 0:
            shares[str(series)] = float(sums.max() / sums.sum())
            busiest.add(sums.idxmax())
    if not shares:
        return title
    found = by_series(shares, percent)
    if len(busiest) == 1:
        return say("The director's interrupts on CPU {cpu}: {shares}", cpu=busiest.pop(), shares=found)
    return say("The director's interrupts on its busiest CPU: {shares}", shares=found)


@styled
def plot_packets_by_cpu(tables: Tables) -> Figure:
    """Which of the director's CPUs had the packets: shares, LVS's own beside all that came in."""
    title = say("Packets on the director's CPUs")
    table = named(tables, df_packets_by_cpu(tables)).dropna(subset="share")
    # Without a balancer no packet of the test comes to the director.
    table = table[table["kind"] != "direct"]
    if table.empty:
        return nothing_to_show(title, say("No packets were counted by CPU.") if len(done(tables)) else no_case())
    table, at = at_largest(table)
    counted = [source for source in _COUNTED_BY if (table["counted_by"] == source).any()]
    series = list(table["series"].unique())
    cpus = sorted(table["cpu"].unique())
    colours = {f"CPU {cpu}": EVENT_COLOURS[i % len(EVENT_COLOURS)] for i, cpu in enumerate(cpus)}
    note = sentences(say("Right: packets per request. All blocks."), at.strip(), f"{conditions(tables)}.")
    figure = new_figure(_packets_finding(table, counted[0]), note, 0.75 + 0.42 * len(series), colours)
    panels = figure.subplots(1, len(counted), squeeze=False, sharey=True)[0]
    for axes, source in zip(panels, counted, strict=True):
        _draw_shares(axes, table[table["counted_by"] == source], series, dict(zip(cpus, colours.values(), strict=True)))
        axes.set_title(translated(_COUNTED_BY[source]))
    panels[0].set_yticks(range(len(series)), [row_label(name) for name in series])
    panels[0].set_ylim(len(series) - 0.5, -0.5)
    return figure


def _draw_shares(axes: Axes, table: pd.DataFrame, series: list[str], colours: dict[int, str]) -> None:
    for y, name in enumerate(series):
        part, left = table[table["series"] == name].sort_values("cpu"), 0.0
        for _, row in part.iterrows():
            width = 100 * row["share"]
            axes.barh(y, width, left=left, height=0.66, color=colours[row["cpu"]], edgecolor="white")
            if width > 12:
                axes.text(left + width / 2, y, percent(row["share"]), ha="center", va="center", color=INK)
            left += width
        text = number(part["per_request"].sum()) if len(part) else say("not LVS")
        axes.annotate(text, (left, y), xytext=(5, 0), textcoords="offset points", va="center", color=QUIET)
    axes.set_xlim(0, 125)
    axes.set_xticks([0, 50, 100])
    axes.set_xlabel(say("share, %"))
    axes.tick_params(axis="y", length=0)


def _packets_finding(table: pd.DataFrame, source: str) -> str:
    rows = table[table["counted_by"] == source]
    shares = {str(name): float(part["share"].max()) for name, part in rows.groupby("series", sort=False)}
    return say(
        "On the busiest CPU, of {what}: {shares}",
        what=translated(_COUNTED_BY[source]),
        shares=by_series(shares, percent),
    )
