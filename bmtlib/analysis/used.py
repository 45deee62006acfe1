"""How many of the measured blocks are used, how many are left out, and why: nothing leaves a comparison in silence.

A case that a guard rejected, or that failed, takes no part in any figure. Few of them are said. When they are many the
rest is no fair sample of the arm any more (what goes wrong under load goes wrong in the worst blocks first), so a
comparison built on it is undecided. The rule holds for each side by itself.

A case that a guard *marked* takes part. But its guard may say that the mark spoils some measures: they are then not the
arm's alone, but also those of clients, web hosts or queues beside it. Nearly all such marks make an arm look worse than
it is: so where too many cases of a side have one, that side's figure is a bound. A verdict that would only be plainer
without the mark stands, and says so; any other is undecided, and says by which guard.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from bmtlib.analysis.naming import enumerated, word
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import arranged, keys, once
from bmtlib.texts import say, say_n

# Of the blocks that were measured, the share that may be left out before the rest decides nothing.
MOST_LEFT_OUT = 0.25
# Of the blocks that are used, the share that may have a mark which spoils a measure.
MOST_MARKED = 0.25
# What a guard says that it spoils, by measure; all others are spoilt by none.
_SPOILT_AS = {
    "requests_per_s": "requests_per_s",
    "spread_requests_per_s": "requests_per_s",
    "wait_mean_ms": "waits",
    "wait_p50_ms": "waits",
    "wait_p99_ms": "waits",
    "director_cpu_us": "director_cpu_us",
    "director_cpu_us_per_request": "director_cpu_us",
}
# A clock that was set makes a window longer or shorter; requests that were not sent would have waited longest.
_EITHER_WAY = ("clock", "send-rate")

# Measured, and not used. The other states (not run, interrupted, left out) say nothing about the arm.
_LEFT_OUT = ("rejected", "failed", "unreadable")


@once
def df_used(tables: Tables) -> pd.DataFrame:
    """One row per arm and choice of levels of the plan: what became of its blocks.

    planned; measured: done, rejected, failed or unreadable; used: done; left_out: measured and not used; not_measured
    decides: False when more than MOST_LEFT_OUT of the measured blocks are left out
    why: of those left out: "2 of 8 measured cases rejected by the guard overlap, 1 failed", else empty
    """
    names, rows = keys(tables), []
    cases = tables.cases.assign(engine=_engines(tables))
    for values, part in cases.groupby(names, dropna=False, sort=False):
        rows.append({**dict(zip(names, values, strict=True)), **used(tables, part)})
    kinds = {name: tables.cases[name].dtype for name in names}
    counts = dict.fromkeys(("planned", "measured", "used", "left_out", "not_measured"), "int64")
    types: dict[str, Any] = {**kinds, **counts, "decides": "bool", "why": "string"}
    return arranged(tables, pd.DataFrame(rows, columns=list(types)).astype(types))


def _engines(tables: Tables) -> pd.Series:
    """A case that was not measured has the engine that was planned (auto): it belongs to those that were."""
    return tables.cases["arm"].map(tables.run.get("engine") or {}).fillna(tables.cases["engine"]).astype("string")


def used(tables: Tables, cases: pd.DataFrame) -> dict[str, Any]:
    """What became of `cases`, rows of the table of that name; as in `df_used`."""
    states = Counter(cases["status"])
    left_out = sum(states[state] for state in _LEFT_OUT)
    measured = left_out + states["done"]
    return {
        "planned": len(cases),
        "measured": measured,
        "used": states["done"],
        "left_out": left_out,
        "not_measured": len(cases) - measured,
        "decides": left_out <= MOST_LEFT_OUT * measured,
        "why": _why(tables, cases, measured) if left_out else "",
    }


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """What marks make of a measure of some cases. `why`: empty where they spoil nothing, or in few cases.

    `bound`: the figure can only be too bad: fewer requests/s, longer waits, more CPU time than were the arm's own.
    """

    why: str = ""
    bound: bool = True


def doubt(tables: Tables, cases: pd.DataFrame, measure: str) -> Doubt:
    """Whether more of the used ones among `cases` (rows of that table) than MOST_MARKED have a mark that spoils
    `measure`: a column of `df_trials`, or the metric of a claim."""
    spoilt, ours = _SPOILT_AS.get(measure), cases.loc[cases["status"] == "done", "case"]
    marks = tables.guards[(tables.guards["verdict"] == "mark") & tables.guards["case"].isin(ours)]
    marks = marks[marks["spoils"].fillna("").str.split().map(lambda words: spoilt in words).astype(bool)]
    count = marks["case"].nunique()
    if count <= MOST_MARKED * len(ours):
        return Doubt()
    names = list(dict.fromkeys(marks["name"]))
    why = say(
        "{count} of {used} used cases marked by {guards}, which spoils the measure",
        count=count,
        used=len(ours),
        guards=enumerated([str(name) for name in names]),
    )
    return Doubt(why=why, bound=not set(names) & set(_EITHER_WAY) and not measure.startswith("spread"))


def against(said: Literal["higher", "lower"], measure: str, one: Doubt, other: Doubt | None = None) -> bool:
    """Whether marks speak against "one is higher (lower) than other", or than a limit where there is no other.

    >>> marked = Doubt(why="marked")
    >>> against("higher", "requests_per_s", marked), against("lower", "requests_per_s", marked)
    (False, True)
    >>> against("lower", "wait_p99_ms", marked), against("lower", "wait_p99_ms", Doubt(), marked)
    (False, True)
    """
    other = other or Doubt()
    if any(side.why and not side.bound for side in (one, other)):
        return True
    too_low = _SPOILT_AS.get(measure) == "requests_per_s"
    return bool((other if (said == "higher") == too_low else one).why)


def cases_of(tables: Tables, side: Mapping[str, Any]) -> pd.DataFrame:
    """The cases of an arm at its levels, by the columns of `keys`."""
    return _of(tables.cases.assign(engine=_engines(tables)), tables, side)


def spoilt_by(tables: Tables, side: Mapping[str, Any]) -> str:
    """Why too many cases of an arm at its levels (the columns of `keys`) are left out; empty when they are not."""
    table = _of(df_used(tables), tables, side)
    return "; ".join(table.loc[~table["decides"], "why"])


def _of(table: pd.DataFrame, tables: Tables, side: Mapping[str, Any]) -> pd.DataFrame:
    for name in keys(tables):
        value = side[name]
        table = table[table[name].isna() if pd.isna(value) else (table[name] == value).fillna(False)]
    return table


def _why(tables: Tables, cases: pd.DataFrame, measured: int) -> str:
    """Words such as: 2 of 8 measured cases rejected by the guard overlap, 1 failed."""
    judged = tables.guards[(tables.guards["verdict"] == "reject") & tables.guards["case"].isin(cases["case"])]
    parts: list[str] = []
    for state in _LEFT_OUT:
        ours = cases[cases["status"] == state]["case"]
        if len(ours):
            guards = dict.fromkeys(judged.loc[judged["case"].isin(ours), "name"])
            names = enumerated([str(name) for name in guards])
            if guards and state == "rejected":
                what = say_n(
                    "rejected by the guard {names}", "rejected by the guards {names}", len(guards), names=names
                )
            else:
                what = word(state)
            if parts:
                parts.append(say("{count} {what}", count=len(ours), what=what))
            else:
                parts.append(
                    say_n(
                        "{count} of {n} measured case {what}",
                        "{count} of {n} measured cases {what}",
                        measured,
                        count=len(ours),
                        what=what,
                    )
                )
    return ", ".join(parts)
