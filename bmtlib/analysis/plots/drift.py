"""Whether the machine became slower or faster while the run went on."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bmtlib.analysis.drift import df_drift_trials, machine_drift, signed, strong_drift
from bmtlib.analysis.naming import conditions
from bmtlib.analysis.plots.load import no_case
from bmtlib.analysis.plots.style import INK, KIND_COLOURS, QUIET, new_figure, nothing_to_show, sentences, shade, styled
from bmtlib.analysis.tables import Tables
from bmtlib.texts import say


@styled
def plot_drift(tables: Tables) -> Figure:
    """Every case over the time of the run, beside the median of its arm and levels; the trend that tells the most."""
    trials = df_drift_trials(tables)
    if trials.empty:
        return nothing_to_show(say("Drift over the run"), no_case())
    row, minutes = machine_drift(tables), trials["hours"] * 60
    band = say("Line: trend of {arm}, with its 95 % interval.", arm=row["arm"]) if row else ""
    note = sentences(say("Dot: one case, beside the median of its arm and levels."), band, f"{conditions(tables)}.")
    figure = new_figure(_finding(tables), note, 2.6)
    axes = figure.subplots()
    kinds = trials.groupby("kind", sort=False)["arm"].unique()
    handles = []
    for kind, arms in kinds.items():
        for place, arm in enumerate(arms):
            colour = shade(KIND_COLOURS.get(str(kind), INK), place, len(arms))
            mine = trials["arm"] == arm
            look: Any = {"marker": "o", "linestyle": "", "color": colour, "markersize": 5.5, "markeredgecolor": "white"}
            axes.plot(minutes[mine], 100 * trials.loc[mine, "relative"], **look)
            handles.append(Line2D([], [], label=str(arm), **look))
    if row:
        mine = trials["arm"] == row["arm"]
        at = np.linspace(0, 1, 50)  # of the way from the arm's first case to its last
        x = minutes[mine].min() + at * 60 * row["hours"]
        lines = {name: 100 * (1 + row[f"{name}over_run"]) ** (at - 0.5) for name in ("", "low_", "high_")}
        axes.fill_between(x, lines["low_"], lines["high_"], color=QUIET, alpha=0.2, linewidth=0)
        axes.plot(x, lines[""], color=INK, linewidth=1.8)
        handles.append(Line2D([], [], label=say("trend of {arm}", arm=row["arm"]), color=INK, linewidth=1.8))
    axes.axhline(100, color=QUIET, linewidth=0.8, linestyle="--")
    reach = max(10.0, 1.15 * float((100 * trials["relative"] - 100).abs().max()))
    axes.set_ylim(100 - reach, 100 + reach)
    axes.set_xlabel(say("minutes since the first case began"))
    axes.set_ylabel(say("requests/s, % of the median"))
    axes.grid(axis="y")
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2)
    return figure


def _finding(tables: Tables) -> str:
    row = machine_drift(tables)
    if row is None:
        return say("Drift over the run: too few cases to tell")
    low, high = signed(row["low_over_run"]), signed(row["high_over_run"])
    change = say("{change} ({low} to {high})", change=signed(row["over_run"]), low=low, high=high)
    if row["direction"] == "none shown":
        return say("No drift over the run is shown: {arm} {change}", arm=row["arm"], change=change)
    if strong_drift(tables):
        return say("A strong drift over the run: requests/s of {arm} {change}", arm=row["arm"], change=change)
    return say("A small drift over the run: requests/s of {arm} {change}", arm=row["arm"], change=change)
