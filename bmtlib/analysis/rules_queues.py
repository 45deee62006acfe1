"""Rules of the bottleneck diagnosis on what is finite beside CPUs: ports, tables, links, queues, HAProxy's limits."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bmtlib.analysis.finding import Finding
from bmtlib.analysis.naming import number, percent
from bmtlib.analysis.tables import Tables
from bmtlib.texts import say

NEARLY_ALL = 0.95  # of ports, of a connection table, of a rate limit: the last ones are found too late
LINK_FULL = 0.90  # of a link's rate, counted without preamble, gap and checksum (24 of 1538 bytes), and in TCP's bursts
LOST = 0.001  # of the connections that came: each lost SYN waits a second, so this is seen in the 99.9th percentile
MAXCONN_FULL = 0.98  # HAProxy counts a connection as gone a moment before it takes the next

_NO_PORT = "assign requested address"


def ports(tables: Tables) -> Iterator[Finding]:
    """Local ports of clients, and of a proxy towards each web host; a client that found none says so as it dies."""
    concurrency = tables.clients[["case", "host", "concurrency"]]
    webs = max(1, sum(host["role"] == "web" for host in tables.run.get("hosts") or []))
    held = tables.ports.merge(concurrency, on=["case", "host"], how="left")
    held = held[held["local_ports"].notna() & (held["local_ports"].astype("Float64") > 0)]
    kinds = tables.cases.set_index("case")["kind"]
    for row in held.to_dict("records"):
        # Only a proxy opens connections of its own, to web hosts that have ports of their own each.
        used = row["timewait"] / webs if row["role"] == "director" else row["timewait"] + (row["concurrency"] or 0)
        if row["role"] == "director" and kinds.get(row["case"]) != "proxy":
            continue
        evidence = say(
            "{host}/ss_summary: {used} of {total} local ports held",
            host=row["host"],
            used=number(used),
            total=number(row["local_ports"]),
        )
        yield Finding(
            case=row["case"], limit="ports", pressure=used / row["local_ports"] / NEARLY_ALL, evidence=evidence
        )
    for row in tables.cases[["case", "error"]].dropna().to_dict("records"):
        if _NO_PORT in row["error"]:
            yield Finding(
                case=row["case"],
                limit="ports",
                pressure=2.0,
                evidence=say("a client said: {error}", error=row["error"]),
            )


def conntrack(tables: Tables) -> Iterator[Finding]:
    """A connection table that is full refuses new connections."""
    for row in tables.conntrack.to_dict("records"):
        most = max(row["entries_before"], row["entries_after"])
        if row["entries_max"]:
            evidence = say(
                "{host}/conntrack: {used} of {total} entries",
                host=row["host"],
                used=number(most),
                total=number(row["entries_max"]),
            )
            pressure = most / row["entries_max"] / NEARLY_ALL
            yield Finding(case=row["case"], limit="conntrack", pressure=pressure, evidence=evidence)


def link(tables: Tables) -> Iterator[Finding]:
    """Bytes against the rate that a card claims, or that a shaper lets through."""
    window = tables.cases.set_index("case")["window_s"].astype("float64")
    cards = tables.network[tables.network["speed_mbit_per_s"].notna()]
    for row in cards.to_dict("records"):
        seconds = window.get(row["case"])
        if seconds and seconds > 0:
            rate, top = max(row["rx_bytes"], row["tx_bytes"]) * 8 / seconds / 1e6, float(row["speed_mbit_per_s"])
            evidence = say(
                "{host}/ip_link {interface}: {rate} of {top} Mbit/s",
                host=row["host"],
                interface=row["interface"],
                rate=number(rate),
                top=number(top),
            )
            yield Finding(case=row["case"], limit="link", pressure=rate / top / LINK_FULL, evidence=evidence)
    shapers = tables.qdisc[tables.qdisc["rate_bytes_per_s"].notna()]
    for row in shapers.to_dict("records"):
        seconds = window.get(row["case"])
        if seconds and seconds > 0 and row["rate_bytes_per_s"]:
            rate, top = row["bytes"] / seconds, float(row["rate_bytes_per_s"])
            evidence = say(
                "{host}/qdisc {interface} ({qdisc}): {rate} of {top} Mbit/s, {held} times held back, "
                "{drops} packets dropped",
                **{name: row[name] for name in ("host", "interface", "qdisc")},
                rate=number(rate * 8 / 1e6),
                top=number(top * 8 / 1e6),
                held=number(row["overlimits"]),
                drops=number(row["drops"]),
            )
            yield Finding(case=row["case"], limit="link", pressure=rate / top / LINK_FULL, evidence=evidence)


def rate_limit(tables: Tables) -> Iterator[Finding]:
    """HAProxy's limit of new connections per second, against the mean: a peak alone says nothing."""
    limits = tables.haproxy[tables.haproxy["rate_limit_per_s"].notna()]
    window = tables.cases.set_index("case")["window_s"].astype("float64")
    taken = tables.counters[(tables.counters["role"] == "director") & (tables.counters["counter"] == "TcpPassiveOpens")]
    connections = taken.groupby("case")["count"].sum()
    for row in limits.to_dict("records"):
        seconds, top = window.get(row["case"]), float(row["rate_limit_per_s"])
        if seconds and seconds > 0 and row["case"] in connections:
            # The kernel takes connections that HAProxy leaves in the queue: those are not above the limit's rate.
            rate = min(connections[row["case"]] / seconds, float(row["sessions_per_s_max"] or 0))
            evidence = say(
                "director/haproxy_stat: {rate} new connections/s, limit {top}", rate=number(rate), top=number(top)
            )
            yield Finding(case=row["case"], limit="rate-limit", pressure=rate / top / NEARLY_ALL, evidence=evidence)


