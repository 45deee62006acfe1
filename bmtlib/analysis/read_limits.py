"""What limits there are, and how far they were used: shapers, ports, HAProxy's own limits, the director's sockets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bmtlib.analysis.raw import Raw
from bmtlib.parsers import link_speed
from bmtlib.parsers.sysctl import local_ports

Row = dict[str, Any]


def qdisc_rows(raw: Raw, records: Mapping[str, Row]) -> list[Row]:
    """Growth of what each queueing discipline counted; one that was made meanwhile is left out."""
    rows: list[Row] = []
    for case_id in records:
        for host, role in raw.roles.items():
            if (found := raw.around(case_id, host, "qdisc")) is None:
                continue
            before, after = ({(row["interface"], row["kind"], row["handle"]): row for row in part} for part in found)
            rows += [
                {
                    "case": case_id,
                    "host": host,
                    "role": role,
                    "interface": row["interface"],
                    "qdisc": row["kind"],
                    **{name: row[name] - before[key][name] for name in ("bytes", "drops", "overlimits")},
                    "rate_bytes_per_s": row["rate_bytes_per_s"],
                }
                for key, row in after.items()
                if key in before and row["interface"] != "lo"
            ]
    return rows


def port_rows(raw: Raw, records: Mapping[str, Row]) -> list[Row]:
    limits = {host: raw.fact(host, "sysctl.once.txt", local_ports) for host in raw.hosts("client", "director")}
    rows: list[Row] = []
    for case_id in records:
        for host, limit in limits.items():
            found = raw.rows(case_id, host, "ss_summary", "after") or raw.rows(case_id, host, "sockstat", "after")
            if found:
                waiting = found[0]["tcp_timewait"]
                role = raw.roles[host]
                rows.append({"case": case_id, "host": host, "role": role, "timewait": waiting, "local_ports": limit})
    return rows


def haproxy_rows(raw: Raw, records: Mapping[str, Row]) -> list[Row]:
    """The fullest that HAProxy has been since it was started, warm-up included, against what it may be."""
    rows: list[Row] = []
    for case_id, record in records.items():
        for host in raw.hosts("director"):
            info, stats = (raw.rows(case_id, host, probe, "after") for probe in ("haproxy_info", "haproxy_stat"))
            if not info or not stats:
                continue
            fronts = [row for row in stats if row["kind"] == "Frontend"]
            rows.append(
                {
                    "case": case_id,
                    "maxconn": info[0]["maxconn"],
                    "sessions_max": max((row["sessions_max"] or 0 for row in fronts), default=None),
                    "sessions_limit": max((row["sessions_limit"] or 0 for row in fronts), default=None),
                    "sessions_per_s_max": max((row["sessions_max_per_s"] or 0 for row in fronts), default=None),
                    "rate_limit_per_s": (record.get("settings") or {}).get("rate_limit_sessions"),
                }
            )
    return rows


def speeds(raw: Raw, host: str) -> dict[str, int | None]:
    """Megabits per second by interface, none where they are made up: no wire holds a veth to its 10,000."""
    if raw.run.run_json().get("fidelity") == "namespace":
        return {}
    rows = raw.fact(host, "link_speed.once.txt", link_speed.parse) or []
    return {row["interface"]: row["mbit_per_s"] for row in rows}


def director_socket_rows(raw: Raw, records: Mapping[str, Row]) -> list[Row]:
    """Connections of a director while the load ran, sample by sample. What is not listened for there does not wait."""
    rows: list[Row] = []
    port = raw.run.read_json("plan.json")["testbed"]["network"]["port"]
    for case_id, record in records.items():
        start_s, end_s = record.get("start_epoch_s"), record.get("end_epoch_s")
        if start_s is None or end_s is None:
            continue
        for host in raw.hosts("director"):
            # Both probes of one sample carry the same time.
            queues = {
                at: [row for row in found if row["port"] == port]
                for at, found in raw.during(case_id, host, "ss_listen")
            }
            rows += [
                {
                    "case": case_id,
                    "time_s": at - start_s,
                    "established": found[0]["tcp_estab"],
                    "timewait": found[0]["tcp_timewait"],
                    "waiting": sum(row["accept_queue"] for row in queues.get(at, ())),
                    "waiting_max": max((row["accept_queue_max"] for row in queues.get(at, ())), default=None),
                }
                for at, found in raw.during(case_id, host, "ss_summary")
                if start_s <= at <= end_s
            ]
    return rows
