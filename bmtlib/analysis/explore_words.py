"""What is said about a view of `explore`: names, the heading of its figure, and what has to be known first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from bmtlib.analysis.explore import (
    ARM,
    BLOCK,
    EXPLORED,
    View,
    arms,
    df_explored,
    df_explored_trials,
    doubt_of,
    held_levels,
    is_fair,
    metrics,
    series_names,
)
from bmtlib.analysis.naming import in_sentence, level
from bmtlib.analysis.schema import FACTOR_COLUMNS
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import keys
from bmtlib.analysis.used import against, doubt, spoilt_by
from bmtlib.stats import Estimate, paired_ratio, verdict
from bmtlib.texts import say

MOST_SERIES, MOST_PANELS = 16, 12  # a figure with more cannot be read


def column_words(column: str) -> str:
    """What a column that may be along x is called.

    >>> column_words("file_size_bytes"), column_words("offered_per_s"), column_words("block")
    ('file size', 'rate', 'block')
    """
    factors = {column: factor for factor, column in FACTOR_COLUMNS.items()}
    return factors.get(column, column).replace("_", " ")


def metric_words(metric: str) -> str:
    """A metric with its unit.

    >>> metric_words("requests_per_s"), metric_words("wait_p99_ms"), metric_words("director_in_bytes")
    ('requests/s', '99th percentile of the wait, ms', 'bytes into the director per request')
    """
    about = EXPLORED[metric]
    unit = about.unit.strip()
    return about.words if not unit or about.words.startswith(unit) else f"{about.words}, {unit}"


def held_words(tables: Tables, view: View) -> str:
    """The levels at which factors are held: "5 KiB, concurrency 200"; empty without any."""
    return ", ".join(level(column, value) for column, value in held_levels(tables, view).items())


def too_much(tables: Tables, view: View) -> str:
    """Why a view has more in it than a figure can hold, and what helps; empty when it has not."""
    table = df_explored(tables, view)
    series = len(set(series_names(tables, view, table)))
    if series > MOST_SERIES:
        return say(
            "{count} series are more than a figure can show ({most}): hold a factor at one level, or leave out arms.",
            count=series,
            most=MOST_SERIES,
        )
    panels = table[view.split].nunique() if view.split else 1
    if panels > MOST_PANELS:
        return say(
            "{count} panels are more than a figure can show ({most}): split by another factor.",
            count=panels,
            most=MOST_PANELS,
        )
    return ""


def notes(tables: Tables, view: View | None) -> list[str]:
    """What has to be known about the run and the view before its figures are believed; nothing when all is well."""
    return [*_run_notes(tables), *(_view_notes(tables, view) if view is not None else ())]


def _run_notes(tables: Tables) -> Iterator[str]:
    cases, status = tables.cases, str(tables.run.get("status") or "unknown")
    planned, finished = len(cases), int((cases["status"] == "done").sum())
    if not planned:
        yield say("The run has no cases.")
    elif not finished:
        yield say("No case of this run is done, so there is nothing to show ({total} planned).", total=planned)
        errors = cases["error"].dropna()
        if len(errors):
            yield say("The first reason: {error}", error=str(errors.iloc[0]))
    elif status != "done":
        yield say(
            "The run is not whole (status: {status}): {count} of {total} planned cases are done.",
            status=status,
            count=finished,
            total=planned,
        )
    elif lost := int((~cases["status"].isin(["done", "not needed"])).sum()):
        yield say(
            "{count} of {total} planned cases are not among the results: rejected, failed or not run.",
            count=lost,
            total=planned,
        )
    if finished and not metrics(tables):
        yield say("No raw file of this run could be read, so there is nothing to show.")
    if len(arms(tables)) == 1:
        yield say("Only the arm {arm} was measured: there is nothing to compare it with.", arm=arms(tables)[0])


def _view_notes(tables: Tables, view: View) -> Iterator[str]:
    trials = df_explored_trials(tables, view)
    if trials.empty:
        yield say("No case that is done has {metric} here.", metric=metric_words(view.metric))
    shown = tables.cases[tables.cases["case"].isin(trials["case"])]
    if spoilt := doubt(tables, shown, view.metric).why:
        yield say("The figure is not that of the arms alone: {why}.", why=spoilt)
    elif marked := int((trials["marks"] != "").sum()):
        yield say(
            "{count} of the {total} cases shown carry a mark of a guard: single cases name it.",
            count=marked,
            total=len(trials),
        )
    if view.log and (trials[view.metric] <= 0).any():
        yield say("A logarithmic scale has no place for 0: such cases are in the table only.")


def finding(tables: Tables, view: View) -> str:
    """The heading of a view's figure: what two series are shown to be, and neutral for more of them or fewer."""
    words, along = metric_words(view.metric), column_words(view.x)
    words = words[0].upper() + words[1:]
    neutral = say("{metric} by {factor}", metric=words, factor=along)
    places = list(_compared(tables, view))
    if not places:
        return neutral
    one, other = (in_sentence(name) for name in places[0][:2])
    said = [found for _, _, found in places]
    above, below = said.count("higher"), said.count("lower")
    if len(said) == 1:
        if not above and not below:
            return say("{metric}: {one} and {other} are not shown to differ", metric=words, one=one, other=other)
        first, second = (one, other) if above else (other, one)
        return say("{metric}: {first} is above {second}", metric=words, first=first, second=second)
    if len(said) in (above, below):
        first, second = (one, other) if above else (other, one)
        return say(
            "{metric}: {first} is above {second} at all {places} places",
            metric=words,
            first=first,
            second=second,
            places=len(said),
        )
    if not above and not below:
        return say(
            "{metric}: {one} and {other} are not shown to differ at any of {places} places",
            metric=words,
            one=one,
            other=other,
            places=len(said),
        )
    return say(
        "{metric}: {one} is above {other} at {above} of {places} places and below at {below}; not decided at {rest}",
        metric=words,
        one=one,
        other=other,
        above=above,
        places=len(said),
        below=below,
        rest=len(said) - above - below,
    )


