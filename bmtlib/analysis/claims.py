"""The verdicts on a scenario's claims, each by the same rule, and the evidence in one sentence.

A quantity decides when its whole 95 % interval lies where the claim says, or wholly elsewhere. Counts have no interval:
they decide when all blocks do. What neither supports nor refutes a claim leaves it undecided, with the reason; so do
cases of which too many are left out (see `used`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from bmtlib.analysis.costs import separable
from bmtlib.analysis.metrics import METRICS, About, df_metrics
from bmtlib.analysis.naming import blocks_text, level, no_interval, number, ratio_text
from bmtlib.analysis.schema import FACTOR_COLUMNS
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import once
from bmtlib.analysis.used import against, doubt, used
from bmtlib.params.claim import Cases, Claim
from bmtlib.stats import FEWEST_BLOCKS, Estimate, estimate, paired_ratio, spread, spread_ratio

Verdict = Literal["supported", "not supported", "undecided"]
FEWEST_FOR_COUNTS = 2
# What the number of CPUs does not change: shares of the director's packets among the CPUs that it sees.
_WITHOUT_CPUS = ("ipvs_cpu_share", "packet_cpu_share")


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What was seen of a claim: the estimate, the single blocks, and why there are none."""

    found: Estimate
    blocks: tuple[float, ...]
    missing: str = ""


@once
def df_claims(tables: Tables) -> pd.DataFrame:
    """One row per claim of the scenario, in its order.

    claim, source: its own words; metric; of, over: the cases in words (over: empty without); is, limit, margin (with
        `within`, else missing)
    estimate: median over blocks of the value, or of the ratio of / over; low, high: 95 % interval, missing for counts
        and below three blocks; n: blocks
    verdict: supported, not supported, undecided; evidence: a sentence with the figures and the reason
    """
    rows = [judged(tables, claim) for claim in tables.claims]
    types = {
        **dict.fromkeys(("claim", "verdict", "evidence", "metric", "of", "over", "is"), "string"),
        **dict.fromkeys(("limit", "margin", "estimate", "low", "high"), "float64"),
        "n": "int64",
        "source": "string",
    }
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def judged(tables: Tables, claim: Claim) -> dict[str, Any]:
    """One claim and what the run says of it: a row of `df_claims`."""
    seen = _look(tables, claim)
    spoilt, left_out = _left_out(tables, claim)
    verdict, why = _verdict(claim, seen, _unable(tables, claim) or spoilt)
    verdict, marked = _marked(tables, claim, seen, verdict)
    return {
        "claim": claim.text,
        "verdict": verdict,
        "evidence": _evidence(claim, seen, "; ".join(filter(None, [why, marked, left_out]))),
        "metric": claim.metric,
        "of": _words(claim.of),
        "over": _words(claim.over) if claim.over else "",
        "is": claim.is_,
        "limit": claim.limit,
        "margin": claim.margin,
        "estimate": seen.found.median,
        "low": seen.found.low,
        "high": seen.found.high,
        "n": seen.found.n,
        "source": claim.source,
    }


def _left_out(tables: Tables, claim: Claim) -> tuple[str, str]:
    """Why so many cases are left out that the rest decides nothing; and those that are left out without that."""
    spoilt: list[str] = []
    few: list[str] = []
    for cases in filter(None, (claim.of, claim.over)):
        found = used(tables, _matching(tables.cases, cases))
        if found["left_out"]:
            (few if found["decides"] else spoilt).append(f"{_words(cases)}: {found['why']}")
    too_many = f"too many cases are left out ({'; '.join(spoilt)})" if spoilt else ""
    return too_many, f"left out: {'; '.join(few)}" if few else ""


