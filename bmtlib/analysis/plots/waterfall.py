"""What was lost on the way from the wire to the program: one step per layer."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bmtlib.analysis.drops import PLACES, ROLE_WORDS, df_lost, unread
from bmtlib.analysis.naming import at_largest, conditions, in_sentence, named, number
from bmtlib.analysis.plots.load import no_case
from bmtlib.analysis.plots.style import (
    FAINT,
    INK,
    QUIET,
    new_figure,
    nothing_to_show,
    panel_grid,
    panel_title,
    sentences,
    styled,
)
from bmtlib.analysis.tables import Tables
from bmtlib.texts import msg, say, translated

_NAMED = 4  # arms that the heading has room for
_MOST_PANELS = 8
_ROLE_COLOURS = {
    "director": "#D55E00",
    "web": "#009E73",
    "client": "#56B4E9",
    "machine": "#CC79A7",
}
_SHORT = {
    "softnet backlog": msg("backlog"),
    "listen, SYN": msg("SYN queue"),
    "listen, accept": msg("accept queue"),
    "socket": msg("socket"),
}


@styled
def plot_lost_by_layer(tables: Tables) -> Figure:
    """A waterfall per arm that lost something: each layer adds what it lost; the last bar is the whole."""
    title = say("Losses from the wire to the program")
    table = named(tables, df_lost(tables))
    if table.empty:
        return nothing_to_show(title, no_case())
    table, at = at_largest(table)
    lossy = table[table["per_1000"].fillna(0) > 0]
    series = list(lossy["series"].unique())
    if not series:
        unknown = [_short(layer) for layer in table.loc[table["role"] == "unknown", "layer"].unique()]
        clean = ", ".join(_short(layer) for layer in PLACES if layer not in unknown)
        said = sentences(
            say("Clean in all arms: {layers}.", layers=clean),
            say("Not measured: {layers}.", layers=", ".join(unknown)) if unknown else "",
            unread(tables),
            at.strip(),
            f"{conditions(tables)}.",
        )
        return nothing_to_show(_finding(tables, table), said)
    roles = {
        translated(ROLE_WORDS[role]): colour for role, colour in _ROLE_COLOURS.items() if role in set(lossy["role"])
    }
    none = [in_sentence(name) for name in table["series"].unique() if name not in series]
    note = sentences(
        say("Per 1,000 right answers, all hosts and blocks."),
        say("Nothing lost: {arms}.", arms=", ".join(none)) if none else "",
        unread(tables),
        at.strip(),
        f"{conditions(tables)}.",
    )
    whole = lossy.groupby("series")["per_1000"].sum().sort_values(ascending=False)
    series = [name for name in series if name in whole.index[:_MOST_PANELS]]
    if len(whole) > len(series):
        note = say("{note} Not shown, because they lost less: {n}.", note=note, n=len(whole) - len(series))
    rows = -(-len(series) // 2)
    figure = new_figure(_finding(tables, table), note, rows * (0.75 + 0.21 * (len(PLACES) + 1)), roles)
    panels = panel_grid(figure, len(series))
    most = float(table.groupby("series")["per_1000"].sum().max())
    for i, (axes, name) in enumerate(zip(panels, series, strict=True)):
        _draw(axes, table[table["series"] == name], most, labelled=i % 2 == 0)
        panel_title(axes, name, min(2, len(series)))
    for axes in panels[-2:]:
        axes.set_xlabel(say("lost per 1,000 requests"))
    return figure


def _draw(axes: Axes, part: pd.DataFrame, most: float, *, labelled: bool) -> None:
    total = 0.0
    for y, layer in enumerate(PLACES):
        rows = part[part["layer"] == layer]
        before = total
        for _, row in rows[rows["per_1000"].fillna(0) > 0].iterrows():
            axes.barh(y, row["per_1000"], left=total, height=0.7, color=_ROLE_COLOURS[row["role"]])
            total += row["per_1000"]
        axes.plot([total, total], [y - 0.35, y + 1.35], color=QUIET, linewidth=0.8)
        text, lost = (
            (say("not measured"), False)
            if (rows["role"] == "unknown").all()
            else (number(total - before), total > before)
        )
        look: dict[str, Any] = {"color": INK, "fontweight": "bold"} if lost else {"color": QUIET}
        axes.annotate(text, (total, y), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9, **look)
    axes.barh(len(PLACES), total, height=0.7, color=INK)
    axes.annotate(
        number(total), (total, len(PLACES)), xytext=(5, 0), textcoords="offset points", va="center", fontweight="bold"
    )
    names = [*(_short(layer) for layer in PLACES), say("all")]
    axes.set_yticks(range(len(names)), names if labelled else [""] * len(names))
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1.4 * (most or 1))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.locator_params(axis="x", nbins=4)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=FAINT)


def _finding(tables: Tables, table: pd.DataFrame) -> str:
    """The layer that lost the most, of each arm that lost something."""
    sums = table.groupby(["series", "layer"], sort=False)["per_1000"].sum()
    parts = []
    lossy = [str(series) for series in table["series"].unique() if sums[series].max() > 0]
    if len(lossy) > _NAMED:
        counts = sums[lossy].groupby("series").idxmax().map(lambda key: key[1]).value_counts()
        where = ", ".join(say("{layer} ({n})", layer=_short(str(layer)), n=n) for layer, n in counts.items())
        return say("Where most was lost, in {n} arms: {where}", n=len(lossy), where=where)
    for series in lossy:
        mine = sums[series]
        if mine.max() > 0:
            share, where = mine.max() / mine.sum(), str(mine.idxmax())
            part = say("{arm} in the {layer}", arm=in_sentence(series), layer=_short(where))
            parts.append(f"{part} ({100 * share:.0f} %)" if share < 0.995 else part)
    if parts:
        return say("Where most was lost: {parts}", parts=", ".join(parts))
    if unread(tables) or (table["role"] == "unknown").any():
        return say("No measured layer lost anything")
    return say("Nothing was lost in any layer")


def _short(layer: str) -> str:
    return translated(_SHORT.get(layer, layer))
