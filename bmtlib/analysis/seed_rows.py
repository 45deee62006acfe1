"""The seed study's table, row by row: what this run reproduces, what not, and what it cannot test.

Absolute figures are those of one machine, so of the study's table only ratios between its rows can be reproduced: L2DSR
to the proxy at the same concurrency, and L2DSR at one concurrency to itself at the lowest. The study ran each row once;
so with fewer than three blocks here a row "agrees" or "disagrees", and is not decided.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from bmtlib.analysis.naming import blocks_text, ratio_text
from bmtlib.analysis.seed_form import read_seed
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import df_trials, once
from bmtlib.analysis.used import used
from bmtlib.stats import FEWEST_BLOCKS, Estimate, paired_ratio

Result = Literal[
    "reproduced",
    "not reproduced",
    "undecided",
    "agrees, without interval",
    "disagrees, without interval",
    "not testable here",
]
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
    result: see data/README.md; evidence: why
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
        **dict.fromkeys(("result", "evidence"), "string"),
    }
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def _row(tables: Tables, seed: pd.DataFrame, row: Mapping[str, Any]) -> dict[str, Any]:
    scale = _scale(tables)
    own = {"kind": row["arm"], "threads": row["threads"], "concurrency": row["concurrency"]}
    lowest = int(seed["concurrency"].min())
    if row["arm"] == "proxy":
        above, below = {**own, "kind": "l2dsr"}, own
        compared = f"l2dsr / {_name(own)}"
    else:
        above, below = own, {**own, "concurrency": lowest}
        compared = f"l2dsr / itself at {lowest:,}"
    theirs = _seed_rate(seed, above) / _seed_rate(seed, below)
    mine, why = _cell(tables, own, scale)
    found: dict[str, Any] = {
        "compared": compared,
        "seed_ratio": theirs,
        "concurrency_here": row["concurrency"] // scale if len(mine) else pd.NA,
        "requests_per_s_here": mine["requests_per_s"].median() if len(mine) else np.nan,
        **dict.fromkeys(("ratio", "low", "high"), np.nan),
        "n": 0,
    }
    if above == below:
        said = "the measure of the rows below; by itself a figure of one machine"
        return {**found, "compared": "", "result": "not testable here", "evidence": why or said}
    upper, no_upper = _cell(tables, above, scale)
    lower, no_lower = _cell(tables, below, scale)
    if no_upper or no_lower:
        return {**found, "result": "not testable here", "evidence": no_lower or no_upper}
    both = upper.merge(lower, on="block")
    ratio = paired_ratio(both["requests_per_s_x"], both["requests_per_s_y"])
    doubt = "; ".join(filter(None, (_spoilt(tables, side, scale) for side in (above, below))))
    result = same(ratio, theirs)
    if doubt and result != "not testable here":
        result = "undecided"
    evidence = f"{compared}: {ratio_text(ratio.median, ratio.low, ratio.high)} here ({blocks_text(ratio.n)}), "
    evidence += f"{ratio_text(theirs)} in the study" + ("; at a tenth of its connections" if scale > 1 else "")
    evidence += f"; {doubt}" if doubt else ""
    figures = {"ratio": ratio.median, "low": ratio.low, "high": ratio.high, "n": ratio.n}
    return {**found, **figures, "result": result, "evidence": f"{evidence}."}


def same(ours: Estimate, theirs: float) -> Result:
    """Whether a ratio is that of the seed: in size, and in who is ahead.

    >>> same(paired_ratio([1.1, 1.12, 1.11], [1, 1, 1]), 1.1), same(paired_ratio([0.9], [1]), 1.1)
    ('reproduced', 'disagrees, without interval')
    """
    low, high = theirs / SAME_SIZE, theirs * SAME_SIZE
    if theirs > FLAT:
        low = max(low, 1.0)
    elif theirs < 1 / FLAT:
        high = min(high, 1.0)
    return placed(ours, low, high)


def placed(ours: Estimate, low: float, high: float) -> Result:
    """Whether what was found lies between `low` and `high`: with its whole interval, or without one by itself."""
    if not math.isfinite(ours.median):
        return "not testable here"
    if ours.n < FEWEST_BLOCKS:
        return "agrees, without interval" if low < ours.median < high else "disagrees, without interval"
    if low < ours.low and ours.high < high:
        return "reproduced"
    return "not reproduced" if ours.high < low or ours.low > high else "undecided"


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
    many = "" if cell["threads"] == 1 else "s"
    return f"proxy with {cell['threads']} thread{many}" if cell["kind"] == "proxy" else str(cell["kind"])


def _cases(tables: Tables, cell: Mapping[str, Any], scale: int) -> tuple[pd.DataFrame, str]:
    """The planned cases of one cell of the seed's table; and what the scenario lacks when there is none."""
    cases = tables.cases[tables.cases["kind"] == cell["kind"]]
    arms = [arm for arm in tables.arms if arm in set(cases["arm"])]
    cases = cases[cases["arm"].isin(arms[:1])]
    steps = [
        (f"no arm of kind {cell['kind']}", cases["case"].notna()),
        ("no 5 KiB file on connections of their own", (cases["file_size_bytes"] == 5120) & ~cases["keepalive"]),
    ]
    if cell["kind"] == "proxy":
        steps.append((f"no {_name(cell)}", cases["threads"] == cell["threads"]))
    steps.append((f"no concurrency {cell['concurrency']:,}", cases["concurrency"] == cell["concurrency"] // scale))
    for lacks, rows in steps:
        cases = cases[rows.reindex(cases.index).fillna(False).astype(bool)]
        if cases.empty:
            return cases, f"the scenario has {lacks}: bmt run seed-matrix"
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
    rows = rows.loc[rows["case"].isin(cases["case"]), ["block", "requests_per_s"]]
    if lacks or len(rows):
        return rows, lacks
    found, errors = used(tables, cases), cases["error"].dropna()
    reason = found["why"] or (errors.iloc[0] if len(errors) else "the run ended before")
    return rows, f"{_name(cell)} at {cell['concurrency'] // scale:,}: {reason}"


def _spoilt(tables: Tables, cell: Mapping[str, Any], scale: int) -> str:
    found = used(tables, _cases(tables, cell, scale)[0])
    return "" if found["decides"] else f"{_name(cell)}: {found['why']}"
