"""What the director's settings changed: each lever, number of queues or threads against the first of its arm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from bmtlib.analysis.drops import PLACES, lost_by_case
from bmtlib.analysis.schema import COLUMNS
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import df_trials, keys, once
from bmtlib.analysis.used import against, cases_of, doubt, spoilt_by
from bmtlib.stats import estimate, paired_ratio, verdict

# Factors that are settings of the director or of what runs on it.
SETTINGS = ("threads", "queues", "lever", "tuning")
MEASURES = ("requests_per_s", "wait_p99_ms", "lost_per_1000")


@once
def df_settings(tables: Tables) -> pd.DataFrame:
    """What each choice of settings did, beside the first one of the same arm at the same other levels ("before").

    measure: requests_per_s; wait_p99_ms; lost_per_1000: packets and connections, of all layers and hosts
    value: median over blocks, low, high: 95 % interval; n: blocks
    first: whether it is the first; ratio, ratio_low, ratio_high, verdict: to the first, paired by block, missing for
        itself and where the first is zero; undecided also where too many blocks of either are left out, or marked for
        what may have made the difference (see `used`)
    """
    trials = _with_losses(tables)
    rows = [row for part in _arms(tables, trials) for row in _rows(tables, part)]
    types = {
        **{name: COLUMNS["cases"][name] for name in keys(tables)},
        "measure": "string",
        **dict.fromkeys(("value", "low", "high"), "float64"),
        "n": "int64",
        "first": "bool",
        **dict.fromkeys(("ratio", "ratio_low", "ratio_high"), "float64"),
        "verdict": "string",
    }
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def df_setting_trials(tables: Tables) -> pd.DataFrame:
    """The single blocks behind `df_settings`: df_trials with lost_per_1000."""
    return _with_losses(tables)


def _with_losses(tables: Tables) -> pd.DataFrame:
    trials, lost = df_trials(tables), lost_by_case(tables)
    sums = lost[lost["layer"].isin(PLACES)].groupby("case")["count"].sum().astype("float64")
    requests = trials["completed"].astype("float64")
    per_1000 = trials["case"].map(sums).astype("float64") / requests.where(requests > 0) * 1e3
    return trials.assign(lost_per_1000=per_1000)


def _arms(tables: Tables, trials: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The trials of one arm at the same other levels, where they differ in their settings."""
    varied = [name for name in SETTINGS if name in tables.factors]
    same = [name for name in keys(tables) if name not in varied]
    for _, part in trials.groupby(same, dropna=False, sort=False):
        if varied and part[varied].drop_duplicates().shape[0] > 1:
            yield part


def _rows(tables: Tables, part: pd.DataFrame) -> Iterator[dict[str, Any]]:
    names = keys(tables)
    groups = [
        (dict(zip(names, values, strict=True)), rows) for values, rows in part.groupby(names, dropna=False, sort=False)
    ]
    first_named, first = groups[0]
    first_spoilt = spoilt_by(tables, first_named)
    for place, (named, rows) in enumerate(groups):
        spoilt = first_spoilt or spoilt_by(tables, named)
        both = rows.merge(first, on="block", suffixes=("", "_first"))
        for measure in MEASURES:
            found = estimate(rows[measure])
            ratio = paired_ratio(both[measure], both[f"{measure}_first"]) if place else estimate([])
            said = "undecided" if spoilt else verdict(ratio)
            if said != "undecided":
                doubts = (doubt(tables, cases_of(tables, side), measure) for side in (named, first_named))
                said = "undecided" if against(said, measure, *doubts) else said
            yield {
                **named,
                "measure": measure,
                "value": found.median,
                "low": found.low,
                "high": found.high,
                "n": found.n,
                "first": place == 0,
                "ratio": ratio.median,
                "ratio_low": ratio.low,
                "ratio_high": ratio.high,
                "verdict": said if ratio.n else None,
            }
