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
from bmtlib.analysis.cost_model import df_cost_by_size, df_cost_fit
from bmtlib.analysis.costs import (
    df_cpu_busy,
    df_cpu_over_time,
    df_director_bytes,
    df_director_cpu,
    df_irq_softirq,
    df_web_share,
)
from bmtlib.analysis.diagnose import df_bottleneck, df_limit_by_arm
from bmtlib.analysis.drift import df_drift, df_drift_trials
from bmtlib.analysis.drops import df_drops, df_lost
from bmtlib.analysis.irqs import df_irq_over_time, df_packets_by_cpu
from bmtlib.analysis.knee import df_knee, df_knees, df_waits_at_knee
from bmtlib.analysis.ledger import df_ledger
from bmtlib.analysis.naming import no_interval
from bmtlib.analysis.over_time import df_connections_over_time, df_rate_over_time, df_waits_over_time
from bmtlib.analysis.scaling import df_scaling
from bmtlib.analysis.schema import COLUMNS
from bmtlib.analysis.seed_claims import df_seed_claims
from bmtlib.analysis.seed_form import df_at_director, df_seed_form, df_seed_reference
from bmtlib.analysis.seed_rows import df_seed_rows, df_seed_slope
from bmtlib.analysis.settings import df_settings
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.topology import df_topology
from bmtlib.analysis.trials import df_trials, keys, once, summarised
from bmtlib.analysis.used import against, cases_of, df_used, doubt, spoilt_by
from bmtlib.analysis.waits import df_little, df_wait_curve, df_waits
from bmtlib.stats import FEWEST_BLOCKS, Estimate, estimate, paired_effect, paired_ratio, verdict
from bmtlib.texts import msg, say

__all__ = [
    "MEASURES",
    "df_at_director",
    "df_bottleneck",
    "df_claims",
    "df_connections_over_time",
    "df_cost_by_size",
    "df_cost_fit",
    "df_cpu_busy",
    "df_cpu_over_time",
    "df_director_bytes",
    "df_director_cpu",
    "df_drift",
    "df_drift_trials",
    "df_drops",
    "df_guards",
    "df_irq_over_time",
    "df_irq_softirq",
    "df_knee",
    "df_knees",
    "df_ledger",
    "df_limit_by_arm",
    "df_little",
    "df_lost",
    "df_packets_by_cpu",
    "df_rate_over_time",
    "df_ratio",
    "df_scaling",
    "df_seed_claims",
    "df_seed_form",
    "df_seed_reference",
    "df_seed_rows",
    "df_seed_slope",
    "df_settings",
    "df_throughput",
    "df_topology",
    "df_trials",
    "df_used",
    "df_wait_curve",
    "df_waits",
    "df_waits_at_knee",
    "df_waits_over_time",
    "df_web_share",
]

# Arms that pass packets on, and so may do better than a proxy.
_LVS = ("nat", "l3dsr", "l2dsr")


# What arms are compared by: column of df_trials -> words.
MEASURES = {
    "requests_per_s": msg("requests/s"),
    "director_cpu_us": msg("director CPU per request"),
    "director_bytes": msg("bytes through the director per request"),
    "wait_p99_ms": msg("99th percentile of the wait"),
}


