"""How many directors it takes over requests/s: a stair per arm, with the band of its interval."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bmtlib.analysis.capacity import Demand
from bmtlib.analysis.directors import df_directors, df_planned, why_not
from bmtlib.analysis.naming import in_sentence, number, percent
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
from bmtlib.analysis.trials import records
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
        axes.fill_between(rate, low, high.fillna(np.inf).where(low.notna()), color=look.colour, alpha=0.2, linewidth=0)
        count = part["directors"].astype("float64")
        axes.plot(rate, count, color=look.colour, linewidth=2, linestyle=look.dash, drawstyle="steps-post")
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


def directors_finding(tables: Tables, demand: Demand) -> str:
    """How many directors each arm takes for the demand."""
    planned = df_planned(tables, demand)
    each = []
    for row in records(planned[planned["why"] == ""]):
        count = "?" if pd.isna(row["directors"]) else row["directors"]
        low, high = row["directors_low"], row["directors_high"]
        ends = "" if pd.isna(low) else f" ({low}–{'?' if pd.isna(high) else high})"
        each.append(f"{in_sentence(row['series'])} {count}{ends}")
    return say(
        "Directors for {rate} requests/s of {kib:g} KiB: {each}",
        rate=number(demand.requests_per_s),
        kib=demand.kib,
        each=", ".join(each),
    )


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
