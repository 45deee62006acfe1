"""What went over the network, what the kernel counted, and what the arm's engine counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bmtlib.analysis.raw import Raw
from bmtlib.analysis.read_limits import speeds
from bmtlib.measure.probes import probe_of

Row = dict[str, Any]

_LINK = ("rx_bytes", "tx_bytes", "rx_packets", "tx_packets", "rx_dropped", "tx_dropped", "rx_errors", "tx_errors")
# Of HAProxy's statistics, those that only grow and say how a request fared.
_HAPROXY = (
    "sessions_total",
    "requests_total",
    "answers_2xx",
    "answers_4xx",
    "answers_5xx",
    "request_errors",
    "connect_errors",
    "response_errors",
    "denied_requests",
    "retries",
    "redispatches",
    "client_aborts",
    "server_aborts",
    "in_bytes",
    "out_bytes",
)
_IPVS = ("connections", "in_packets", "out_packets", "in_bytes", "out_bytes")


def network_rows(raw: Raw, records: Mapping[str, Row]) -> list[Row]:
    rows: list[Row] = []
    speed = {host: speeds(raw, host) for host in raw.roles}
    for case_id in records:
        for host, role in raw.roles.items():
            found = raw.around(case_id, host, "ip_link") or raw.around(case_id, host, "netdev")
            if found is None:
                continue
            before, after = ({row["interface"]: row for row in part} for part in found)
            rows += [
                {
                    "case": case_id,
                    "host": host,
                    "role": role,
                    "interface": interface,
                    **{name: row[name] - before[interface][name] for name in _LINK},
                    "speed_mbit_per_s": speed[host].get(interface),
                }
                for interface, row in after.items()
                if interface in before and interface != "lo"
            ]
    return rows


def counter_rows(raw: Raw, records: Mapping[str, Row]) -> tuple[list[Row], list[Row]]:
    """Rows of `counters`, and of `probed`: on how many hosts each source was read, so that no row means zero."""
    rows: list[Row] = []
    probed: list[Row] = []
    for case_id in records:
        hosts: Counter[tuple[str, str]] = Counter()
        for host, role in raw.roles.items():
            found = list(_host_counters(raw, case_id, host))
            hosts.update({(role, source) for source, _, _ in found})
            rows += [
                {
                    "case": case_id,
                    "host": host,
                    "role": role,
                    "source": source,
                    "interface": interface,
                    "counter": name,
                    "count": change,
                }
                for source, interface, changes in found
                for name, change in changes.items()
            ]
        probed += [
            {"case": case_id, "role": role, "source": source, "hosts": count} for (role, source), count in hosts.items()
        ]
    return rows, probed


def _host_counters(raw: Raw, case_id: str, host: str) -> Iterator[tuple[str, str | None, dict[str, int]]]:
    """(source, interface, changes that are not zero) of one host."""
    probes = ["nstat", "snmp"]
    for name in raw.run.raw_names(case_id, host):
        probe = probe_of(name)
        if probe is not None and probe.name == "ethtool_stats" and name.endswith(".after.txt"):
            probes.append(name.removesuffix(".after.txt"))
    for name in probes:
        found = raw.around(case_id, host, name)
        if found is not None:
            source, _, interface = name.partition("@")
            before, after = ({row["name"]: row["count"] for row in part} for part in found)
            # The same counters, whether nstat or the kernel wrote them.
            yield "nstat" if source == "snmp" else source, interface or None, _changes(before, after)


def _changes(before: Mapping[Any, int], after: Mapping[Any, int]) -> dict[Any, int]:
    """What is not zero. A counter that fell is a state (ethtool -S mixes both), so it says nothing here."""
    changes = {key: value - before.get(key, 0) for key, value in after.items()}
    return {key: change for key, change in changes.items() if change > 0}


def web_share_rows(raw: Raw, records: Mapping[str, Row]) -> list[Row]:
    """Connections that each web host took: its own count, or HAProxy's where a web host was not asked."""
    rows: list[Row] = []
    for case_id in records:
        webs = raw.hosts("web")
        taken = {host: _passive_opens(raw.around(case_id, host, "nstat")) for host in webs}
        source = "TcpPassiveOpens"
        if None in taken.values():
            taken, source = {**_haproxy_sessions(raw, case_id, webs)}, "haproxy_stat"
        rows += [
            {"case": case_id, "host": host, "connections": count, "source": source}
            for host, count in taken.items()
            if count is not None
        ]
    return rows


