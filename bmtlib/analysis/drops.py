"""Where packets and connections were lost, layer by layer, from the wire to the program.

Which counter means what: kernel Documentation/networking/snmp_counter.rst, scaling.rst, and net/core/dev.c. A counter
of a layer that was not probed is missing (unknown), never zero.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import done, keys, once, summarised

Source = Literal["link", "ethtool_stats", "softnet", "nstat"]


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A counter and what it means. `pattern`: regular expression for its name; `counter`: what it is shown as."""

    layer: str
    counter: str
    source: Source
    pattern: str
    means: str


def _nstat(layer: str, counter: str, means: str) -> Loss:
    return Loss(layer=layer, counter=counter, source="nstat", pattern=counter, means=means)


# In the order in which a packet meets them. The last layer is no place of loss: it shows that something was lost.
LOSSES: tuple[Loss, ...] = (
    Loss(
        layer="NIC",
        counter="driver's drops",
        source="ethtool_stats",
        # Drivers name theirs as they like: the ring was full, or the driver had no memory.
        pattern=r".*(rx|tx).*(miss|fifo|discard|no_buf|nobuf|drop|overrun).*",
        means="ring full, or no memory in the driver",
    ),
    Loss(layer="NIC", counter="rx_dropped", source="link", pattern="rx_dropped", means="dropped on reception"),
    Loss(layer="NIC", counter="tx_dropped", source="link", pattern="tx_dropped", means="dropped on sending"),
    Loss(
        layer="softnet backlog",
        counter="dropped",
        source="softnet",
        pattern="dropped",
        means="backlog of a CPU full (netdev_max_backlog)",
    ),
    Loss(layer="softnet backlog", counter="flow_limit", source="softnet", pattern="flow_limit", means="flow limit"),
    _nstat("IP", "IpInDiscards", "no memory"),
    _nstat("IP", "IpOutDiscards", "no memory, or refused by a filter"),
    _nstat("IP", "IpOutNoRoutes", "no route"),
    _nstat("IP", "TcpExtIPReversePathFilter", "rp_filter"),
    _nstat("listen, SYN", "TcpExtTCPReqQFullDrop", "SYN queue full: SYN dropped"),
    _nstat("listen, SYN", "TcpExtTCPReqQFullDoCookies", "SYN queue full: answered with a cookie, nothing lost yet"),
    _nstat("listen, accept", "TcpExtListenOverflows", "accept queue full: server accepts too slowly"),
    _nstat("listen, accept", "TcpExtListenDrops", "any reason, the overflows among them"),
    _nstat("socket", "TcpExtTCPBacklogDrop", "socket's backlog full"),
    _nstat("socket", "TcpExtTCPRcvQDrop", "receive queue full"),
    _nstat("socket", "TcpExtPruneCalled", "receive buffer pruned"),
    _nstat("socket", "TcpExtTCPTimeWaitOverflow", "too many TIME_WAIT sockets"),
    _nstat("socket", "TcpExtTCPAbortOnMemory", "aborted: memory, or too many orphans"),
    _nstat("retransmits", "TcpRetransSegs", "segments sent again, the SYNs among them"),
    _nstat("retransmits", "TcpExtTCPSynRetrans", "SYNs sent again: a connection that waited a second"),
    _nstat("retransmits", "TcpExtTCPTimeouts", "timers that expired"),
)
LAYERS = tuple(dict.fromkeys(loss.layer for loss in LOSSES))
_ROLES = ("client", "director", "web", "machine")


@once
def df_drops(tables: Tables) -> pd.DataFrame:
    """Losses by arm, levels and counter, in the order of the layers; zeros are kept, so that a layer shows as clean.

    layer, counter, means; count: over all hosts and blocks, missing when it was not measured; client, director, web,
    machine: the same by role (machine: what the kernel counts for all hosts of a lab together)
    per_million: count per million right answers
    """
    counted = _counted(tables)
    where = _where_read(tables)

    def rows(group: pd.DataFrame) -> list[dict[str, Any]]:
        requests = float(group["completed"].sum())
        sums = counted[counted["case"].isin(group["case"])].groupby(["loss", "role"])["count"].sum().to_dict()
        read = where[where["case"].isin(group["case"])].groupby("source")["role"].unique().to_dict()
        return [
            _row(loss, {role: sums.get((place, role), 0) for role in read.get(loss.source, [])}, requests)
            for place, loss in enumerate(LOSSES)
        ]

    types = {
        **dict.fromkeys(("layer", "counter", "means"), "string"),
        **dict.fromkeys(("count", *_ROLES), "Int64"),
        "per_million": "float64",
    }
    cases = done(tables)[["case", "completed", *keys(tables)]]
    return summarised(tables, cases, rows, types)


def _row(loss: Loss, found: dict[str, int], requests: float) -> dict[str, Any]:
    count = sum(found.values()) if found else None
    return {
        "layer": loss.layer,
        "counter": loss.counter,
        "means": loss.means,
        "count": count,
        **{role: found.get(role) for role in _ROLES},
        "per_million": count / requests * 1e6 if count is not None and requests else None,
    }


def _counted(tables: Tables) -> pd.DataFrame:
    """case, role, loss (place in LOSSES), count: the rows of all sources that are about a loss."""
    parts = [
        tables.counters[["case", "role", "source", "counter", "count"]],
        _long(tables.network, ["rx_dropped", "tx_dropped"], "link"),
        _long(tables.softnet.assign(role="machine"), ["dropped", "flow_limit"], "softnet"),
    ]
    whole = pd.concat([part.astype({"counter": "string", "role": "string", "source": "string"}) for part in parts])
    names = whole[["source", "counter"]].drop_duplicates()
    of_loss = [
        {"source": source, "counter": counter, "loss": place}
        for source, counter in zip(names["source"], names["counter"], strict=True)
        for place, loss in enumerate(LOSSES)
        if loss.source == source and re.fullmatch(loss.pattern, counter)
    ]
    matches = pd.DataFrame(of_loss, columns=["source", "counter", "loss"])
    return whole.merge(matches.astype({"source": "string", "counter": "string", "loss": "int64"}))


def _long(table: pd.DataFrame, counters: list[str], source: str) -> pd.DataFrame:
    long = table.melt(id_vars=["case", "role"], value_vars=counters, var_name="counter", value_name="count")
    return long.assign(source=source)


def _where_read(tables: Tables) -> pd.DataFrame:
    """case, source, role: which sources were read on hosts of which role."""
    parts = [
        tables.probed[["case", "source", "role"]],
        tables.network[["case", "role"]].assign(source="link"),
        tables.softnet[["case"]].assign(source="softnet", role="machine"),
    ]
    return pd.concat(parts).drop_duplicates()
