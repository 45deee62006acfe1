"""Up to which load each arm keeps the objective: waits and failures of every case of a search."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bmtlib.analysis.knee import UNITS, df_knee, df_knees, knee_text, knee_tries, objective_text
from bmtlib.analysis.naming import fidelity
from bmtlib.analysis.plots.style import INK, KIND_COLOURS, QUIET, new_figure, nothing_to_show, shade, styled
from bmtlib.analysis.tables import Tables
from bmtlib.texts import msg, say, translated

TITLE = msg("Up to which load each arm keeps the objective")


@styled
def plot_knee(tables: Tables) -> Figure:
    """Waits (above) and failed requests (below) over the load; the objective dashed, each arm's knee shaded."""
    table = df_knee(tables)
    if table.empty or tables.search is None:
        return nothing_to_show(translated(TITLE), say("No knee was searched: bmt knee does."))
    knee, tries = tables.search, knee_tries(tables)
    note = say(
        "Dot: one case; hollow: it did not keep the objective. Line: median. Dashed: objective. Shaded: where the knee "
        "lies. Director: {cpus} CPU(s) for each arm; {fidelity}.",
        cpus=len(tables.run.get("director_cpus") or []),
        fidelity=fidelity(tables),
    )
    colours = _colours(tables)
    figure = new_figure(knee_finding(tables), note, 4.6, colours)
    panels = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.4))
    for arm, colour in colours.items():
        part, dots = table[table["arm"] == arm], tries[tries["arm"] == arm]
        _shade(panels, part.iloc[0], colour, knee.highest)
        for axes, column in zip(panels, ("wait_p99_ms", "failed_share"), strict=True):
            scale = 100 if column == "failed_share" else 1
            middle = dots.groupby("level")[column].median() * scale
            axes.plot(middle.index.astype("float64"), middle, color=colour, linewidth=1.6)
            for kept, face in ((True, colour), (False, "white")):
                some = dots[dots["kept"].fillna(False) == kept]
                x, y = some["level"].astype("float64"), some[column] * scale
                axes.plot(x, y, "o", color=colour, markerfacecolor=face, markersize=4.5, linestyle="none")
    _axes(panels, tries, knee.objective.wait_p99_ms, 100 * knee.objective.failed_share)
    panels[1].set_xlabel(say("offered requests/s") if knee.vary == "rate" else say("open connections"))
    return figure


def knee_finding(tables: Tables) -> str:
    """Where the knees lie; neutral in itself, for it gives the intervals."""
    knee = tables.search
    if knee is None:
        return translated(TITLE)
    found = "; ".join(knee_text(row) for _, row in df_knees(tables).iterrows())
    return say(
        "Knee in {unit}: {found} ({objective})",
        unit=translated(UNITS[knee.vary]),
        found=found,
        objective=objective_text(knee),
    )


def _colours(tables: Tables) -> dict[str, str]:
    from matplotlib.colors import to_hex

    arms = knee_tries(tables)[["arm", "kind"]].drop_duplicates()
    found = {}
    for kind, part in arms.groupby("kind", sort=False):
        for place, arm in enumerate(part["arm"]):
            found[str(arm)] = to_hex(shade(KIND_COLOURS.get(str(kind), INK), place, len(part)))
    return found


def _shade(panels: np.ndarray, row: pd.Series, colour: str, highest: int) -> None:
    if pd.isna(row["knee_low"]) or pd.isna(row["knee_high"]):
        return
    for axes in panels:
        axes.axvspan(float(row["knee_low"]), float(row["knee_high"]), color=colour, alpha=0.25, linewidth=0)


def _axes(panels: np.ndarray, tries: pd.DataFrame, wait_ms: float | None, failed_percent: float) -> None:
    waits: Axes = panels[0]
    failed: Axes = panels[1]
    waits.set_xscale("log")
    waits.set_yscale("log")
    waits.set_ylabel(say("99 % waited less than, ms"))
    failed.set_ylabel(say("failed, %"))
    failed.set_yscale("symlog", linthresh=0.1)
    most = 100 * np.nan_to_num(tries["failed_share"].to_numpy("float64")).max()
    failed.set_ylim(-0.02, max(1.0, 2 * most, 2 * failed_percent))
    failed.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    waits.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    waits.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    waits.yaxis.set_minor_formatter(NullFormatter())
    failed.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    failed.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    failed.xaxis.set_minor_formatter(NullFormatter())
    if wait_ms is not None:
        waits.axhline(wait_ms, color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
    failed.axhline(failed_percent, color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
    for axes in panels:
        axes.grid(axis="y")
