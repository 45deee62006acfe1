"""The seed study's table, row by row: what this run reproduces, what not, and what it cannot test.

Absolute figures are those of one machine, so of the study's table only ratios between its rows can be reproduced: L2DSR
to the proxy at the same concurrency, and L2DSR at one concurrency to itself at the lowest. The study ran each row once;
so with fewer than three blocks here a row "agrees" or "disagrees", and is not decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bmtlib.analysis.doubts import after_marks, fewer_left_out, left_out, without_marks
from bmtlib.analysis.judged import Judged, by_interval, few_blocks, more_blocks, without_interval
from bmtlib.analysis.naming import blocks_text, level, ratio_text
from bmtlib.analysis.seed_form import read_seed
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import df_trials, once
from bmtlib.analysis.used import used
from bmtlib.stats import FEWEST_BLOCKS, Estimate, paired_ratio
from bmtlib.texts import say

# A ratio is the seed's when it lies within this factor of it, and on the same side of 1 where the seed's own rows lie
# further apart than FLAT: less than that one run each cannot tell.
SAME_SIZE, FLAT = 1.25, 1.05
# The small matrix has a tenth of the seed's connections.
_SCALES = (1, 10)
_KEYS = ("arm", "threads", "concurrency", "total_requests", "file_bytes", "requests_per_s", "latency_ms")


@once
def df_seed_rows(tables: Tables) -> pd.DataFrame:
    """One row per row of the seed's table (data/reference/seed-2022.csv), in its order and with its columns.

    compared: of which figures the ratio is; seed_ratio: by the seed's figures; ratio, low, high, n: here, over blocks
    concurrency_here, requests_per_s_here: of the row's own case here, median over blocks; missing when not measured
    result: see data/README.md; evidence: why; decide: what would decide it; cases: that the ratio here is of, by name
    """
    seed = read_seed()
    rows = []
    for one in seed.itertuples():
        row = {name: getattr(one, name) for name in _KEYS}
        rows.append({**row, **_row(tables, seed, row)})
    types = {
        **{name: seed[name].dtype for name in _KEYS},
        "compared": "string",
        "seed_ratio": "float64",
        "concurrency_here": "Int64",
        **dict.fromkeys(("requests_per_s_here", "ratio", "low", "high"), "float64"),
        "n": "int64",
        **dict.fromkeys(("result", "evidence", "decide", "cases"), "string"),
    }
    return pd.DataFrame(rows, columns=list(types)).astype(types)


@once
def df_seed_slope(tables: Tables) -> pd.DataFrame:
    """The rows of `df_seed_rows` that are ratios: those of the study, and ours where they were measured."""
    found = df_seed_rows(tables)
    names = ["arm", "threads", "concurrency", "compared", "seed_ratio", "ratio", "low", "high", "n", "result"]
    return found.loc[found["compared"] != "", names].reset_index(drop=True)


def _row(tables: Tables, seed: pd.DataFrame, row: Mapping[str, Any]) -> dict[str, Any]:
    scale = _scale(tables)
    own = {"kind": row["arm"], "threads": row["threads"], "concurrency": row["concurrency"]}
    lowest = int(seed["concurrency"].min())
    if row["arm"] == "proxy":
        above, below = {**own, "kind": "l2dsr"}, own
        compared = f"l2dsr / {_name(own)}"
    else:
        above, below = own, {**own, "concurrency": lowest}
        compared = say("l2dsr / itself at {concurrency}", concurrency=f"{lowest:,}")
    mine, why = _cell(tables, own, scale)
    theirs = _seed_rate(seed, above) / _seed_rate(seed, below)
    if above == below:
        said = say("the measure of the rows below; by itself a figure of one machine")
        compared, found = "", Judged(verdict="not testable here", evidence=why or said)
    else:
        found = _judge(tables, above, below, scale, compared, theirs)
    return {
        "compared": compared,
        "seed_ratio": theirs,
        "concurrency_here": row["concurrency"] // scale if len(mine) else pd.NA,
        "requests_per_s_here": mine["requests_per_s"].median() if len(mine) else np.nan,
        "ratio": found.found.median,
        **{name: getattr(found.found, name) for name in ("low", "high", "n")},
        "result": found.result,
        "evidence": found.evidence,
        "decide": found.decide,
        "cases": " ".join(found.cases),
    }


def _judge(
    tables: Tables, above: Mapping[str, Any], below: Mapping[str, Any], scale: int, compared: str, theirs: float
) -> Judged:
    upper, no_upper = _cell(tables, above, scale)
    lower, no_lower = _cell(tables, below, scale)
    if no_upper or no_lower:
        return Judged(verdict="not testable here", evidence=no_lower or no_upper, decide="bmt run seed-matrix")
    both = upper.merge(lower, on="block")
    found = same(paired_ratio(both["requests_per_s_x"], both["requests_per_s_y"]), theirs)
    parts = [
        say(
            "{compared}: {ours} here ({blocks}), {theirs} in the study",
            compared=compared,
            ours=ratio_text(found.found.median, found.found.low, found.found.high),
            blocks=blocks_text(found.found.n),
            theirs=ratio_text(theirs),
        )
    ]
    if scale > 1:
        parts.append(say("at a tenth of its connections"))
    sides = [(_name(side), _cases(tables, side, scale)[0]) for side in (above, below)]
    spoilt, left = left_out(tables, sides)
    if spoilt and found.verdict != "not testable here":
        found = replace(found, verdict="undecided", agrees=None, decide=fewer_left_out())
    verdict, marked = after_marks(tables, found.verdict, found.found.median, same_band(theirs), "requests_per_s", sides)
    if verdict != found.verdict:
        found = replace(found, verdict=verdict, decide=without_marks())
    parts += filter(None, (spoilt, marked, left))
    return replace(found, evidence=f"{'; '.join(parts)}.", cases=(*both["case_x"], *both["case_y"]))


def same_band(theirs: float) -> tuple[float, float]:
    """Between which values a ratio is the seed's.

    >>> same_band(1.1)
    (1.0, 1.375)
    """
    low, high = theirs / SAME_SIZE, theirs * SAME_SIZE
    if theirs > FLAT:
        return max(low, 1.0), high
    return low, min(high, 1.0) if theirs < 1 / FLAT else high


def same(ours: Estimate, theirs: float) -> Judged:
    """Whether a ratio is that of the seed: in size, and in who is ahead. The evidence is the caller's to write.

    >>> same(paired_ratio([1.1, 1.12, 1.11], [1, 1, 1]), 1.1).result, same(paired_ratio([0.9], [1]), 1.1).result
    ('reproduced', 'disagrees, without interval')
    """
    low, high = same_band(theirs)
    if not ours.n:
        why = say("in no block are both sides done")
        return Judged(verdict="not testable here", evidence=why, decide="bmt run seed-matrix")
    if ours.n < FEWEST_BLOCKS:
        agrees = without_interval(ours, (low, high))
        return Judged(verdict="undecided", evidence="", found=ours, agrees=agrees, decide=few_blocks(FEWEST_BLOCKS))
    verdict = by_interval(ours, (low, high))
    held = [end for end in (low, high) if ours.low <= end <= ours.high]
    decide = more_blocks(ours, held) if verdict == "undecided" else ""
    return Judged(verdict=verdict, evidence="", found=ours, decide=decide)


def _scale(tables: Tables) -> int:
    """By how many the seed's connections were divided here: 1, or 10 where none of its own levels was asked for."""
    asked = set(tables.cases["concurrency"].dropna())
    levels = set(read_seed()["concurrency"])
    return next((scale for scale in _SCALES if asked & {level // scale for level in levels}), 1)


def _seed_rate(seed: pd.DataFrame, cell: Mapping[str, Any]) -> float:
    rows = seed[(seed["arm"] == cell["kind"]) & (seed["concurrency"] == cell["concurrency"])]
    if cell["kind"] == "proxy":
        rows = rows[rows["threads"] == cell["threads"]]
    return float(rows["requests_per_s"].iloc[0])


def _name(cell: Mapping[str, Any]) -> str:
    if cell["kind"] != "proxy":
        return str(cell["kind"])
    return say("{arm} with {levels}", arm="proxy", levels=level("threads", cell["threads"]))


def _cases(tables: Tables, cell: Mapping[str, Any], scale: int) -> tuple[pd.DataFrame, str]:
    """The planned cases of one cell of the seed's table; and what the scenario lacks when there is none."""
    cases = tables.cases[tables.cases["kind"] == cell["kind"]]
    arms = [arm for arm in tables.arms if arm in set(cases["arm"])]
    cases = cases[cases["arm"].isin(arms[:1])]
    steps = [
        (say("no arm of kind {kind}", kind=cell["kind"]), cases["case"].notna()),
        (say("no 5 KiB file on connections of their own"), (cases["file_size_bytes"] == 5120) & ~cases["keepalive"]),
    ]
    if cell["kind"] == "proxy":
        steps.append((say("no {cases}", cases=_name(cell)), cases["threads"] == cell["threads"]))
    asked, here = f"{cell['concurrency']:,}", cell["concurrency"] // scale
    steps.append((say("no concurrency {concurrency}", concurrency=asked), cases["concurrency"] == here))
    for lacks, rows in steps:
        cases = cases[rows.reindex(cases.index).fillna(False).astype(bool)]
        if cases.empty:
            return cases, say("the scenario has {lacks}: bmt run seed-matrix", lacks=lacks)
    # Of what else is varied: the seed's own tuning, and the first level of the rest.
    for factor in tables.factors:
        if factor not in ("file_size_bytes", "keepalive", "threads", "concurrency") and cases[factor].notna().any():
            levels = list(cases[factor].dropna().unique())
            cases = cases[cases[factor] == ("seed" if "seed" in levels else levels[0])]
    return cases, ""


def _cell(tables: Tables, cell: Mapping[str, Any], scale: int) -> tuple[pd.DataFrame, str]:
    """block and requests_per_s of the done cases of a cell; and why there is none."""
    cases, lacks = _cases(tables, cell, scale)
    rows = df_trials(tables)
    rows = rows.loc[rows["case"].isin(cases["case"]), ["case", "block", "requests_per_s"]]
    if lacks or len(rows):
        return rows, lacks
    found, errors = used(tables, cases), cases["error"].dropna()
    reason = found["why"] or (errors.iloc[0] if len(errors) else say("the run ended before"))
    here = f"{cell['concurrency'] // scale:,}"
    return rows, say("{cases} at {concurrency}: {reason}", cases=_name(cell), concurrency=here, reason=reason)
