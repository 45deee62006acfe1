"""The verdicts on a scenario's claims, each by the same rule, and the evidence in one sentence.

A quantity decides when its whole 95 % interval lies where the claim says, or wholly elsewhere. Counts have no interval:
they decide when all blocks do. What neither supports nor refutes a claim leaves it undecided, with the reason; so do
cases of which too many are left out (see `used`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bmtlib.analysis.doubts import after_marks, fewer_left_out, left_out, unable, without_marks
from bmtlib.analysis.judged import Judged, Verdict, by_interval, few_blocks, more_blocks, sentence, without_interval
from bmtlib.analysis.metrics import METRICS, About, df_metrics
from bmtlib.analysis.naming import blocks_text, level, no_interval, number, ratio_text
from bmtlib.analysis.schema import FACTOR_COLUMNS
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import once
from bmtlib.params.claim import Cases, Claim
from bmtlib.stats import FEWEST_BLOCKS, Estimate, estimate, paired_ratio, spread, spread_ratio
from bmtlib.texts import say, translated

FEWEST_FOR_COUNTS = 2


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What was seen of a claim: the estimate, the single blocks and their cases, and why there are none."""

    found: Estimate
    blocks: tuple[float, ...]
    cases: tuple[str, ...]
    missing: str = ""


@dataclass(frozen=True, kw_only=True)
class _Open:
    """Why a claim is undecided, and what would decide it. agrees: as in `Judged`."""

    why: str
    decide: str
    agrees: bool | None = None


@once
def df_claims(tables: Tables) -> pd.DataFrame:
    """One row per claim of the scenario, in its order.

    claim, source: its own words; metric; of, over: the cases in words (over: empty without); is, limit, margin (with
        `within`, else missing)
    estimate: median over blocks of the value, or of the ratio of / over; low, high: 95 % interval, missing for counts
        and below three blocks; n: blocks
    verdict: supported, not supported, undecided; evidence: a sentence with the figures and the reason
    """
    rows = []
    for claim in tables.claims:
        found = judged(tables, claim)
        words = {"of": words_of(claim.of), "over": words_of(claim.over) if claim.over else ""}
        rule = {"metric": claim.metric, **words, "is": claim.is_, "limit": claim.limit, "margin": claim.margin}
        figures = {
            "estimate": found.found.median,
            **{name: getattr(found.found, name) for name in ("low", "high", "n")},
        }
        said = {"verdict": found.verdict, "evidence": found.evidence, "source": claim.source}
        rows.append({"claim": claim.text, **rule, **figures, **said})
    types = {
        **dict.fromkeys(("claim", "verdict", "evidence", "metric", "of", "over", "is"), "string"),
        **dict.fromkeys(("limit", "margin", "estimate", "low", "high"), "float64"),
        "n": "int64",
        "source": "string",
    }
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def judged(tables: Tables, claim: Claim) -> Judged:
    """What a run says of a claim."""
    seen = _look(tables, claim)
    sides = [(words_of(cases), _matching(tables.cases, cases)) for cases in (claim.of, claim.over) if cases]
    spoilt, left = left_out(tables, sides)
    verdict, undecided = _verdict(claim, seen, _beforehand(tables, claim, seen, spoilt))
    why = undecided.why if undecided else ""
    marked = ""
    if not undecided:
        verdict, marked = after_marks(tables, verdict, seen.found.median, claim.inside, claim.metric, sides)
        undecided = _Open(why=marked, decide=without_marks()) if verdict == "undecided" else None
    counted = METRICS[claim.metric].kind == "count" and claim.over is None
    return Judged(
        verdict=verdict,
        evidence=_evidence(claim, seen, "; ".join(filter(None, [why, marked, left]))),
        found=seen.found,
        shown="" if not seen.found.n else _counted(seen) if counted else _shown(claim, seen.found),
        agrees=undecided.agrees if undecided else None,
        decide=undecided.decide if undecided else "",
        metric=claim.metric,
        cases=seen.cases,
    )


def rule_text(claim: Claim) -> str:
    """The rule that decides a claim, in words."""
    what = translated(METRICS[claim.metric].words)
    cases = f"{words_of(claim.of)} / {words_of(claim.over)}" if claim.over else words_of(claim.of)
    least, most = (_value(claim, end) for end in claim.inside)
    if METRICS[claim.metric].kind == "count" and claim.over is None:
        side = {"above": say("in all blocks above {limit}", limit=f"{claim.limit:,.0f}")}
        side["below"] = say("in all blocks below {limit}", limit=f"{claim.limit:,.0f}")
        side["within"] = say("in all blocks within {least} and {most}", least=least, most=most)
    else:
        side = {"above": say("the whole 95 % interval above {limit}", limit=least)}
        side["below"] = say("the whole 95 % interval below {limit}", limit=most)
        side["within"] = say("the whole 95 % interval within {least} and {most}", least=least, most=most)
    return say("{what}, {cases}: {side}", what=what, cases=cases, side=side[claim.is_])


def words_of(cases: Cases) -> str:
    """Cases as people name them: "proxy with 2 threads"."""
    levels = ", ".join(level(FACTOR_COLUMNS[name], value) for name, value in cases.levels.items())
    return say("{arm} with {levels}", arm=cases.arm, levels=levels) if levels else cases.arm


