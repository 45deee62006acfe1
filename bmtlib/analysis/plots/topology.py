"""The testbed drawn: hosts by role, where the service's address lies, the way of a request and of its answer."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from bmtlib.analysis.naming import conditions, fidelity
from bmtlib.analysis.plots.style import INK, KIND_COLOURS, QUIET, new_figure, nothing_to_show, styled, text_colour
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.topology import df_topology
from bmtlib.analysis.trials import done
from bmtlib.texts import say, say_n

_CENTRE = {"client": 1.1, "director": 3.45, "web": 5.8}  # inches from the left
_BOX = (1.95, 0.8)  # inches
_PANEL_IN = 1.5
_MIDDLE = 0.68  # height of the boxes' middle in a panel
_THROUGH = 0.5  # share of the answers' bytes: above, they pass the director


@styled
def plot_topology(tables: Tables) -> Figure:
    """A panel per kind of arm: requests as a thin line, answers as a thick one in the colour of the kind."""
    table = df_topology(tables)
    title = say("The testbed, and the way of a request")
    if table.empty or not (table["item"] == "role").any():
        return nothing_to_show(title, say("The run does not say which hosts it had."))
    kinds = list(table["kind"].unique())
    note = " ".join(
        [
            say("Thin: request. Thick: answer. VIP: the address that clients ask. Bytes: as measured."),
            f"{conditions(tables) if len(done(tables)) else fidelity(tables).capitalize()}.",
        ]
    )
    figure = new_figure(topology_finding(table) or title, note, _PANEL_IN * len(kinds) + 0.1)
    for axes, kind in zip(figure.subplots(len(kinds), 1, squeeze=False)[:, 0], kinds, strict=True):
        axes.set_xlim(0, 6.9)
        axes.set_ylim(0, _MIDDLE + _BOX[1] / 2 + 0.02)
        axes.axis("off")
        axes.set_title(kind)
        _draw(axes, table[table["kind"] == kind], str(kind))
    return figure


def topology_finding(table: pd.DataFrame) -> str:
    """Which kinds of arm send answers through the director, as measured; empty where it was not."""
    measured = table.dropna(subset="answers_through")
    measured = measured[measured["kind"] != "direct"]
    through = ", ".join(measured.loc[measured["answers_through"] >= _THROUGH, "kind"])
    past = ", ".join(measured.loc[measured["answers_through"] < _THROUGH, "kind"])
    if through and past:
        return say(
            "Answers pass through the director with {through}, and pass it by with {past}", through=through, past=past
        )
    if through:
        return say("Answers pass through the director with {through}", through=through)
    return say("Answers pass the director by with {past}", past=past) if past else ""


def _draw(axes: Axes, table: pd.DataFrame, kind: str) -> None:
    roles = table[table["item"] == "role"].set_index("role")
    for role, row in roles.iterrows():
        _box(axes, str(role), row)
    colour = KIND_COLOURS.get(kind, INK)
    for _, hop in table[table["item"] != "role"].iterrows():
        if hop["role"] in roles.index and hop["to_role"] in roles.index:
            _arrow(axes, hop, colour, past=kind != "direct")
    measured = table["answers_through"].dropna()
    if len(measured) and kind != "direct":
        text = say(
            "{bytes:.2f} bytes out of the director for each that clients received", bytes=float(measured.iloc[0])
        )
        look: dict[str, Any] = {"color": text_colour(to_rgb(colour)), "fontsize": 9}
        axes.annotate(
            text, (1, 1), xytext=(0, 6), xycoords="axes fraction", textcoords="offset points", ha="right", **look
        )


def _box(axes: Axes, role: str, row: pd.Series) -> None:
    x, (width, height) = _CENTRE[role], _BOX
    edge: Any = {"edgecolor": QUIET, "facecolor": "#f7f7f7", "linewidth": 1}
    corner = (x - width / 2, _MIDDLE - height / 2)
    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle="round,pad=0,rounding_size=0.06", **edge))
    count = int(row["hosts"])
    heads = {
        "client": say_n("{n} client", "{n} clients", count),
        "director": say("director"),
        "web": say_n("{n} web host", "{n} web hosts", count),
    }
    lines = [str(row["addresses"])]
    if row["vip"]:
        lines.insert(0, say("VIP {vip}", vip=row["vip"]) if role == "director" else say("VIP on lo, silent to ARP"))
    if row["cpus"]:
        lines.append(say("CPU {cpus}", cpus=row["cpus"]))
    axes.text(x, _MIDDLE + height / 2 - 0.07, heads[role], ha="center", va="top", fontweight="bold")
    axes.text(x, _MIDDLE + height / 2 - 0.27, "\n".join(lines), ha="center", va="top", fontsize=9, linespacing=1.15)


def _arrow(axes: Axes, hop: pd.Series, colour: str, *, past: bool) -> None:
    """Requests in the upper half, answers in the lower; what passes the director by goes below its box."""
    ways = 1 if _CENTRE[hop["to_role"]] > _CENTRE[hop["role"]] else -1
    begin = _CENTRE[hop["role"]] + ways * _BOX[0] / 2
    end = _CENTRE[hop["to_role"]] - ways * _BOX[0] / 2
    answer = hop["item"] == "answer"
    look = {"color": colour if answer else INK, "linewidth": 3.0 if answer else 1.2, "shrinkA": 0, "shrinkB": 1}
    arrow = {"arrowstyle": "-|>", "mutation_scale": 14, "joinstyle": "miter", "capstyle": "butt", **look}
    if answer and past and hop["to_role"] == "client" and hop["role"] == "web":
        foot, below = _MIDDLE - _BOX[1] / 2, _MIDDLE - _BOX[1] / 2 - 0.2
        begin, end = _CENTRE[hop["role"]], _CENTRE[hop["to_role"]]
        line: Any = {"color": colour, "linewidth": 3.0, "solid_joinstyle": "miter", "solid_capstyle": "butt"}
        axes.plot([begin, begin, end, end], [foot, below, below, below + 0.05], **line)
        axes.annotate("", (end, foot), (end, below), arrowprops=arrow)
    else:
        y = _MIDDLE + (-0.2 if answer else 0.2)
        axes.annotate("", (end, y), (begin, y), arrowprops=arrow)