def _marked(tables: Tables, claim: Claim, seen: _Seen, verdict: Verdict) -> tuple[Verdict, str]:
    """The verdict after marks of guards have had their say, and what they say."""
    if verdict == "undecided":
        return verdict, ""
    sides = list(filter(None, (claim.of, claim.over)))
    doubts = [doubt(tables, _matching(tables.cases, cases), claim.metric) for cases in sides]
    said = "; ".join(f"{_words(cases)}: {it.why}" for cases, it in zip(sides, doubts, strict=True) if it.why)
    if not said:
        return verdict, ""
    if any(against(way, claim.metric, *doubts) for way in _ways(claim, seen, verdict)):
        return "undecided", said
    return verdict, f"{said}: without it the verdict would only be plainer"


def _ways(claim: Claim, seen: _Seen, verdict: Verdict) -> list[Literal["higher", "lower"]]:
    """What a verdict says of the value, against the ends of what the claim allows."""
    least, most = claim.inside
    if verdict == "not supported":
        return ["higher" if seen.found.median > most else "lower"]
    ways: list[Literal["higher", "lower"]] = []
    if math.isfinite(least):
        ways.append("higher")
    if math.isfinite(most):
        ways.append("lower")
    return ways


def _look(tables: Tables, claim: Claim) -> _Seen:
    about, values = METRICS[claim.metric], df_metrics(tables)
    of = _matching(values, claim.of)
    missing = _missing(tables, claim.of, of, claim.metric)
    if claim.over is None:
        blocks = _by_block(of[["block"]].assign(value=of[claim.metric]))
        found = spread(blocks) if about.kind == "spread" else estimate(blocks)
        return _Seen(found=found, blocks=tuple(blocks), missing=missing)
    over = _matching(values, claim.over)
    missing = missing or _missing(tables, claim.over, over, claim.metric)
    if about.kind == "spread":
        one, other = (_by_block(part[["block"]].assign(value=part[claim.metric])) for part in (of, over))
        return _Seen(found=spread_ratio(one, other), blocks=tuple(one), missing=missing)
    pairs = _pairs(tables, claim, of, over)
    above, below = (pairs[f"{claim.metric}_{side}"].to_numpy("float64") for side in "xy")
    with np.errstate(divide="ignore", invalid="ignore"):
        blocks = _by_block(pairs[["block"]].assign(value=above / below))
    if not missing and not len(blocks):
        missing = "in no block are both sides measured and the lower one is not zero"
    return _Seen(found=paired_ratio(blocks, np.ones(len(blocks))), blocks=tuple(blocks), missing=missing)


def _matching(values: pd.DataFrame, cases: Cases) -> pd.DataFrame:
    found = values[values["arm"] == cases.arm]
    for factor, wanted in cases.levels.items():
        found = found[(found[FACTOR_COLUMNS[factor]] == wanted).fillna(False)]
    return found


def _pairs(tables: Tables, claim: Claim, of: pd.DataFrame, over: pd.DataFrame) -> pd.DataFrame:
    """Both sides of each block; what neither side names and both have is compared level by level."""
    assert claim.over is not None
    named = {FACTOR_COLUMNS[factor] for factor in (*claim.of.levels, *claim.over.levels)}
    shared = [
        name for name in tables.factors if name not in named and of[name].notna().any() and over[name].notna().any()
    ]
    return of.merge(over, on=["block", *shared])


def _by_block(rows: pd.DataFrame) -> np.ndarray:
    """One value per block: several levels within a block are one observation, their median."""
    known = rows[np.isfinite(rows["value"])]
    return known.groupby("block")["value"].median().to_numpy("float64")


def _missing(tables: Tables, cases: Cases, found: pd.DataFrame, metric: str) -> str:
    """Why there is nothing to look at; empty when there is something."""
    if len(found):
        return "" if found[metric].notna().any() else f"not measured with {_words(cases)}"
    errors = _matching(tables.cases, cases)["error"].dropna()
    return f"no case of {_words(cases)} is done" + (f": {errors.iloc[0]}" if len(errors) else "")