def maxconn(tables: Tables) -> Iterator[Finding]:
    """HAProxy at its maxconn leaves connections in the kernel's queue."""
    for row in tables.haproxy[tables.haproxy["sessions_max"].notna()].to_dict("records"):
        limit = min(value for value in (row["maxconn"], row["sessions_limit"]) if pd.notna(value) and value)
        evidence = say(
            "director/haproxy_stat: {most} connections at a time, maxconn {limit}",
            most=number(row["sessions_max"]),
            limit=number(limit),
        )
        pressure = row["sessions_max"] / limit / MAXCONN_FULL
        yield Finding(case=row["case"], limit="maxconn", pressure=pressure, evidence=evidence)


def listen_queues(tables: Tables) -> Iterator[Finding]:
    """Connections that found a listen queue full, of those that came to the hosts of a role."""
    nstat = tables.counters[tables.counters["source"] == "nstat"]
    asked = tables.probed[tables.probed["source"] == "nstat"]
    grown = nstat.groupby(["case", "role", "counter"])["count"].sum()
    queues = {
        "accept-queue": ("TcpExtListenOverflows", say("accept queue full")),
        "syn-queue": ("TcpExtTCPReqQFullDrop", say("SYN queue full")),
    }
    for case, role in asked.loc[asked["role"] != "client", ["case", "role"]].itertuples(index=False):
        taken = int(grown.get((case, role, "TcpPassiveOpens"), 0))
        for limit, (counter, words) in queues.items():
            lost = int(grown.get((case, role, counter), 0))
            if not taken + lost:
                continue
            evidence = say(
                "{role}/nstat {counter}: {what} for {lost} of {total} that came",
                role=role,
                counter=counter,
                what=words,
                lost=number(lost),
                total=number(taken + lost),
            )
            evidence += _fullest(tables, case, role) if limit == "accept-queue" else ""
            pressure = lost / (taken + lost) / LOST
            yield Finding(case=case, limit=limit, pressure=pressure, evidence=evidence)


def _fullest(tables: Tables, case: str, role: str) -> str:
    seen = tables.listen[(tables.listen["case"] == case) & (tables.listen["role"] == role)]
    if seen.empty:
        return ""
    fill = seen["accept_queue_most"] / seen["accept_queue_max"].clip(lower=1)
    row = seen.assign(fill=fill).sort_values("fill").iloc[-1]
    return say(
        "; ss_listen: {seen} seen waiting on port {port}, at most {most}",
        seen=row["accept_queue_most"],
        port=row["port"],
        most=row["accept_queue_max"],
    )


def director_drops(tables: Tables) -> Iterator[Finding]:
    """Packets that came to the director and were lost there: in a ring of its card, or in a CPU's backlog.

    Both are counted on the interface (net/core/dev.c), and so for this host alone; softnet_stat is the whole machine's.
    """
    kinds = tables.cases.set_index("case")["kind"]
    own = tables.network[tables.network["role"] == "director"]
    backlog = tables.softnet[tables.softnet["role"] == "director"].groupby("case")["dropped"].sum()
    for case, rows in own[own["case"].map(kinds) != "direct"].groupby("case"):
        lost, came = int(rows["rx_dropped"].sum()), int(rows["rx_dropped"].sum() + rows["rx_packets"].sum())
        if came:
            evidence = say(
                "director/ip_link: {lost} of {total} packets lost ({share})",
                lost=number(lost),
                total=number(came),
                share=percent(lost / came),
            )
            if case in backlog:
                evidence += say("; softnet of its CPUs: {count} found a backlog full", count=number(backlog[case]))
            yield Finding(case=str(case), limit="director-queue", pressure=lost / came / LOST, evidence=evidence)
