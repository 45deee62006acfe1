"""How the load went while it ran: answers per second, waits, and the director's connections, second by second.

Only the first seconds and the last of a load may differ from the rest; a longer change within it says that the case was
not in a steady state, and that its mean stands for nothing. Loads of fewer than three seconds are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import once, percentiles_of, summarised, with_keys
from bmtlib.stats import estimate

_LEAST_S = 3.0  # a load that is shorter has no course to speak of
_SHORT_S = 0.5  # a second of which less lies within the load would show chance as change
_BEYOND = 10  # a percentile with fewer requests beyond it is a guess
_PERCENTS = {"p50_ms": 50.0, "p90_ms": 90.0, "p99_ms": 99.0}
STATES = ("established", "waiting", "timewait")


@once
def df_rate_over_time(tables: Tables) -> pd.DataFrame:
    """Requests/s by the second of the load in which they ended, failed ones too: of each block, and over all blocks.

    block: missing for the median over blocks; time_s: middle of the second, from the start of the load; per_s
    low_per_s, high_per_s: 95 % interval of the median; n: blocks
    ab tells the second in which a request began, so a sudden change is blurred over one second. None of wrk, which
    tells of no request when it was.
    """
    seconds = _whole(tables, tables.requests_time)
    seconds = seconds.assign(time_s=np.ceil(seconds["time_s"]) - 0.5, per_s=seconds["requests"] / seconds["span_s"])

    def rows(group: pd.DataFrame) -> Iterator[dict[str, Any]]:
        for time_s, part in _most_blocks(group):
            found = estimate(part["per_s"].to_numpy("float64"))
            ends = {"low_per_s": found.low, "high_per_s": found.high}
            yield {"time_s": time_s, "per_s": found.median, **ends, "n": found.n}
        for block, part in group.groupby("block"):
            for time_s, per_s in zip(part["time_s"], part["per_s"], strict=True):
                yield {"block": block, "time_s": time_s, "per_s": per_s, "n": 1}

    figures = ("time_s", "per_s", "low_per_s", "high_per_s")
    types = {"block": "Int64", **dict.fromkeys(figures, "float64"), "n": "int64"}
    return summarised(tables, with_keys(tables, seconds), rows, types)


@once
def df_waits_over_time(tables: Tables) -> pd.DataFrame:
    """Percentiles of what clients waited, by the second of the load in which requests began: of each block, and pooled
    over the requests of all blocks.

    block: missing for the pooled ones; time_s: middle of the second, from the start of the load; requests; p50_ms,
    p90_ms, p99_ms, max_ms: as in `df_waits`, up to 3.1 % too long; missing where fewer than ten requests are beyond
    With ab, which writes whole seconds of the clock, the second is the more probable of two.
    """
    seconds = _whole(tables, tables.waits_time)
    seconds = seconds.assign(time_s=np.ceil(seconds["time_s"]) - 0.5, wait_ms=seconds["wait_us"] / 1000)

    def rows(group: pd.DataFrame) -> Iterator[dict[str, Any]]:
        for time_s, part in _most_blocks(group):
            yield {"time_s": time_s, **_percentiles(part)}
        for (block, second), part in group.groupby(["block", "time_s"]):
            yield {"block": block, "time_s": second, **_percentiles(part)}

    figures = dict.fromkeys((*_PERCENTS, "max_ms"), "float64")
    types = {"block": "Int64", "time_s": "float64", "requests": "int64", **figures}
    return summarised(tables, with_keys(tables, seconds), rows, types)


def _long(tables: Tables, table: pd.DataFrame) -> pd.DataFrame:
    cases = tables.cases.loc[tables.cases["window_s"] >= _LEAST_S, "case"]
    return table[table["case"].isin(cases)]


def _whole(tables: Tables, table: pd.DataFrame) -> pd.DataFrame:
    """Seconds of loads that are long enough, without a last one of which little is left."""
    return _long(tables, table[table["span_s"] >= _SHORT_S])


def _percentiles(part: pd.DataFrame) -> dict[str, Any]:
    requests = int(part["requests"].sum())
    found = percentiles_of(part["wait_ms"], part["requests"], [*_PERCENTS.values(), 100.0])
    known = [
        value if requests * (1 - p / 100) >= _BEYOND else np.nan
        for value, p in zip(found, _PERCENTS.values(), strict=False)
    ]
    return {"requests": requests, **dict(zip(_PERCENTS, known, strict=True)), "max_ms": found[-1]}


def _most_blocks(group: pd.DataFrame) -> Iterator[tuple[float, pd.DataFrame]]:
    """The seconds that more than half of the blocks have: loads that end by a number of requests end at different
    times, and a lone straggler would stand for all."""
    blocks = group["block"].nunique()
    for time_s, part in group.groupby("time_s"):
        if 2 * part["block"].nunique() > blocks:
            yield float(str(time_s)), part


@once
def df_connections_over_time(tables: Tables) -> pd.DataFrame:
    """The director's own TCP connections while the load ran, sample by sample.

    block; time_s: from the start of the load; state: established (to clients and to web hosts), waiting (of these, not
    yet accepted by the proxy), timewait (closed, and kept for a minute: those of earlier cases too); connections
    Under the arms of LVS clients have none with the director: it only passes packets on.
    """
    long = _long(tables, tables.director_sockets).melt(
        id_vars=["case", "time_s"], value_vars=list(STATES), var_name="state", value_name="connections"
    )

    def rows(group: pd.DataFrame) -> list[dict[str, Any]]:
        ordered = group.assign(_state=group["state"].map(STATES.index)).sort_values(["_state", "block", "time_s"])
        return [
            {"block": block, "time_s": time_s, "state": state, "connections": count}
            for block, time_s, state, count in ordered[["block", "time_s", "state", "connections"]].to_numpy()
        ]

    types = {"block": "Int64", "time_s": "float64", "state": "string", "connections": "int64"}
    return summarised(tables, with_keys(tables, long), rows, types)
