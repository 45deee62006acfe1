"""Any metric over any factor: what the explorer shows, as tables. Knows no widget.

Cases of different levels are never put together: what is neither along x nor split is held at one level, or is part of
a series' name. A block is the unit of repetition here as everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

import pandas as pd

from bmtlib.analysis.metrics import METRICS, About, df_metrics
from bmtlib.analysis.naming import level, scales
from bmtlib.analysis.schema import COLUMNS
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import arranged, df_trials, done, keys, records
from bmtlib.analysis.used import Doubt, cases_of, df_used, doubt
from bmtlib.stats import estimate

ARM, BLOCK = "arm", "block"  # what may be along x beside a factor
MOST_APART = 3  # levels that are worth a series each, unless asked for
# Columns of df_trials that no claim can be about, and that are worth a look.
_MORE: dict[str, About] = {
    "wait_mean_ms": About(words="mean wait", unit=" ms"),
    "director_in_bytes": About(words="bytes into the director per request", unit=" bytes"),
    "director_out_bytes": About(words="bytes out of the director per request", unit=" bytes"),
    "client_bytes": About(words="bytes received by clients per request", unit=" bytes"),
}
# A spread is one value of all blocks: there is nothing to see over them.
EXPLORED: dict[str, About] = {name: about for name, about in METRICS.items() if about.kind != "spread"} | _MORE


@dataclass(frozen=True, kw_only=True)
class View:
    """What is looked at.

    metric: of EXPLORED. arms: those shown. x: ARM, BLOCK or a factor's column; split: a factor's column that makes
    panels, or empty. held: of other factors, column -> the one level shown; a factor that is in none of these is part
    of a series' name. trials: single cases instead of their median with interval. log: a logarithmic scale of values
    """

    metric: str
    arms: tuple[str, ...]
    x: str = ARM
    split: str = ""
    held: Mapping[str, Any] = field(default_factory=dict)
    trials: bool = False
    log: bool = False


def metrics(tables: Tables) -> list[str]:
    """Metrics that this run measured."""
    values = _of(tables).values
    return [name for name in EXPLORED if values[name].notna().any()]


def arms(tables: Tables) -> list[str]:
    """Arms with a case that is done, in the order in which they are shown."""
    return list(_of(tables).arms)


def levels(tables: Tables, column: str) -> list[Any]:
    """Levels of a factor among the cases that are done, in their order."""
    return _of(tables).levels[column]


def _levels(tables: Tables, column: str, found: set[Any]) -> list[Any]:
    named = {"lever": tables.levers, "tuning": tables.tunings}.get(column)
    return [name for name in named if name in found] if named else sorted(found)


def varied(tables: Tables) -> list[str]:
    """Columns of the factors with more than one level among the cases that are done."""
    return [column for column, found in _of(tables).levels.items() if len(found) > 1]


def first_view(tables: Tables) -> View | None:
    """What is shown first: requests/s of all arms, over the first factor. None when there is nothing to show."""
    known, factors = metrics(tables), varied(tables)
    if not known:
        return None
    return View(metric=known[0], arms=tuple(arms(tables)), x=next(iter(factors), ARM), held=first_held(tables))


def first_held(tables: Tables) -> dict[str, Any]:
    """Scales, and factors with many levels, at their last level, should they be left over; of others all are shown."""
    found = {column: levels(tables, column) for column in varied(tables)}
    return {column: own[-1] for column, own in found.items() if column in scales(tables) or len(own) > MOST_APART}


def held_levels(tables: Tables, view: View) -> dict[str, Any]:
    """The factors that are held, and at which level: those along x or split are not."""
    return {column: view.held[column] for column in left_over(tables, view) if column in view.held}


def left_over(tables: Tables, view: View) -> list[str]:
    """Factors that are neither along x nor split."""
    return [column for column in varied(tables) if column not in (view.x, view.split)]


def fitted(tables: Tables, view: View) -> View | None:
    """`view` as far as this run has what it asks for; else as in its first view. None when there is nothing to show."""
    first = first_view(tables)
    if first is None:
        return None
    factors = varied(tables)
    x = view.x if view.x in (ARM, BLOCK, *factors) else first.x
    there = tuple(arm for arm in first.arms if arm in view.arms)
    found = replace(
        view,
        metric=view.metric if view.metric in metrics(tables) else first.metric,
        arms=there or first.arms,
        x=x,
        split=view.split if view.split in factors and view.split != x else "",
    )
    kept = {
        column: value for column, value in view.held.items() if column in factors and value in levels(tables, column)
    }
    return replace(found, held=kept)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Run:
    """What all views of a run start from, made once: values (every metric by done case), arms and levels that are
    there, fair (no side has lost too many of its blocks); and what was made so far: summaries by metric, doubts by
    metric and side."""

    values: pd.DataFrame
    arms: tuple[str, ...]
    levels: dict[str, list[Any]]
    fair: bool
    summaries: dict[str, pd.DataFrame]
    doubts: dict[tuple[str, ...], Doubt]


_runs: WeakKeyDictionary[Tables, _Run] = WeakKeyDictionary()


def _of(tables: Tables) -> _Run:
    if tables not in _runs:
        cases = done(tables)
        found = df_metrics(tables).join(df_trials(tables).set_index("case")[list(_MORE)], on="case")
        marked = tables.guards[tables.guards["verdict"] == "mark"].groupby("case")["name"]
        marks = {case: ", ".join(names) for case, names in marked}
        _runs[tables] = _Run(
            values=found.assign(marks=pd.Series([marks.get(case, "") for case in found["case"]], dtype="string")),
            arms=tuple(dict.fromkeys(cases["arm"])),
            levels={name: _levels(tables, name, set(cases[name].dropna())) for name in tables.factors},
            fair=bool(df_used(tables)["decides"].all()),
            summaries={},
            doubts={},
        )
    return _runs[tables]


def _held(tables: Tables, table: pd.DataFrame, view: View) -> pd.DataFrame:
    """Rows at the levels that are held. An arm without that factor is there at all of its levels."""
    for column, value in held_levels(tables, view).items():
        table = table[table[column].isna() | (table[column] == value).fillna(False)]
    return table[table[view.metric].notna()]


def df_explored_trials(tables: Tables, view: View) -> pd.DataFrame:
    """Single cases of a view: case, arm, kind, engine, <levels>, block, the metric, marks (guards that marked it)."""
    table = _held(tables, _of(tables).values, view)
    names = ["case", *keys(tables), "block", view.metric, "marks"]
    return table.loc[table["arm"].isin(view.arms), names].reset_index(drop=True)


def df_explored(tables: Tables, view: View) -> pd.DataFrame:
    """The table under a view: one row per arm and choice of levels, or the single cases when these are shown.

    arm, kind, engine, <levels>; the metric's column: median over blocks; low, high: its 95 % interval (missing with
    fewer than three blocks, and for counts); min, max: range over blocks; n: blocks. Single cases are as in
    `df_explored_trials`.
    """
    if view.trials or view.x == BLOCK:
        return df_explored_trials(tables, view)
    table = _held(tables, _summary(tables, view.metric), view)
    return table[table["arm"].isin(view.arms)].reset_index(drop=True)


def _summary(tables: Tables, metric: str) -> pd.DataFrame:
    """Of all arms and levels: intervals are dear, and a change of the view needs no new ones."""
    kept = _of(tables).summaries
    if metric not in kept:
        names, count = keys(tables), EXPLORED[metric].kind == "count"
        rows = []
        groups: Any = _of(tables).values.groupby(names, dropna=False, sort=False)
        for values, part in groups:
            found = estimate(part[metric].to_numpy())
            ends = {} if count else {"low": found.low, "high": found.high}
            rows.append(
                {
                    **dict(zip(names, values, strict=True)),
                    metric: found.median,
                    **ends,
                    "min": found.min,
                    "max": found.max,
                    "n": found.n,
                }
            )
        types = {
            **{name: COLUMNS["cases"][name] for name in names},
            **dict.fromkeys((metric, "low", "high", "min", "max"), "float64"),
            "n": "int64",
        }
        kept[metric] = arranged(tables, pd.DataFrame(rows, columns=list(types)).astype(types))
    return kept[metric]


def series_names(tables: Tables, view: View, table: pd.DataFrame) -> list[str]:
    """The series of each row: the arm with its levels of the factors that are neither along x, split nor held."""
    own = [column for column in left_over(tables, view) if column not in view.held]
    return [
        ", ".join([str(row["arm"]), *(level(column, row[column]) for column in own if pd.notna(row[column]))])
        for row in records(table[["arm", *own]])
    ]


def all_series_names(tables: Tables, view: View) -> dict[str, str]:
    """Series -> kind, of all arms, shown or not: so an arm keeps its colour while others come and go."""
    table = _held(tables, _summary(tables, view.metric), view)
    return dict(zip(series_names(tables, view, table), table["kind"].astype(str), strict=True))


def is_fair(tables: Tables) -> bool:
    """Whether no arm has lost so many of its blocks that the rest decides nothing."""
    return _of(tables).fair


def doubt_of(tables: Tables, metric: str, side: Mapping[str, Any]) -> Doubt:
    """What marks of guards make of a metric of one arm at its levels (the columns of `keys`)."""
    key, kept = (metric, *(str(side[name]) for name in keys(tables))), _of(tables).doubts
    if key not in kept:
        kept[key] = doubt(tables, cases_of(tables, side), metric)
    return kept[key]
