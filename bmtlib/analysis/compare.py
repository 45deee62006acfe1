"""The public tables: every figure and every sentence of the report stands on one of these.

Each `df_x(tables)` takes the tables of a run and returns a DataFrame that is complete in itself: arm, kind, engine and
the scenario's levels first, then figures whose names end in their unit. Only cases that are done count. An arm without
data is absent or has missing values; nothing here raises for a run that went wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from bmtlib.analysis.claims import df_claims
from bmtlib.analysis.costs import (
    df_cpu_busy,
    df_cpu_over_time,
    df_director_bytes,
    df_director_cpu,
    df_irq_softirq,
    df_web_share,
)
from bmtlib.analysis.drops import df_drops, df_lost
from bmtlib.analysis.irqs import df_irq_over_time, df_packets_by_cpu
from bmtlib.analysis.naming import level
from bmtlib.analysis.schema import COLUMNS, FACTOR_COLUMNS
from bmtlib.analysis.settings import df_settings
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import df_trials, keys, once, summarised
from bmtlib.analysis.waits import df_little, df_wait_curve, df_waits
from bmtlib.params.factors import DIRECTOR_FACTORS
from bmtlib.params.paths import project_root
from bmtlib.params.units import size_text
from bmtlib.stats import Estimate, estimate, paired_ratio, verdict

__all__ = [
    "MEASURES",
    "df_claims",
    "df_cpu_busy",
    "df_cpu_over_time",
    "df_director_bytes",
    "df_director_cpu",
    "df_drops",
    "df_guards",
    "df_irq_over_time",
    "df_irq_softirq",
    "df_little",
    "df_lost",
    "df_packets_by_cpu",
    "df_ratio",
    "df_seed_form",
    "df_seed_reference",
    "df_settings",
    "df_throughput",
    "df_trials",
    "df_wait_curve",
    "df_waits",
    "df_web_share",
]

# Arms that pass packets on, and so may do better than a proxy.
_LVS = ("nat", "l3dsr", "l2dsr")

# What arms are compared by: column of df_trials -> words.
MEASURES = {
    "requests_per_s": "requests/s",
    "director_cpu_us": "director CPU per request",
    "director_bytes": "bytes through the director per request",
    "wait_p99_ms": "99th percentile of the wait",
}


@once
def df_throughput(tables: Tables) -> pd.DataFrame:
    """Right answers per second by arm and levels: median over blocks, 95 % interval, range.

    requests_per_s, low_per_s, high_per_s, min_per_s, max_per_s; n: blocks. Single blocks are in `df_trials`.
    """

    def row(group: pd.DataFrame) -> dict[str, Any]:
        found = estimate(group["requests_per_s"].to_numpy())
        return {
            "requests_per_s": found.median,
            "low_per_s": found.low,
            "high_per_s": found.high,
            "min_per_s": found.min,
            "max_per_s": found.max,
            "n": found.n,
        }

    figures = ("requests_per_s", "low_per_s", "high_per_s", "min_per_s", "max_per_s")
    return summarised(tables, df_trials(tables), row, {**dict.fromkeys(figures, "float64"), "n": "int64"})


@once
def df_ratio(tables: Tables) -> pd.DataFrame:
    """Each arm of LVS against each proxy arm, by measure and levels; without such a pair, each arm against the first.

    measure: column of `df_trials` (MEASURES has the words)
    arm, engine, against, against_engine, <levels>: a level that only one side has is that side's
    ratio: median over blocks of arm / against; low, high: 95 % interval; min, max: range over blocks; n: blocks in
        which both sides are done
    verdict: higher or lower (than 1), undecided when the interval holds 1 or there are fewer than three blocks
    """
    trials = df_trials(tables)
    direct = set(trials.loc[trials["kind"] == "direct", "arm"])
    rows = [
        {"measure": measure, **names, **_ratio(pairs[f"{measure}_x"], pairs[f"{measure}_y"])}
        for names, pairs in _pairs(tables, trials)
        for measure in MEASURES
        # Under the direct arm the director has nothing to do, so its cost is noise and no measure for others.
        if not (measure.startswith("director") and direct & {names["arm"], names["against"]})
    ]
    types = {
        **dict.fromkeys(("measure", "arm", "engine", "against", "against_engine"), "string"),
        **{name: COLUMNS["cases"][name] for name in tables.factors},
        **dict.fromkeys(("ratio", "low", "high", "min", "max"), "float64"),
        "n": "int64",
        "verdict": "string",
    }
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def _pairs(tables: Tables, trials: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Names of both sides, and their trials joined by block: columns of the arm end in _x, of the other in _y."""
    settings = [(dict(zip(keys(tables), values, strict=True)), part) for values, part in _groups(tables, trials)]
    pairs = [
        (one, other)
        for one, other in product(settings, settings)
        if one[0]["kind"] in _LVS and other[0]["kind"] == "proxy"
    ]
    if not pairs and settings:
        first = settings[0][0]["arm"]
        pairs = [
            (one, other) for one, other in product(settings, settings) if other[0]["arm"] == first != one[0]["arm"]
        ]
    for (one, part), (other, against) in pairs:
        shared = [name for name in tables.factors if pd.notna(one[name]) and pd.notna(other[name])]
        if any(one[name] != other[name] for name in shared):
            continue
        names = {
            "arm": one["arm"],
            "engine": one["engine"],
            "against": other["arm"],
            "against_engine": other["engine"],
            **{name: other[name] if pd.isna(one[name]) else one[name] for name in tables.factors},
        }
        yield names, part.merge(against, on="block")


