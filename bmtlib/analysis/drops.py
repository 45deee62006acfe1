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
from bmtlib.texts import msg, say, translated

Source = Literal["link", "ethtool_stats", "softnet", "nstat"]


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A counter and what it means. `pattern`: regular expression for its name; `counter`: what it is shown as.

    `lost`: it counts packets or connections that were lost there, and no other counter counts them too.
    """

    layer: str
    counter: str
    source: Source
    pattern: str
    means: str
    lost: bool = True


def _nstat(layer: str, counter: str, means: str, lost: bool = True) -> Loss:
    return Loss(layer=layer, counter=counter, source="nstat", pattern=counter, means=means, lost=lost)


# In the order in which a packet meets them. The layers of SIGNS are no places of loss: they show that there was one.
LOSSES: tuple[Loss, ...] = (
    Loss(
        layer="NIC",
        counter="driver's drops",
        source="ethtool_stats",
        # Drivers name theirs as they like: the ring was full, or the driver had no memory.
        pattern=r".*(rx|tx).*(miss|fifo|discard|no_buf|nobuf|drop|overrun).*",
        means=msg("ring full, or no memory in the driver"),
    ),
    # net/core/dev.c counts what a full backlog drops here once more, and drivers add their own drops.
    Loss(
        layer="interface",
        counter="rx_dropped",
        source="link",
        pattern="rx_dropped",
        means=msg("dropped on reception, by whichever layer: NIC and backlog are counted here again"),
        lost=False,
    ),
    Loss(
        layer="interface",
        counter="tx_dropped",
        source="link",
        pattern="tx_dropped",
        means=msg("dropped on sending; a veth or tap counts here what its other end did not take"),
        lost=False,
    ),
    Loss(
        layer="softnet backlog",
        counter="dropped",
        source="softnet",
        pattern="dropped",
        means=msg("backlog of a CPU full (netdev_max_backlog)"),
    ),
    Loss(
        layer="softnet backlog", counter="flow_limit", source="softnet", pattern="flow_limit", means=msg("flow limit")
    ),
    _nstat("IP", "IpInDiscards", msg("no memory")),
    _nstat("IP", "IpOutDiscards", msg("no memory, or refused by a filter")),
    _nstat("IP", "IpOutNoRoutes", msg("no route")),
    _nstat("IP", "TcpExtIPReversePathFilter", msg("rp_filter")),
    _nstat("listen, SYN", "TcpExtTCPReqQFullDrop", msg("SYN queue full: SYN dropped")),
    _nstat(
        "listen, SYN",
        "TcpExtTCPReqQFullDoCookies",
        msg("SYN queue full: answered with a cookie, nothing lost yet"),
        False,
    ),
    _nstat("listen, accept", "TcpExtListenOverflows", msg("accept queue full: server accepts too slowly"), False),
    _nstat("listen, accept", "TcpExtListenDrops", msg("any reason, the overflows and full SYN queues among them")),
    _nstat("socket", "TcpExtTCPBacklogDrop", msg("socket's backlog full")),
    _nstat("socket", "TcpExtTCPRcvQDrop", msg("receive queue full")),
    _nstat("socket", "TcpExtPruneCalled", msg("receive buffer pruned"), False),
    _nstat("socket", "TcpExtTCPTimeWaitOverflow", msg("too many TIME_WAIT sockets: one was not kept"), False),
    _nstat("socket", "TcpExtTCPAbortOnMemory", msg("aborted: memory, or too many orphans")),
    _nstat("retransmits", "TcpRetransSegs", msg("segments sent again, the SYNs among them"), False),
    _nstat("retransmits", "TcpExtTCPSynRetrans", msg("SYNs sent again: a connection that waited a second"), False),
    _nstat("retransmits", "TcpExtTCPTimeouts", msg("timers that expired"), False),
)
LAYERS = tuple(dict.fromkeys(loss.layer for loss in LOSSES))
SIGNS = ("interface", "retransmits")
PLACES = tuple(layer for layer in LAYERS if layer not in SIGNS)
ROLE_WORDS = {
    "client": msg("clients"),
    "director": msg("director"),
    "web": msg("web hosts"),
    "machine": msg("the kernel that hosts share"),
}
_ROLES = tuple(ROLE_WORDS)


@once
def df_drops(tables: Tables) -> pd.DataFrame:
    """Losses by arm, levels and counter, in the order of the layers; zeros are kept, so that a layer shows as clean.

    layer, counter, means; count: over all hosts and blocks, missing when it was not measured; client, director, web,
    machine: the same by role (machine: what the kernel counts for all hosts of a lab together)
    per_million: count per million right answers
    """
    counted = counted_losses(tables)
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


@once
def df_lost(tables: Tables) -> pd.DataFrame:
    """What each layer lost at the hosts of each role, over all blocks; nothing is counted twice.

    layer: in the order of LAYERS, without SIGNS; role: as the columns of `df_drops`, "unknown" for a layer that was not
        measured
    count: over all blocks; per_1000: right answers; blocks
    """
    lost = lost_by_case(tables)

    def rows(group: pd.DataFrame) -> list[dict[str, Any]]:
        mine, requests = lost[lost["case"].isin(group["case"])], float(group["completed"].sum())
        sums: dict[tuple[str, str], int] = dict(mine.groupby(["layer", "role"])["count"].sum().items())  # type: ignore[arg-type]
        found: list[tuple[str, str, int | None]] = [
            (layer, role, sums[layer, role]) for layer in PLACES for role in _ROLES if (layer, role) in sums
        ]
        found += [(layer, "unknown", None) for layer in PLACES if layer not in {layer for layer, _ in sums}]
        return [
            {
                "layer": layer,
                "role": role,
                "count": count,
                "per_1000": count / requests * 1e3 if count is not None and requests else None,
                "blocks": group["case"].nunique(),
            }
            for layer, role, count in sorted(found, key=lambda row: PLACES.index(row[0]))
        ]

    types = {"layer": "string", "role": "string", "count": "Int64", "per_1000": "float64", "blocks": "int64"}
    return summarised(tables, done(tables)[["case", "completed", *keys(tables)]], rows, types)


def unread(tables: Tables) -> str:
    """A sentence that names the roles whose kernel counters (nstat) were not read in every used case; else empty.

    What was lost there is unknown, though the same layer may have been read, and be clean, at hosts of other roles.
    """
    read = tables.probed[tables.probed["source"] == "nstat"]
    cases = set(done(tables)["case"])
    there = {host["role"] for host in tables.run.get("hosts") or []}
    missing = [
        translated(words)
        for role, words in ROLE_WORDS.items()
        if role in there and cases - set(read.loc[read["role"] == role, "case"])
    ]
    return say("Kernel counters were not read everywhere: {roles}.", roles=", ".join(missing)) if missing else ""


def lost_by_case(tables: Tables) -> pd.DataFrame:
    """case, role, layer, count: of every layer of PLACES that was measured on hosts of that role, zeros too."""
    counted = counted_losses(tables).groupby(["case", "role", "loss"])["count"].sum().to_dict()
    sums: dict[tuple[str, str, str], int] = {}
    for row in _where_read(tables).to_dict("records"):
        for place, loss in enumerate(LOSSES):
            if loss.source == row["source"] and loss.lost:
                key = (row["case"], row["role"], loss.layer)
                sums[key] = sums.get(key, 0) + counted.get((row["case"], row["role"], place), 0)
    for case, role, layer in list(sums):
        # The listening socket counts a full SYN queue among its drops (tcp_conn_request in net/ipv4/tcp_input.c).
        if layer == "listen, accept":
            sums[case, role, layer] = max(0, sums[case, role, layer] - sums[case, role, "listen, SYN"])
    return pd.DataFrame([(*key, count) for key, count in sums.items()], columns=["case", "role", "layer", "count"])


def counted_losses(tables: Tables) -> pd.DataFrame:
    """case, role, loss (place in LOSSES), count: the rows of all sources that are about a loss."""
    parts = [
        tables.counters[["case", "role", "source", "counter", "count"]],
        _long(tables.network, ["rx_dropped", "tx_dropped"], "link"),
        _long(_softnet(tables), ["dropped", "flow_limit"], "softnet"),
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


def _softnet(tables: Tables) -> pd.DataFrame:
    """softnet with the role that its counts belong to: machine, where hosts of several roles share a kernel."""
    machines = {host["name"]: host.get("machine") for host in tables.run.get("hosts") or []}
    roles: dict[str | None, set[str]] = {}
    for host in tables.run.get("hosts") or []:
        roles.setdefault(host.get("machine"), set()).add(host["role"])
    own = {name: next(iter(roles[machine])) for name, machine in machines.items() if len(roles[machine]) == 1}
    return tables.softnet.assign(role=[own.get(host, "machine") for host in tables.softnet["host"]])


def _long(table: pd.DataFrame, counters: list[str], source: str) -> pd.DataFrame:
    long = table.melt(id_vars=["case", "role"], value_vars=counters, var_name="counter", value_name="count")
    return long.assign(source=source)


def _where_read(tables: Tables) -> pd.DataFrame:
    """case, source, role: which sources were read on hosts of which role."""
    parts = [
        tables.probed[["case", "source", "role"]],
        tables.network[["case", "role"]].assign(source="link"),
        _softnet(tables)[["case", "role"]].assign(source="softnet"),
    ]
    return pd.concat(parts).drop_duplicates()