def _compared(tables: Tables, view: View) -> Iterator[tuple[str, str, str]]:
    """Where a view has two series: their names and the verdict of their ratio, at each place along x and panel."""
    if EXPLORED[view.metric].kind == "count" or view.x == BLOCK:
        return
    trials = df_explored_trials(tables, view)
    trials = trials.assign(series=series_names(tables, view, trials))
    names = list(dict.fromkeys(trials["series"]))
    if len(names) != 2:
        return
    places = [column for column in (view.x, view.split) if column and column != ARM]
    one, other = (trials[trials["series"] == name] for name in names)
    if any(side[column].isna().any() for side in (one, other) for column in places):
        return  # a series without this factor: the same blocks would count once for each level
    for _, pairs in one.merge(other, on=[*places, "block"]).groupby(places or "series_x", sort=False):
        found = paired_ratio(pairs[f"{view.metric}_x"].to_numpy(), pairs[f"{view.metric}_y"].to_numpy())
        sides = [_side(tables, pairs.iloc[0], end) for end in ("_x", "_y")]
        yield names[0], names[1], _judged(tables, view, found, sides)


def _judged(tables: Tables, view: View, found: Estimate, sides: list[dict[str, Any]]) -> str:
    """The verdict of a ratio, as in `df_ratio`: undecided too where left out blocks, or marks, speak against it."""
    said = verdict(found)
    if said == "undecided" or (not is_fair(tables) and any(spoilt_by(tables, side) for side in sides)):
        return "undecided"
    doubts = [doubt_of(tables, view.metric, side) for side in sides]
    return "undecided" if against(said, view.metric, *doubts) else said


def _side(tables: Tables, row: pd.Series, end: str) -> dict[str, Any]:
    return {name: row[name if name in row else f"{name}{end}"] for name in keys(tables)}
