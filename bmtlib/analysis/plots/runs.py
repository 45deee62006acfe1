"""Several runs side by side: the same arms at the same levels, a row for each run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bmtlib.analysis.across import df_ratios_of_runs, df_runs, factors_of, letters, run_names
from bmtlib.analysis.compare import MEASURES, df_trials
from bmtlib.analysis.naming import level, number, ratio_text
from bmtlib.analysis.plots.style import (
    INK,
    KIND_COLOURS,
    QUIET,
    new_figure,
    nothing_to_show,
    shade,
    styled,
    text_colour,
)
from bmtlib.analysis.tables import Tables
from bmtlib.texts import say, translated

_MOST_ROWS = 24  # of arms at their levels: more are in the table alone


@styled
def plot_runs(runs: Sequence[Tables], measure: str = "requests_per_s") -> Figure:
    """A measure of `compare.MEASURES`: a row per arm, levels and run; median, interval, single blocks."""
    table = df_runs(runs)
    table = table[(table["measure"] == measure) & table["value"].notna()]
    if table.empty:
        return nothing_to_show(
            say("The runs side by side"), say("The runs have no arm at the same levels that is done in both.")
        )
    factors = factors_of(runs)
    groups = list(table.groupby(["arm", "kind", *factors], dropna=False, sort=False))
    note = say("Dot: one block. Line: median. Bar: 95 % interval, of the blocks within that run.")
    note += (
        " " + "; ".join(f"{letter}: {name}" for letter, name in zip(letters(runs), run_names(runs), strict=True)) + "."
    )
    if len(groups) > _MOST_ROWS:
        note += " " + say("The first {shown} of {total} arms at their levels.", shown=_MOST_ROWS, total=len(groups))
    groups = groups[:_MOST_ROWS]
    figure = new_figure(runs_finding(runs, measure), note, 0.7 + sum(0.3 + 0.3 * len(part) for _, part in groups))
    _draw(runs, figure.subplots(), groups, measure)
    return figure


def runs_finding(runs: Sequence[Tables], measure: str = "requests_per_s") -> str:
    """What `df_ratios_of_runs` says about a measure: whether the ratio of two arms is another one in another run."""
    table = df_ratios_of_runs(runs)
    table = table[(table["measure"] == measure) & table["value"].notna()]
    later = table[table["ratio"].notna()]
    what = translated(MEASURES[measure])
    if later.empty:
        return say("{what}, run by run", what=what[0].upper() + what[1:])
    first = later.iloc[0]
    if len(later) == 1:
        before = table[table["ratio"].isna()].iloc[0]
        values = {
            "pair": f"{first['arm']} / {first['against']}",
            "what": what,
            "before": ratio_text(before["value"]),
            "now": ratio_text(first["value"]),
            "change": ratio_text(first["ratio"], first["ratio_low"], first["ratio_high"]),
        }
        if pd.isna(first["ratio_low"]):
            return say("{pair} in {what}: {before}, then {now}; too few blocks to tell a change", **values)
        if first["verdict"] == "undecided":
            return say("{pair} in {what}: {before}, then {now}; no change is shown: {change} times", **values)
        return say("{pair} in {what} changed from run to run: {before}, then {now}; {change} times", **values)
    changed = int((later["verdict"] != "undecided").sum())
    return say(
        "Ratios of arms in {what}: {changed} of {total} differ between the runs",
        what=what,
        changed=changed,
        total=len(later),
    )


def _draw(runs: Sequence[Tables], axes: Axes, groups: Sequence[tuple[Any, pd.DataFrame]], measure: str) -> None:
    names, letter = run_names(runs), dict(zip(run_names(runs), letters(runs), strict=True))
    factors, y = factors_of(runs), 0.0
    ticks: list[float] = []
    labels: list[str] = []
    kinds: dict[str, list[str]] = {}
    for (arm, kind, *_), _part in groups:
        if arm not in kinds.setdefault(kind, []):
            kinds[kind].append(arm)
    for (arm, kind, *levels), part in groups:
        colour = shade(KIND_COLOURS.get(str(kind), INK), kinds[kind].index(arm), len(kinds[kind]))
        title = ", ".join(
            [arm, *(level(name, value) for name, value in zip(factors, levels, strict=True) if pd.notna(value))]
        )
        beside: Any = {"textcoords": "offset points", "va": "center"}
        head: Any = {"xycoords": ("axes fraction", "data"), "fontweight": "bold", "color": text_colour(colour)}
        axes.annotate(title, (0, y), xytext=(2, 0), **head, **beside)
        for _, row in part.iterrows():
            y += 1
            dots = _dots(runs[names.index(row["run"])], row, measure, factors)
            if np.isfinite(row["low"]):
                axes.plot(
                    [row["low"], row["high"]], [y, y], color=colour, alpha=0.35, linewidth=8, solid_capstyle="butt"
                )
            axes.plot([row["value"]] * 2, [y - 0.32, y + 0.32], color=colour, linewidth=2.5)
            axes.plot(dots, [y] * len(dots), "o", color=colour, markersize=4.5, markeredgecolor="white")
            right = max([row["value"], *dots, *([row["high"]] if np.isfinite(row["high"]) else [])])
            axes.annotate(_said(row, letter), (right, y), xytext=(7, 0), color=QUIET, fontsize=8.5, **beside)
            ticks.append(y)
            labels.append(letter[row["run"]])
        y += 1.1
    axes.set_yticks(ticks, labels)
    axes.set_ylim(y - 0.4, -0.7)
    largest = np.nanmax(np.concatenate([part[["value", "high"]].to_numpy().ravel() for _, part in groups]))
    axes.set_xlim(0, 1.45 * largest or 1)
    axes.set_xlabel(
        translated(MEASURES[measure]) + {"director_cpu_us": " (µs)", "wait_p99_ms": " (ms)"}.get(measure, "")
    )
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)


def _dots(tables: Tables, row: pd.Series, measure: str, factors: Sequence[str]) -> list[float]:
    """The single blocks behind a row."""
    trials = df_trials(tables)
    cases = tables.cases[(tables.cases["arm"] == row["arm"])]
    for name in factors:
        cases = cases[cases[name].isna() if pd.isna(row[name]) else (cases[name] == row[name]).fillna(False)]
    return [float(value) for value in trials.loc[trials["case"].isin(cases["case"]), measure].dropna()]


def _said(row: pd.Series, letter: dict[str, str]) -> str:
    """The median, and how it stands to the first run's."""
    if pd.isna(row["ratio"]):
        return number(row["value"])
    times = ratio_text(row["ratio"], row["ratio_low"], row["ratio_high"])
    return say("{value} = {times} × {first}", value=number(row["value"]), times=times, first=letter[row["against"]])