def _passive_opens(found: tuple[Sequence[Any], Sequence[Any]] | None) -> int | None:
    if found is None:
        return None
    before, after = ({row["name"]: row["count"] for row in part}.get("TcpPassiveOpens", 0) for part in found)
    return int(after - before)


def _haproxy_sessions(raw: Raw, case_id: str, webs: Sequence[str]) -> dict[str, int | None]:
    for host in raw.hosts("director"):
        if found := raw.around(case_id, host, "haproxy_stat"):
            before, after = ({row["name"]: row["sessions_total"] or 0 for row in part} for part in found)
            return {web: after[web] - before.get(web, 0) for web in webs if web in after}
    return {}


def listen_rows(raw: Raw, records: Mapping[str, Row]) -> list[Row]:
    """The fullest that each listen queue was seen, over all samples. Web hosts are asked before and after only."""
    rows: list[Row] = []
    for case_id in records:
        for host in raw.hosts("director", "web"):
            samples = [raw.rows(case_id, host, "ss_listen", moment) for moment in ("before", "after")]
            samples += [found for _, found in raw.during(case_id, host, "ss_listen")]
            seen: dict[tuple[str, int], list[Any]] = {}
            for sample in samples:
                for row in sample or []:
                    seen.setdefault((row["address"], row["port"]), []).append(row)
            rows += [
                {
                    "case": case_id,
                    "host": host,
                    "role": raw.roles[host],
                    "address": address,
                    "port": port,
                    "accept_queue_most": max(row["accept_queue"] for row in found),
                    "accept_queue_max": max(row["accept_queue_max"] for row in found),
                    "samples": len(found),
                }
                for (address, port), found in seen.items()
            ]
    return rows


def conntrack_rows(raw: Raw, records: Mapping[str, Row]) -> list[Row]:
    rows: list[Row] = []
    for case_id in records:
        for host in raw.hosts("director", "web"):
            if found := raw.around(case_id, host, "conntrack"):
                before, after = found[0][0], found[1][0]
                rows.append(
                    {
                        "case": case_id,
                        "host": host,
                        "role": raw.roles[host],
                        "entries_before": before["count"],
                        "entries_after": after["count"],
                        "entries_max": after["max"],
                    }
                )
    return rows


def engine_rows(raw: Raw, records: Mapping[str, Row]) -> list[Row]:
    """What the arm's engine counted: nftables' counters, LVS's by service and server, HAProxy's by proxy and server."""
    rows: list[Row] = []
    for case_id in records:
        for host in raw.hosts("director"):
            for source, values in (("nft_counters", _nft), ("ipvsadm_stats", _ipvs), ("haproxy_stat", _haproxy)):
                if (found := raw.around(case_id, host, source)) is None:
                    continue
                before, after = map(values, found)
                rows += [
                    {"case": case_id, "source": source, "item": item, "counter": counter, "count": count}
                    for (item, counter), count in _changes(before, after).items()
                ]
    return rows


def _nft(rows: Sequence[Any]) -> dict[tuple[str, str], int]:
    # A rule's counter has no name of its own: chain and handle tell it apart.
    def name(row: Any) -> str:
        return row["name"] or row["comment"] or f"{row['chain']} {row['handle']}"

    return {(f"{row['table']}/{name(row)}", unit): row[unit] for row in rows for unit in ("packets", "bytes")}


def _ipvs(rows: Sequence[Any]) -> dict[tuple[str, str], int]:
    return {(row["server"] or row["service"], counter): row[counter] for row in rows for counter in _IPVS}


def _haproxy(rows: Sequence[Any]) -> dict[tuple[str, str], int]:
    return {(f"{row['proxy']}/{row['name']}", counter): row[counter] or 0 for row in rows for counter in _HAPROXY}