def _groups(tables: Tables, table: pd.DataFrame) -> Iterator[tuple[Any, pd.DataFrame]]:
    return iter(table.groupby(keys(tables), dropna=False, sort=False))


def _ratio(above: pd.Series, below: pd.Series) -> dict[str, Any]:
    found: Estimate = paired_ratio(above.to_numpy(), below.to_numpy())
    return {
        "ratio": found.median,
        "low": found.low,
        "high": found.high,
        "min": found.min,
        "max": found.max,
        "n": found.n,
        "verdict": verdict(found),
    }


@once
def df_seed_form(tables: Tables) -> pd.DataFrame:
    """The seed study's table, one row per arm and levels, medians over blocks.

    Arm (with its lever and queues), Thread (missing where there is no such setting), Concurrency, Total Requests (of
    one case), File Size, Requests (sec), Latency (ms): the seed's figure, 1 / rate. Wait (ms): what a client waited,
    which Latency is not.
    """
    trials = df_trials(tables).drop(columns=["threads", "file_size_bytes"], errors="ignore")
    trials = trials.merge(tables.cases[["case", "threads", "file_size_bytes"]], on="case")
    rows, own = [], [FACTOR_COLUMNS[name] for name in DIRECTOR_FACTORS if FACTOR_COLUMNS[name] in tables.factors]
    for _, group in _groups(tables, trials):
        rate, first = group["requests_per_s"].median(), group.iloc[0]
        rows.append(
            {
                "Arm": ", ".join([first["arm"], *(level(name, first[name]) for name in own if pd.notna(first[name]))]),
                "Thread": first["threads"],
                "Concurrency": first["concurrency"],
                "Total Requests": round(float((group["completed"] + group["failed"]).median())),
                "File Size": size_text(int(first["file_size_bytes"])),
                "Requests (sec)": round(rate, 2),
                "Latency (ms)": round(1000 / rate, 3) if rate else np.nan,
                "Wait (ms)": round(group["wait_mean_ms"].median(), 1),
            }
        )
    return _seed_frame(rows)


def df_seed_reference() -> pd.DataFrame:
    """What the seed study printed (data/reference/seed-2022.csv), in the form of `df_seed_form`.

    Wait (ms) is not theirs: it follows from their concurrency and rate by Little's law (wait = concurrency / rate).
    """
    seed = pd.read_csv(project_root() / "data" / "reference" / "seed-2022.csv")
    rows = [
        {
            "Arm": row.arm,
            "Thread": row.threads,
            "Concurrency": row.concurrency,
            "Total Requests": row.total_requests,
            "File Size": size_text(int(str(row.file_bytes))),
            "Requests (sec)": row.requests_per_s,
            "Latency (ms)": row.latency_ms,
            "Wait (ms)": round(1000 * float(str(row.concurrency)) / float(str(row.requests_per_s)), 1),
        }
        for row in seed.itertuples()
    ]
    return _seed_frame(rows)


def _seed_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    types = {
        "Arm": "string",
        "Thread": "Int64",
        "Concurrency": "Int64",
        "Total Requests": "Int64",
        "File Size": "string",
        "Requests (sec)": "float64",
        "Latency (ms)": "float64",
        "Wait (ms)": "float64",
    }
    return pd.DataFrame(rows, columns=list(types)).astype(types)


@once
def df_guards(tables: Tables) -> pd.DataFrame:
    """All that is to be said against cases: guards that did not pass, and cases that are not done; in the plan's order.

    case, arm, block; name: the guard, or "case"; verdict: mark, reject, or the case's status; value, limit, text,
    evidence
    """
    cases = tables.cases[["case", "arm", "block", "index"]]
    marks = tables.guards[tables.guards["verdict"] != "ok"]
    not_done = tables.cases[tables.cases["status"] != "done"]
    ended = pd.DataFrame(
        {
            "case": not_done["case"],
            "name": "case",
            "verdict": not_done["status"],
            "value": np.nan,
            "limit": np.nan,
            "text": not_done["error"].fillna(""),
            "evidence": None,
        }
    ).astype(COLUMNS["guards"])
    found = cases.merge(pd.concat([ended, marks]) if len(marks) else ended, on="case")
    return found.sort_values("index", kind="stable").drop(columns="index").reset_index(drop=True)
