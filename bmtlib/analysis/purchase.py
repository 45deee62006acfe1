"""What to buy: how many directors a demand takes, from whatever the run measured; and where it cannot tell, a bound.

A run over three file sizes has lines of the costs, and `df_capacity` works the number out. Of any other run the costs
at the sizes that it has are known: a larger answer costs a director no less, so the number for a smaller size is a
floor, and that for a larger one a ceiling. Through a proxy every answer passes the director's link besides.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from bmtlib.analysis.capacity import Demand, df_capacity, whole
from bmtlib.analysis.cost_model import SIZE
from bmtlib.analysis.costs import separable
from bmtlib.analysis.schema import COLUMNS
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import df_trials, done, keys, once, records
from bmtlib.stats import estimate

# The question that every report answers; `bmt capacity` answers others.
ASKED = Demand(requests_per_s=50_000, kib=20, gbit_per_s=10)
# Directors through which answers pass; past the others they go to the client.
BOTH_WAYS = ("proxy", "nat")
Bound = Literal["", "at least", "at most"]
_BYTES_PER_S = 1e9 / 8  # of 1 Gbit/s


@once
def df_purchase(tables: Tables) -> pd.DataFrame:
    """Directors that ASKED takes, by arm and settings: a row for each size that says something of it.

    arm, kind, engine, <levels>; requests_per_s, kib, gbit_per_s: the demand; cpus: of a director, as measured
    bound: empty: worked out for the size itself; at least, at most: by the cost at a smaller or larger one
    directors, low, high: how many, with 95 % interval (missing with fewer than three blocks); n: blocks
    from_kib: the size that was measured, missing where lines over sizes were fitted; limit: what a director meets first
    extrapolated: what lies beyond the measurement. Empty table: the run does not know the cost of a request
    """
    rows = list(_by_lines(tables)) or list(_by_bounds(tables))
    types = {
        **{name: COLUMNS["cases"][name] for name in keys(tables)},
        **dict.fromkeys(("requests_per_s", "kib", "gbit_per_s", "from_kib"), "float64"),
        **dict.fromkeys(("cpus", "directors", "low", "high", "n"), "Int64"),
        **dict.fromkeys(("bound", "limit", "extrapolated"), "string"),
    }
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def why_not(tables: Tables) -> str:
    """Why a run cannot tell what a request costs the director: a key of words for it; empty when it can."""
    if done(tables).empty:
        return "no case"
    if not separable(tables):
        return "shared"
    return "" if len(df_purchase(tables)) else "no cost"


def _asked(cpus: int) -> dict[str, Any]:
    return {**{name: getattr(ASKED, name) for name in ("requests_per_s", "kib", "gbit_per_s")}, "cpus": cpus}


def _by_lines(tables: Tables) -> Iterator[dict[str, Any]]:
    table = df_capacity(tables, [ASKED])
    for row in records(table[table["why"] == ""]):
        names = {name: row[name] for name in keys(tables) if name != SIZE}
        low, high = row["directors_low"], row["directors_high"]
        counts = {"directors": row["directors"], "low": low, "high": high, "limit": row["limit"]}
        yield {**names, **_asked(row["cpus"]), **counts, "bound": "", "extrapolated": row["extrapolated"]}


def _by_bounds(tables: Tables) -> Iterator[dict[str, Any]]:
    cpus = len(tables.run.get("director_cpus") or [])
    trials = df_trials(tables).drop(columns=SIZE, errors="ignore").merge(tables.cases[["case", SIZE]], on="case")
    trials = trials[(trials["kind"] != "direct") & trials["director_cpu_us"].gt(0)]
    if not cpus or not separable(tables):
        return
    names = [name for name in keys(tables) if name != SIZE]
    for _, group in trials.groupby(names, dropna=False, sort=False):
        kib = group[SIZE] / 1024
        smaller, larger = kib[kib <= ASKED.kib], kib[kib >= ASKED.kib]
        sizes: dict[float, Bound] = {}
        if len(smaller):
            sizes[smaller.max()] = "at least"
        if len(larger):
            sizes[larger.min()] = "" if larger.min() == ASKED.kib else "at most"
        for size, bound in sizes.items():
            part = group[kib == size]
            first = records(part.iloc[:1])[0]
            levels = {name: first[name] for name in keys(tables)}
            yield {**levels, **_asked(cpus), **_needed(part, cpus, bound), "bound": bound, "from_kib": size}


def _needed(part: pd.DataFrame, cpus: int, bound: Bound) -> Mapping[str, Any]:
    """Directors by CPU time and by bytes of the cases of one size, block by block; the larger count rules."""
    rate, link = ASKED.requests_per_s, ASKED.gbit_per_s * _BYTES_PER_S
    through = part[["director_in_bytes", "director_out_bytes"]].max(axis=1).fillna(0)
    if bound == "at least" and part["kind"].iloc[0] in BOTH_WAYS:
        through = through.clip(lower=ASKED.kib * 1024)  # what the answers are, headers not counted
    by_limit = {"director CPU": rate * part["director_cpu_us"] / (cpus * 1e6), "link": rate * through / link}
    found = estimate(np.max(list(by_limit.values()), axis=0))
    middle = {limit: float(values.median()) for limit, values in by_limit.items()}
    counts = {"directors": whole(found.median), "low": whole(found.low), "high": whole(found.high), "n": found.n}
    return {**counts, "limit": max(middle, key=lambda name: middle[name])}


def payload_gbit() -> float:
    """What the answers of ASKED are, in Gbit/s, without headers: the web hosts' links carry it with every arm."""
    return ASKED.requests_per_s * ASKED.kib * 1024 * 8 / 1e9


def payload_links() -> int:
    """Links that it fills at least."""
    return math.ceil(payload_gbit() / ASKED.gbit_per_s)
