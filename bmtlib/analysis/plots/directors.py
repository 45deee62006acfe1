"""How many directors it takes over requests/s: a stair per arm, with the band of its interval."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bmtlib.analysis.capacity import Demand
from bmtlib.analysis.directors import df_directors, df_planned, directors_finding, why_not
from bmtlib.analysis.naming import percent
from bmtlib.analysis.plots.series import all_series
from bmtlib.analysis.plots.style import (
    QUIET,
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
from bmtlib.texts import say

_TALLEST = 1.6  # a band may go so far above the highest line; an open one would flatten the lines


@styled
def plot_directors(tables: Tables, demand: Demand) -> Figure:
    """`df_directors`, with a mark at what is asked for."""
    if why := why_not(tables, demand):
        figure = nothing_to_show(say("How many directors it takes"), "")
        figure.texts[-1].set_text(why.replace(". ", ".\n", 1))
        return figure
    table, looks = df_directors(tables, demand), all_series(tables)
    figure = new_figure(directors_finding(tables, demand), _note(tables, demand, table), 3.1)
    axes, labels = figure.subplots(), list[Label]()
    end = float(table["requests_per_s"].max())
    for series, part in table.groupby("series", sort=False):
        look, rate = looks[str(series)], part["requests_per_s"]
        low, high = (part[name].astype("float64") for name in ("directors_low", "directors_high"))
        high = high.fillna(np.inf).where(low.notna())
        axes.fill_between(rate, low, high, color=look.colour, alpha=0.2, linewidth=0, step="pre")
        count = part["directors"].astype("float64")
        axes.plot(rate, count, color=look.colour, linewidth=2, linestyle=look.dash, drawstyle="steps-pre")
        labels.append((float(count.iloc[-1]), look.label, text_colour(look.colour)))
    axes.axvline(demand.requests_per_s, color=QUIET, linewidth=1, linestyle=":")
    top = float(table["directors"].astype("float64").max())
    highest = float(table["directors_high"].astype("float64").max())
    axes.set_ylim(0, 1.05 * min(max(top, highest if np.isfinite(highest) else top), _TALLEST * top) + 0.4)
    axes.set_xlim(0, end / (1 - label_room([text for _, text, _ in labels], 1)))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel(say("requests/s"))
    axes.set_ylabel(say("directors"))
    axes.grid(axis="y")
    lay_out(figure)
    label_ends(axes, end, labels)
    return figure


def _note(tables: Tables, demand: Demand, table: pd.DataFrame) -> str:
    planned = df_planned(tables, demand)
    parts = [say("Line: directors needed.")]
    parts += [say("Band: 95 % interval.")] if table["directors_low"].notna().any() else []
    parts += [say("Dotted: what is asked for.")]
    parts += [
        say(
            "Links of {gbit:g} Gbit/s, CPUs in a director: {cpus}, in use at most {use}.",
            gbit=demand.gbit_per_s,
            cpus=planned["cpus"].iloc[0],
            use=percent(demand.use),
        )
    ]
    if (planned["extrapolated"] != "").any():
        parts.append(say("Beyond what was measured: a guess."))
    worth = str(planned["fidelity"].iloc[0])
    return " ".join([*parts, f"{worth[0].upper()}{worth[1:]}."])