def _unable(tables: Tables, claim: Claim) -> str:
    """Why this machine cannot decide the claim, whatever was measured; empty when it can.

    The director's CPU time is its own only on CPUs of its own. And a virtual director may see more CPUs than the
    machine gives it: then a second one brings it nothing, whatever the arm makes of it.
    """
    if claim.metric == "director_cpu_us_per_request" and not separable(tables):
        return "other hosts share the director's CPUs, so its CPU time cannot be told from theirs"
    machine = tables.run.get("machine") or {}
    had = len(machine.get("cpus") or tables.run.get("director_cpus") or [])
    same_arm = claim.over is not None and claim.over.arm == claim.of.arm
    if not had or had >= tables.cpus_needed or not same_arm or claim.metric in _WITHOUT_CPUS:
        return ""
    return (
        f"the question needs {tables.cpus_needed} CPUs for the director, and it had {had} "
        "(testbed.placement.director_cpus gives it more)"
    )


def _verdict(claim: Claim, seen: _Seen, unable: str) -> tuple[Verdict, str]:
    """The verdict, and why it is undecided. `unable`: why the machine cannot decide it."""
    if seen.missing or unable:
        return "undecided", seen.missing or unable
    if METRICS[claim.metric].kind == "count" and claim.over is None:
        return _by_counts(claim, seen.blocks)
    if seen.found.n < FEWEST_BLOCKS:
        return "undecided", no_interval(seen.found.n)
    low, high = seen.found.low, seen.found.high
    if not (math.isfinite(low) and math.isfinite(high)):
        return "undecided", "the blocks give no interval"
    least, most = claim.inside
    if least < low and high < most:
        return "supported", ""
    if high < least or low > most:
        return "not supported", ""
    held = [_value(claim, end) for end in claim.inside if low <= end <= high]
    return "undecided", f"the interval holds {' and '.join(held)}"


def _by_counts(claim: Claim, blocks: tuple[float, ...]) -> tuple[Verdict, str]:
    if len(blocks) < FEWEST_FOR_COUNTS:
        return "undecided", f"{blocks_text(len(blocks))} could be chance"
    least, most = claim.inside
    hold = sum(least < value < most for value in blocks)
    if hold == len(blocks):
        return "supported", ""
    return ("not supported", "") if not hold else ("undecided", f"it holds in {hold} of {len(blocks)} blocks")


def _evidence(claim: Claim, seen: _Seen, why: str) -> str:
    """The figures that a reader needs to agree, and why they decide nothing when they do not."""
    about, found = METRICS[claim.metric], seen.found
    if seen.missing:
        return _sentence(seen.missing)
    if about.kind == "count" and claim.over is None:
        ends = dict.fromkeys(f"{end:,.0f}" for end in (found.min, found.max))
        said = f"{about.words}, {_words(claim.of)}: {' to '.join(ends)} per block ({blocks_text(found.n)})"
    else:
        shown = _value(claim, found.median)
        if math.isfinite(found.low):
            shown += f" (95\u00a0%: {_value(claim, found.low)}–{_value(claim, found.high)}; {blocks_text(found.n)})"
        else:
            shown += f" ({blocks_text(found.n)})"
        between = f"{_words(claim.of)} / {_words(claim.over)}" if claim.over else _words(claim.of)
        said = f"{about.words}, {between}: {shown}"
    return _sentence(f"{said}; {why}" if why else said)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _value(claim: Claim, value: float) -> str:
    about: About = METRICS[claim.metric]
    if claim.over is not None:
        return f"{ratio_text(value)}"
    if about.kind == "spread" or claim.metric.endswith("_share"):
        return f"{100 * value:.1f} %"
    return f"{number(value)}{about.unit}"


def _words(cases: Cases) -> str:
    """Cases as people name them: "proxy with 2 threads"."""
    levels = ", ".join(level(FACTOR_COLUMNS[name], value) for name, value in cases.levels.items())
    return f"{cases.arm} with {levels}" if levels else cases.arm