def _look(tables: Tables, claim: Claim) -> _Seen:
    about, values = METRICS[claim.metric], df_metrics(tables)
    of = _matching(values, claim.of)
    missing = _missing(tables, claim.of, of, claim.metric)
    if claim.over is None:
        blocks = _by_block(of[["block"]].assign(value=of[claim.metric]))
        found = spread(blocks) if about.kind == "spread" else estimate(blocks)
        return _Seen(found=found, blocks=tuple(blocks), cases=_named(of, claim.metric), missing=missing)
    over = _matching(values, claim.over)
    cases = _named(of, claim.metric) + _named(over, claim.metric)
    missing = missing or _missing(tables, claim.over, over, claim.metric)
    if about.kind == "spread":
        one, other = (_by_block(part[["block"]].assign(value=part[claim.metric])) for part in (of, over))
        return _Seen(found=spread_ratio(one, other), blocks=tuple(one), cases=cases, missing=missing)
    pairs = _pairs(tables, claim, of, over)
    above, below = (pairs[f"{claim.metric}_{side}"].to_numpy("float64") for side in "xy")
    with np.errstate(divide="ignore", invalid="ignore"):
        blocks = _by_block(pairs[["block"]].assign(value=above / below))
    if not missing and not len(blocks):
        missing = say("in no block are both sides measured and the lower one is not zero")
    return _Seen(found=paired_ratio(blocks, np.ones(len(blocks))), blocks=tuple(blocks), cases=cases, missing=missing)


def _named(rows: pd.DataFrame, metric: str) -> tuple[str, ...]:
    return tuple(rows.loc[np.isfinite(rows[metric]), "case"])


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
    words = words_of(cases)
    if len(found):
        return "" if found[metric].notna().any() else say("not measured with {cases}", cases=words)
    errors = _matching(tables.cases, cases)["error"].dropna()
    if len(errors):
        return say("no case of {cases} is done: {error}", cases=words, error=errors.iloc[0])
    return say("no case of {cases} is done", cases=words)


def _beforehand(tables: Tables, claim: Claim, seen: _Seen, spoilt: str) -> _Open | None:
    """Why this run cannot decide the claim, whatever its figures; None when it can."""
    if seen.missing:
        return _Open(why=seen.missing, decide=say("a run in which it is measured"))
    why, decide = unable(tables, claim)
    if why:
        return _Open(why=why, decide=decide)
    return _Open(why=spoilt, decide=fewer_left_out()) if spoilt else None


def _verdict(claim: Claim, seen: _Seen, beforehand: _Open | None) -> tuple[Verdict, _Open | None]:
    """The verdict, and of an undecided one the reason."""
    if beforehand:
        return "undecided", beforehand
    if METRICS[claim.metric].kind == "count" and claim.over is None:
        return _by_counts(claim, seen)
    if seen.found.n < FEWEST_BLOCKS:
        agrees = without_interval(seen.found, claim.inside)
        return "undecided", _Open(why=no_interval(seen.found.n), decide=few_blocks(FEWEST_BLOCKS), agrees=agrees)
    low, high = seen.found.low, seen.found.high
    if not (math.isfinite(low) and math.isfinite(high)):
        why = say("the blocks give no interval")
        return "undecided", _Open(why=why, decide=say("blocks that differ from each other, and from zero"))
    found = by_interval(seen.found, claim.inside)
    if found != "undecided":
        return found, None
    held = [end for end in claim.inside if low <= end <= high]
    ends = say(" and ").join(_value(claim, end) for end in held)
    return found, _Open(why=say("the interval holds {ends}", ends=ends), decide=more_blocks(seen.found, held))


def _by_counts(claim: Claim, seen: _Seen) -> tuple[Verdict, _Open | None]:
    blocks = seen.blocks
    if len(blocks) < FEWEST_FOR_COUNTS:
        why = say("{blocks} could be chance", blocks=blocks_text(len(blocks)))
        agrees = without_interval(seen.found, claim.inside)
        return "undecided", _Open(why=why, decide=few_blocks(FEWEST_FOR_COUNTS), agrees=agrees)
    least, most = claim.inside
    hold = sum(least < value < most for value in blocks)
    if hold == len(blocks):
        return "supported", None
    if not hold:
        return "not supported", None
    why = say("it holds in {hold} of {n} blocks", hold=hold, n=len(blocks))
    return "undecided", _Open(why=why, decide=say("a load under which all blocks agree"))


def _evidence(claim: Claim, seen: _Seen, why: str) -> str:
    """The figures that a reader needs to agree, and why they decide nothing when they do not."""
    about = METRICS[claim.metric]
    if seen.missing:
        return sentence(seen.missing)
    if about.kind == "count" and claim.over is None:
        said = f"{translated(about.words)}, {words_of(claim.of)}: {_counted(seen)}"
    else:
        between = f"{words_of(claim.of)} / {words_of(claim.over)}" if claim.over else words_of(claim.of)
        said = f"{translated(about.words)}, {between}: {_shown(claim, seen.found)}"
    return sentence(f"{said}; {why}" if why else said)


def _counted(seen: _Seen) -> str:
    ends = say(" to ").join(dict.fromkeys(f"{end:,.0f}" for end in (seen.found.min, seen.found.max)))
    return say("{counts} per block ({blocks})", counts=ends, blocks=blocks_text(seen.found.n))


def _shown(claim: Claim, found: Estimate) -> str:
    value, blocks = _value(claim, found.median), blocks_text(found.n)
    if not math.isfinite(found.low):
        return f"{value} ({blocks})"
    return f"{value} (95\u00a0%: {_value(claim, found.low)}–{_value(claim, found.high)}; {blocks})"


def _value(claim: Claim, value: float) -> str:
    about: About = METRICS[claim.metric]
    if claim.over is not None:
        return f"{ratio_text(value)}"
    if about.kind == "spread" or claim.metric.endswith("_share"):
        return f"{100 * value:.1f} %"
    return f"{number(value)}{about.unit}"
