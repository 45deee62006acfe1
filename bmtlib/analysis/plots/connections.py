"""The director's own connections while the load ran, by state."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bmtlib.analysis.naming import at_largest, conditions, in_sentence, named
from bmtlib.analysis.over_time import df_connections_over_time
from bmtlib.analysis.plots.load import no_case
from bmtlib.analysis.plots.series import Series, all_series
from bmtlib.analysis.plots.style import (
    Label,
    label_ends,
    label_room,
    lay_out,
    new_figure,
    nothing_to_show,
    styled,
    text_colour,
)
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import done
from bmtlib.texts import say

_MOST = 6  # arms whose lines can be told apart


@styled
def plot_connections_over_time(tables: Tables) -> Figure:
    """A panel per state, a line per block in the colour of its arm; the direct arm has none with the director."""
    title = say("The director's own connections")
    table = named(tables, df_connections_over_time(tables))
    table = table[table["kind"] != "direct"]
    if table.empty:
        why = say("The director's sockets were not sampled, or the loads were too short.")
        return nothing_to_show(title, why if len(done(tables)) else no_case())
    table, at = at_largest(table)
    most = table[table["state"] == "established"].groupby("series", sort=False)["connections"].max()
    ranked = most.sort_values(ascending=False, kind="stable").index[:_MOST]
    chosen = [name for name in most.index if name in ranked]
    # What stands in TIME_WAIT under an arm without connections of its own is another arm's.
    table = table[table["series"].isin(chosen)]
    table = table[(table["state"] == "established") | table["series"].map(most).gt(0)]
    left_out = len(most) - len(chosen)
    sentences = [
        say("Line: one block, a dot for each sample. Closed: TIME_WAIT, kept for a minute, of earlier cases too."),
        say("Not shown, because they have fewer: {n}.", n=left_out) if left_out else "",
        at.strip(),
        f"{conditions(tables)}.",
    ]
    figure = new_figure(_finding(most), " ".join(filter(None, sentences)), 4.6)
    heads = {
        "established": say("open, to clients and to web hosts"),
        "waiting": say("of these, not yet accepted by the proxy"),
        "timewait": say("closed"),
    }
    heads = {state: head for state, head in heads.items() if (table["state"] == state).any()}
    panels, looks = list(figure.subplots(len(heads), 1, sharex=True, squeeze=False)[:, 0]), all_series(tables)
    drawn = [_lines(axes, table[table["state"] == state], looks) for axes, state in zip(panels, heads, strict=True)]
    for axes, head in zip(panels, heads.values(), strict=True):
        axes.set_title(head)
    panels[len(panels) // 2].set_ylabel(say("connections of the director"))
    panels[-1].set_xlabel(say("seconds of load"))
    seconds = float(np.ceil(table["time_s"].max()))
    panels[0].set_xlim(0, seconds / (1 - label_room(chosen, 1)))
    panels[0].set_xticks([tick for tick in MaxNLocator(6, integer=True).tick_values(0, seconds) if tick <= seconds])
    lay_out(figure)
    for axes, labels in zip(panels, drawn, strict=True):
        label_ends(axes, float(table["time_s"].max()), labels)
    return figure


def _lines(axes: Axes, table: pd.DataFrame, looks: dict[str, Series]) -> list[Label]:
    labels: list[Label] = []
    for name, part in table.groupby("series", sort=False):
        look = looks[str(name)]
        for _, block in part.groupby("block"):
            axes.plot(block["time_s"], block["connections"], "o-", color=look.colour, linewidth=1.3, markersize=3)
        labels.append((_end(part), look.label, text_colour(look.colour)))
    axes.set_ylim(0, 1.08 * max(1, table["connections"].max()))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.grid(axis="y")
    return labels


def _end(part: pd.DataFrame) -> float:
    """The height at which the lines of an arm end: the median of its blocks' last samples."""
    last = part.sort_values("time_s").groupby("block")["connections"].last()
    return float(last.median())


def _finding(most: pd.Series) -> str:
    """The most connections that the director had open at one time, by arm."""
    if len(most) > _MOST:
        name = str(most.idxmax())
        return say(
            "The most connections that the director had open at one time: {count:,} ({arm}), of {n} arms",
            count=int(most.max()),
            arm=in_sentence(name),
            n=len(most),
        )
    parts = ", ".join(f"{in_sentence(str(name))} {int(count):,}" for name, count in most.items())
    return say("The most connections that the director had open at one time: {parts}", parts=parts)