def holds_one() -> str:
    """Why a ratio decides nothing, where its interval is the reason."""
    return say("the interval holds 1")


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
    higher_in: of these, blocks in which arm is above against; effect, effect_low, effect_high: the difference in units
        of how much the ratio differs from block to block (`stats.paired_effect`)
    verdict: higher or lower (than 1); undecided when the interval holds 1, when there are fewer than three blocks, when
        more of a side's blocks are left out than `used.MOST_LEFT_OUT`, or when more of them than `used.MOST_MARKED` are
        marked for what may have made the difference; why: of an undecided one the reason
    marked: marks that leave it undecided; of a decided one those without which it would only be plainer; else empty
    """
    trials = df_trials(tables)
    direct = set(trials.loc[trials["kind"] == "direct", "arm"])
    rows = [
        {
            "measure": measure,
            **names,
            **_marked(tables, measure, sides, _ratio(pairs[f"{measure}_x"], pairs[f"{measure}_y"], spoilt)),
        }
        for names, pairs, sides, spoilt in paired_blocks(tables, trials)
        for measure in MEASURES
        # Under the direct arm the director has nothing to do, so its cost is noise and no measure for others.
        if not (measure.startswith("director") and direct & {names["arm"], names["against"]})
    ]
    types = {
        **dict.fromkeys(("measure", "arm", "engine", "against", "against_engine"), "string"),
        **{name: COLUMNS["cases"][name] for name in tables.factors},
        **dict.fromkeys(("ratio", "low", "high", "min", "max"), "float64"),
        **dict.fromkeys(("n", "higher_in"), "int64"),
        **dict.fromkeys(("effect", "effect_low", "effect_high"), "float64"),
        **dict.fromkeys(("verdict", "why", "marked"), "string"),
    }
    return pd.DataFrame(rows, columns=list(types)).astype(types)


Side = dict[str, Any]  # the columns of `keys`


def paired_blocks(
    tables: Tables, trials: pd.DataFrame
) -> Iterator[tuple[dict[str, Any], pd.DataFrame, tuple[Side, Side], str]]:
    """Names of both sides; their trials joined by block: columns of the arm end in _x, of the other in _y; the sides;
    and why too many of a side's blocks are left out, empty when they are not."""
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
    for (one, part), (other, of_other) in pairs:
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
        spoilt = "; ".join(f"{side['arm']}: {why}" for side in (one, other) if (why := spoilt_by(tables, side)))
        yield names, part.merge(of_other, on="block"), (one, other), spoilt


def _groups(tables: Tables, table: pd.DataFrame) -> Iterator[tuple[Any, pd.DataFrame]]:
    return iter(table.groupby(keys(tables), dropna=False, sort=False))


def _ratio(above: pd.Series, below: pd.Series, spoilt: str) -> dict[str, Any]:
    found: Estimate = paired_ratio(above.to_numpy(), below.to_numpy())
    effect = paired_effect(above.to_numpy(), below.to_numpy())
    said, why = verdict(found), ""
    if spoilt:
        said, why = "undecided", spoilt
    elif said == "undecided":
        why = no_interval(found.n) if found.n < FEWEST_BLOCKS else holds_one()
    return {
        "ratio": found.median,
        "low": found.low,
        "high": found.high,
        "min": found.min,
        "max": found.max,
        "n": found.n,
        "higher_in": effect.higher_in,
        "effect": effect.size,
        "effect_low": effect.low,
        "effect_high": effect.high,
        "verdict": said,
        "why": why,
        "marked": "",
    }


def _marked(tables: Tables, measure: str, sides: tuple[Side, Side], row: dict[str, Any]) -> dict[str, Any]:
    """The row after marks of guards have had their say: undecided where they may have made the difference."""
    if row["verdict"] == "undecided":
        return row
    doubts = [doubt(tables, cases_of(tables, side), measure) for side in sides]
    arms: dict[str, list[str]] = {}
    for side, it in zip(sides, doubts, strict=True):
        arms.setdefault(it.why, []).append(str(side["arm"]))
    said = "; ".join(f"{', '.join(names)}: {why}" for why, names in arms.items() if why)
    if against(row["verdict"], measure, *doubts):
        return {**row, "verdict": "undecided", "why": said, "marked": said}
    return {**row, "marked": said}


@once
def df_guards(tables: Tables) -> pd.DataFrame:
    """All that is to be said against cases: guards that did not pass, and cases that are not done; in the plan's order.

    case, arm, block; name: the guard, or "case"; verdict: mark, reject, or the case's status; value, limit, text,
    evidence, spoils
    """
    cases = tables.cases[["case", "arm", "block", "index"]]
    marks = tables.guards[tables.guards["verdict"] != "ok"]
    not_done = tables.cases[~tables.cases["status"].isin(["done", "not needed"])]
    ended = pd.DataFrame(
        {
            "case": not_done["case"],
            "name": "case",
            "verdict": not_done["status"],
            "value": np.nan,
            "limit": np.nan,
            "text": not_done["error"].fillna(""),
            "evidence": None,
            "spoils": None,
        }
    ).astype(COLUMNS["guards"])
    found = cases.merge(pd.concat([ended, marks]) if len(marks) else ended, on="case")
    return found.sort_values("index", kind="stable").drop(columns="index").reset_index(drop=True)
