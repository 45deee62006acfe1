"""Whether the machine became slower or faster while the run went on, and by how much.

The arm `direct` does not pass the director, so its rate shows what clients and web hosts can do at that moment: a
trend in it is the machine's, not an arm's. Comparisons are paired by block, and a slow drift hits both sides of a
block alike; but a figure that is not a ratio (requests/s, CPU per request) is worth no more than its drift.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bmtlib.analysis.naming import number
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import arranged, df_trials, keys, once
from bmtlib.stats import trend
from bmtlib.texts import say

# More than this over the run, and shown not to be chance: the report marks every absolute figure.
STRONG = 0.05
# A run shorter than this is not spoken of by the hour.
_HOURLY = 0.5


@once
def df_drift(tables: Tables) -> pd.DataFrame:
    """One row per arm: the trend of its requests/s over the time of the run, all its levels together.

    n: cases; hours: from the first one to the last one
    over_run: change from the first case to the last as a share (-0.02: two per cent slower); low_over_run,
        high_over_run: 95 % interval; per_hour, low_per_hour, high_per_hour: the same by the hour, missing for a run of
        less than half an hour
    p: of Kendall's test that there is no trend (cases of different levels are not compared)
    direction: rising or falling (p below 0.05), "none shown", or "too few" cases for any order of them to be more than
        chance: then all shares are missing
    """
    times = df_drift_trials(tables)
    rows = []
    for (arm, kind, engine), part in times.groupby(["arm", "kind", "engine"], sort=False):
        hours = float(part["hours"].max() - part["hours"].min())
        found = trend(part["hours"], np.log(part["requests_per_s"]), part["levels"])
        ends = {"": found.slope, "low_": found.low, "high_": found.high}
        rows.append(
            {
                "arm": arm,
                "kind": kind,
                "engine": engine,
                "n": found.n,
                "hours": hours,
                **{f"{name}over_run": np.expm1(slope * hours) for name, slope in ends.items()},
                **{f"{name}per_hour": np.expm1(slope) for name, slope in ends.items() if hours >= _HOURLY},
                "p": found.p,
                "direction": found.direction,
            }
        )
    shares = [f"{end}{name}" for name in ("over_run", "per_hour") for end in ("", "low_", "high_")]
    types: dict[str, Any] = {
        **dict.fromkeys(("arm", "kind", "engine"), "string"),
        "n": "int64",
        **dict.fromkeys(("hours", *shares, "p"), "float64"),
        "direction": "string",
    }
    return pd.DataFrame(rows, columns=list(types)).astype(types)


@once
def df_drift_trials(tables: Tables) -> pd.DataFrame:
    """The cases behind `df_drift`: arm, kind, engine, levels (a number for each choice), block, hours (since the first
    case began), requests_per_s, and relative: to the median of all with the same arm and levels."""
    trials = df_trials(tables).merge(tables.cases[["case", "start_epoch_s"]], on="case")
    trials = trials[trials["start_epoch_s"].notna() & (trials["requests_per_s"] > 0)]
    groups = trials.groupby(keys(tables), dropna=False, sort=False)
    found = trials.assign(
        hours=(trials["start_epoch_s"] - trials["start_epoch_s"].min()) / 3600,
        levels=groups.ngroup(),
        relative=trials["requests_per_s"] / groups["requests_per_s"].transform("median"),
    )
    columns = [
        "case",
        "arm",
        "kind",
        "engine",
        *tables.factors,
        "levels",
        "block",
        "hours",
        "requests_per_s",
        "relative",
    ]
    return arranged(tables, found)[columns]


def machine_drift(tables: Tables) -> dict[str, Any] | None:
    """The row of df_drift that says most about the machine: the arm `direct`'s, or without it the first arm's."""
    table = df_drift(tables)
    table = table[table["direction"] != "too few"]
    if table.empty:
        return None
    direct = table[table["kind"] == "direct"]
    return {str(name): value for name, value in (direct if len(direct) else table).iloc[0].items()}


def drift_sentence(tables: Tables) -> str:
    """How much the machine drifted, whether that is more than chance, and what it means for the comparison."""
    row = machine_drift(tables)
    if row is None:
        return say("Too few cases to tell whether the machine became slower or faster over the run.")
    values = {
        "arm": row["arm"],
        "change": signed(row["over_run"]),
        "low": signed(row["low_over_run"]),
        "high": signed(row["high_over_run"]),
        "hourly": say(", {change} per hour", change=signed(row["per_hour"])) if row["hours"] >= _HOURLY else "",
    }
    if row["direction"] == "none shown":
        return say(
            "No drift is shown: requests/s of {arm} changed by {change} over the run ({low} to {high}){hourly}, which "
            "is within the noise of its blocks.",
            **values,
        )
    if strong_drift(tables):
        return say(
            "There is a strong drift: requests/s of {arm} changed by {change} over the run ({low} to {high}){hourly}, "
            "more than chance. Ratios are taken within blocks, so they are protected from it; absolute figures are "
            "not.",
            **values,
        )
    return say(
        "There is a small drift: requests/s of {arm} changed by {change} over the run ({low} to {high}){hourly}, more "
        "than chance. That is little beside what is compared, and ratios are taken within blocks.",
        **values,
    )


def strong_drift(tables: Tables) -> bool:
    """Whether the drift is more than chance and more than STRONG."""
    row = machine_drift(tables)
    return row is not None and row["direction"] != "none shown" and abs(row["over_run"]) > STRONG


def signed(share: float) -> str:
    """A change in per cent, with its sign.

    >>> signed(0.0312), signed(-0.0004), signed(-0.12)
    ('+3.12 %', '-0.04 %', '-12 %')
    """
    text = number(abs(100 * share))
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{'+' if share > 0 else '-' if share < 0 else ''}{text} %"
