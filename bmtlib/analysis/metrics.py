"""What claims are about: one value per case and metric, each from the tables of the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from bmtlib.analysis.drops import LOSSES, counted_losses, lost_by_case
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import df_trials, keys, once, percentiles_of
from bmtlib.texts import msg


@dataclass(frozen=True, kw_only=True)
class About:
    """How a metric is spoken of. A `count` has no interval; a `spread` is one value of all blocks."""

    words: str
    unit: str = ""
    kind: Literal["quantity", "count", "spread"] = "quantity"


# Of params.claim.METRICS.
METRICS: dict[str, About] = {
    "requests_per_s": About(words=msg("requests/s")),
    "spread_requests_per_s": About(words=msg("spread of requests/s between blocks"), kind="spread"),
    "wait_p50_ms": About(words=msg("median wait"), unit=" ms"),
    "wait_p99_ms": About(words=msg("99th percentile of the wait"), unit=" ms"),
    "failed_share": About(words=msg("share of failed requests")),
    "director_cpu_us_per_request": About(words=msg("director CPU per request"), unit=" µs"),
    "director_bytes_per_request": About(words=msg("bytes through the director per request"), unit=" bytes"),
    "ipvs_cpu_share": About(words=msg("share of LVS's packets that the busiest CPU had")),
    "packet_cpu_share": About(words=msg("share of the received packets that the busiest CPU had")),
    "drops_nic": About(words=msg("packets lost in the NIC"), kind="count"),
    "drops_backlog": About(words=msg("packets lost in the softnet backlog"), kind="count"),
    "drops_ip": About(words=msg("packets lost in IP"), kind="count"),
    "drops_syn": About(words=msg("SYNs lost to a full SYN queue"), kind="count"),
    "drops_accept": About(words=msg("connections lost to a full accept queue"), kind="count"),
    "drops_socket": About(words=msg("segments lost at sockets"), kind="count"),
    "syn_retransmits": About(words=msg("SYNs that clients sent again"), kind="count"),
}
_LAYERS = {
    "drops_nic": "NIC",
    "drops_backlog": "softnet backlog",
    "drops_ip": "IP",
    "drops_syn": "listen, SYN",
    "drops_accept": "listen, accept",
    "drops_socket": "socket",
}


@once
def df_metrics(tables: Tables) -> pd.DataFrame:
    """One row per done case: arm, kind, engine, <levels>, block, and a column per metric (a spread: what it is of).

    Losses are the director's, where hosts share a kernel that kernel's. What was not measured is missing.
    """
    trials = df_trials(tables)
    found = trials[["case", *keys(tables), "block"]].set_index("case")
    total = (trials["completed"] + trials["failed"]).astype("float64").replace(0.0, np.nan)
    columns: dict[str, pd.Series] = {
        "requests_per_s": trials.set_index("case")["requests_per_s"],
        "spread_requests_per_s": trials.set_index("case")["requests_per_s"],
        "wait_p50_ms": _median_waits(tables),
        "wait_p99_ms": trials.set_index("case")["wait_p99_ms"],
        "failed_share": pd.Series((trials["failed"] / total).to_numpy("float64"), index=trials["case"]),
        "director_cpu_us_per_request": trials.set_index("case")["director_cpu_us"],
        "director_bytes_per_request": trials.set_index("case")["director_bytes"],
        "ipvs_cpu_share": _largest_share(tables.ipvs_cpu, "in_packets"),
        "packet_cpu_share": _largest_share(tables.softnet, "processed"),
        "syn_retransmits": _syn_retransmits(tables),
        **_lost(tables),
    }
    values = {name: columns[name].reindex(found.index).astype("float64") for name in METRICS}
    return found.assign(**values).reset_index()


def _median_waits(tables: Tables) -> pd.Series:
    waits = tables.waits.groupby("case")
    return pd.Series(
        {case: percentiles_of(part["wait_us"] / 1000, part["requests"], [50])[0] for case, part in waits},
        dtype="float64",
    )


def _largest_share(table: pd.DataFrame, column: str) -> pd.Series:
    """Of the director's CPUs, the largest share that one of them had."""
    counts = table[table["role"] == "director"].groupby(["case", "cpu"])[column].sum().astype("float64")
    cases = counts.groupby("case")
    return cases.max() / cases.sum().replace(0.0, np.nan)


def _lost(tables: Tables) -> Mapping[str, pd.Series]:
    lost = lost_by_case(tables)
    own = lost[lost["role"].isin(("director", "machine"))]
    return {name: own[own["layer"] == layer].groupby("case")["count"].sum() for name, layer in _LAYERS.items()}


def _syn_retransmits(tables: Tables) -> pd.Series:
    place = [loss.counter for loss in LOSSES].index("TcpExtTCPSynRetrans")
    asked = tables.probed[(tables.probed["role"] == "client") & (tables.probed["source"] == "nstat")]
    counted = counted_losses(tables)
    found = counted[(counted["role"] == "client") & (counted["loss"] == place)].groupby("case")["count"].sum()
    return found.reindex(asked["case"].unique(), fill_value=0)
