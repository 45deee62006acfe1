"""What clients waited: pooled percentiles, the whole distribution, and a check by Little's law."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bmtlib.analysis.read_waits import upper_ends
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import df_trials, mean_of, once, percentiles_of, summarised, with_keys

_PERCENTS = {"p50_ms": 50.0, "p90_ms": 90.0, "p95_ms": 95.0, "p99_ms": 99.0, "p99_9_ms": 99.9, "max_ms": 100.0}


def _waits(tables: Tables) -> pd.DataFrame:
    """The histograms of the done cases, in milliseconds."""
    found = with_keys(tables, tables.waits)
    return found.assign(wait_ms=found["wait_us"] / 1000)


@once
def df_waits(tables: Tables) -> pd.DataFrame:
    """Percentiles of what clients waited, by arm and levels: pooled over all requests of all clients and blocks.

    requests, blocks; mean_ms, p50_ms, p90_ms, p95_ms, p99_ms, p99_9_ms, max_ms: up to the end of the answer, from
    connect (ab, whole ms), from the request sent (wrk, h2load), or from when it was due (open loop). Failed requests
    are among them: ab does not tell them apart.
    """

    def row(group: pd.DataFrame) -> dict[str, Any]:
        found = percentiles_of(group["wait_ms"], group["requests"], _PERCENTS.values())
        return {
            "requests": group["requests"].sum(),
            "blocks": group["case"].nunique(),
            "mean_ms": mean_of(group["wait_ms"], group["requests"]),
            **dict(zip(_PERCENTS, found, strict=True)),
        }

    types = {"requests": "int64", "blocks": "int64", **dict.fromkeys(("mean_ms", *_PERCENTS), "float64")}
    return summarised(tables, _waits(tables), row, types)


@once
def df_wait_curve(tables: Tables) -> pd.DataFrame:
    """The distribution behind `df_waits`: wait_ms, and longer_share: the share of requests that waited longer.

    One row per wait that occurred; of waits less than 0.8 % apart the longest, which a curve does not show and a table
    of minutes in milliseconds cannot do without. The last of each arm has longer_share 0.
    """

    def rows(group: pd.DataFrame) -> list[dict[str, Any]]:
        counts = group.groupby("wait_ms")["requests"].sum().sort_index()
        waits = counts.index.to_numpy("float64")
        steps = upper_ends((waits * 1000).round().astype("int64"), exact_bits=8)
        last = np.append(steps[1:] != steps[:-1], True)
        longer = (1 - counts.cumsum() / counts.sum())[last]
        longer.iloc[-1] = 0.0
        return [{"wait_ms": wait, "longer_share": share} for wait, share in longer.items()]

    types = {"wait_ms": "float64", "longer_share": "float64"}
    return summarised(tables, _waits(tables), rows, types)


@once
def df_little(tables: Tables) -> pd.DataFrame:
    """Little's law as a check: concurrency = rate x mean wait, if the load generators keep all connections busy.

    Of a closed loop only: in an open one as many are in flight as the waits make.

    concurrency; requests_per_s, wait_mean_ms (of the single requests, not ab's quotient): medians over blocks
    in_flight: rate x wait; in_flight_share: of the concurrency. Well below 1: the clients were late in sending, so they
    are part of what limits the result. Above 1: failed requests, which wait but are not counted in the rate.
    """

    def row(group: pd.DataFrame) -> dict[str, Any]:
        in_flight = (group["requests_per_s"] * group["wait_mean_ms"] / 1000).median()
        return {
            "concurrency": group["concurrency"].iloc[0],
            "requests_per_s": group["requests_per_s"].median(),
            "wait_mean_ms": group["wait_mean_ms"].median(),
            "in_flight": in_flight,
            "in_flight_share": in_flight / float(group["concurrency"].iloc[0]),
        }

    figures = ("requests_per_s", "wait_mean_ms", "in_flight", "in_flight_share")
    closed = tables.cases.loc[tables.cases["loop"] == "closed", "case"]
    trials = df_trials(tables).loc[lambda trials: trials["case"].isin(closed)]
    return summarised(tables, trials, row, {"concurrency": "Int64", **dict.fromkeys(figures, "float64")})
