"""One row per case that is done: what was measured, per request. Every comparison starts from these rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from bmtlib.analysis.schema import COLUMNS
from bmtlib.analysis.tables import Tables
from bmtlib.texts import current

# In this order arms stand in tables and figures: what the hosts can do, the old way, the way in question.
KINDS = ("direct", "proxy", "nat", "l3dsr", "l2dsr")
# Time in which a CPU worked. Steal is not among them: the hypervisor had the CPU then.
BUSY_KINDS = ("user", "system", "softirq", "irq")


def once(make: Callable[[Tables], pd.DataFrame]) -> Callable[[Tables], pd.DataFrame]:
    """Make a table only once per run (and language): many figures and sentences stand on it. Callers get a copy."""
    made: WeakKeyDictionary[Tables, dict[str, pd.DataFrame]] = WeakKeyDictionary()

    @wraps(make)
    def kept(tables: Tables) -> pd.DataFrame:
        by_language = made.setdefault(tables, {})
        if current() not in by_language:
            by_language[current()] = make(tables)
        return by_language[current()].copy()

    return kept


def keys(tables: Tables) -> list[str]:
    """Columns that name what is compared: the arm, and a level of each factor."""
    return ["arm", "kind", "engine", *tables.factors]


def done(tables: Tables) -> pd.DataFrame:
    """Cases that may be compared, arms in the order of KINDS, levels ascending, then blocks."""
    return arranged(tables, tables.cases[tables.cases["status"] == "done"])


def arranged(tables: Tables, table: pd.DataFrame) -> pd.DataFrame:
    """Rows in the order in which arms and levels are shown."""
    arms = {name: place for place, name in enumerate(tables.arms)}
    order = table.assign(
        _kind=[KINDS.index(kind) if kind in KINDS else len(KINDS) for kind in table["kind"]],
        _arm=[arms.get(arm, len(arms)) for arm in table["arm"]],
    )
    by = ["_kind", "_arm", *tables.factors, *(["block"] if "block" in table else [])]
    for factor, names in (("lever", tables.levers), ("tuning", tables.tunings)):
        if factor in by:  # its levels have an order that is not that of their names
            places = {name: place for place, name in enumerate(names)}
            order[f"_{factor}"] = [places.get(name, len(places)) for name in table[factor].fillna("")]
            by[by.index(factor)] = f"_{factor}"
    return order.sort_values(by, kind="stable")[list(table.columns)].reset_index(drop=True)


def with_keys(tables: Tables, table: pd.DataFrame) -> pd.DataFrame:
    """Rows of `table` that belong to done cases, with the columns of `keys`, block and completed requests."""
    cases = done(tables)[["case", "block", "completed", *keys(tables)]]
    return cases.merge(table, on="case", how="inner")


Rows = Mapping[str, Any] | Iterable[Mapping[str, Any]]


def summarised(
    tables: Tables,
    table: pd.DataFrame,
    make: Callable[[pd.DataFrame], Rows],
    columns: Mapping[str, str],
) -> pd.DataFrame:
    """`make` applied to the rows of each arm at each choice of levels; `columns`: those that it makes, with types."""
    names = keys(tables)
    rows: list[dict[str, Any]] = []
    for values, group in table.groupby(names, dropna=False, sort=False):
        made = make(group)
        rows += [
            {**dict(zip(names, values, strict=True)), **row} for row in ([made] if isinstance(made, Mapping) else made)
        ]
    types = {**{name: COLUMNS["cases"][name] for name in names}, **columns}
    return arranged(tables, pd.DataFrame(rows, columns=list(types)).astype(types))


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


@once
def df_trials(tables: Tables) -> pd.DataFrame:
    """One row per done case: the figures that arms are compared by.

    case, arm, kind, engine, <levels>, block; concurrency, completed, failed: as in `cases`
    requests_per_s: right answers / window
    wait_mean_ms, wait_p99_ms: as in `waits`, over the requests of all clients
    director_cpu_us: CPU time of the director's CPUs (user, system, softirq, irq) per right answer
    director_in_bytes, director_out_bytes, director_bytes: through the director's interfaces, per right answer
    client_bytes: received by all clients, per right answer
    """
    cases = done(tables)
    names = dict.fromkeys(["case", *keys(tables), "block", "concurrency", "completed", "failed", "requests_per_s"])
    trials = cases[list(names)].set_index("case")
    requests = trials["completed"].astype("float64").replace(0.0, np.nan)
    waits = {str(case): (part["wait_us"] / 1000, part["requests"]) for case, part in tables.waits.groupby("case")}
    cpu = tables.cpu[(tables.cpu["role"] == "director") & tables.cpu["cpu_kind"].isin(BUSY_KINDS)]
    through = tables.network[tables.network["role"] == "director"].groupby("case")[["rx_bytes", "tx_bytes"]].sum()
    received = tables.network[tables.network["role"] == "client"].groupby("case")["rx_bytes"].sum()
    measured = {
        "wait_mean_ms": pd.Series({case: mean_of(*part) for case, part in waits.items()}, dtype="float64"),
        "wait_p99_ms": pd.Series(
            {case: percentiles_of(*part, [99])[0] for case, part in waits.items()}, dtype="float64"
        ),
        "director_cpu_us": cpu.groupby("case")["cpu_s"].sum() * 1e6 / requests,
        "director_in_bytes": through["rx_bytes"] / requests,
        "director_out_bytes": through["tx_bytes"] / requests,
        "director_bytes": through.sum(axis=1) / requests,
        "client_bytes": received / requests,
    }
    # A case that is not done has figures too, but no row here.
    rows = {name: values.reindex(trials.index).astype("float64") for name, values in measured.items()}
    return trials.astype({"requests_per_s": "float64"}).assign(**rows).reset_index()


def percentiles_of(values: Iterable[float], counts: Iterable[int], percents: Iterable[float]) -> np.ndarray:
    """Percentiles of values that occurred `counts` times: the smallest value that as many per cent do not exceed.

    The same as `numpy.percentile(..., method="inverted_cdf")` of the values written out; NaN when there are none.

    >>> percentiles_of([1, 2, 10], [50, 49, 1], [50, 99, 100])
    array([ 1.,  2., 10.])
    """
    order = np.argsort(np.asarray(list(values)))
    value = np.asarray(list(values), dtype=np.float64)[order]
    upto = np.cumsum(np.asarray(list(counts), dtype=np.int64)[order])
    wanted = np.asarray(list(percents), dtype=np.float64)
    if not len(upto) or upto[-1] == 0:
        return np.full(len(wanted), np.nan)
    # Rounded, so that 99.9 % of 1000 is the 999th and not, by a hair, the 1000th.
    places = np.maximum(1, np.ceil(np.round(wanted / 100 * upto[-1], 9)))
    return value[np.searchsorted(upto, places)]


def mean_of(values: pd.Series, counts: pd.Series) -> float:
    """Mean of values that occurred `counts` times; NaN when there are none."""
    return float((values * counts).sum() / counts.sum()) if counts.sum() else np.nan
