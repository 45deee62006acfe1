"""HAProxy's statistics as typed JSON: `show info json` and `show stat json` on the stats socket.

Source: HAProxy 2.6, doc/management.txt (9.1 and 9.3), src/stats.c. The rows hold the fields that a comparison of load
balancers needs; HAProxy has more, and each release adds some: those are not read.
"""

from __future__ import annotations

from typing import TypedDict

from bmtlib.parsers.reading import Json


class InfoRow(TypedDict):
    """The process.

    version: "2.6.12-1"
    uptime_s, threads
    maxconn: most connections at a time; connections beyond wait in the kernel's listen queue
    maxsock, nofile: most file descriptors that it plans with, and that it may open
    connections: now; connections_total, requests_total: since the start
    connections_per_s, connections_max_per_s: in the last second, and the most so far
    run_queue: tasks that wait for a CPU now; idle_pct: share of time without work, 0 to 100
    sent_bytes: to clients and servers, since the start
    dropped_logs: log lines that could not be sent
    """

    version: str
    uptime_s: int
    threads: int
    maxconn: int
    maxsock: int
    nofile: int
    connections: int
    connections_total: int
    requests_total: int
    connections_per_s: int
    connections_max_per_s: int
    run_queue: int
    idle_pct: int
    sent_bytes: int
    dropped_logs: int


class StatRow(TypedDict):
    """A frontend, a backend, a server of a backend, or a listener; counts since the start. None = not of that kind.

    proxy, name: section and its part: FRONTEND, BACKEND, or the server's name
    kind: Frontend, Backend, Server, Listener
    status: OPEN, UP, DOWN, "no check", MAINT ...
    sessions, sessions_max, sessions_limit, sessions_total: now, the most so far, the most allowed, all
    sessions_per_s, sessions_max_per_s: in the last second, and the most so far
    queue, queue_max: requests that wait for a server now, and the most so far
    in_bytes, out_bytes: from and to the clients
    requests_total: HTTP requests (Frontend, Backend, Server in HTTP mode)
    answers_2xx, answers_4xx, answers_5xx: HTTP answers
    request_errors, connect_errors, response_errors: bad requests, servers not reached, answers broken off
    denied_requests, retries, redispatches, client_aborts, server_aborts
    connects, reuses: connections made to servers, and requests sent over one that stood
    chosen_total: times that the server was chosen
    queue_mean_ms, connect_mean_ms, response_mean_ms, total_mean_ms: over the last 1024 requests
    """

    proxy: str
    name: str
    kind: str
    status: str | None
    sessions: int | None
    sessions_max: int | None
    sessions_limit: int | None
    sessions_total: int | None
    sessions_per_s: int | None
    sessions_max_per_s: int | None
    queue: int | None
    queue_max: int | None
    in_bytes: int | None
    out_bytes: int | None
    requests_total: int | None
    answers_2xx: int | None
    answers_4xx: int | None
    answers_5xx: int | None
    request_errors: int | None
    connect_errors: int | None
    response_errors: int | None
    denied_requests: int | None
    retries: int | None
    redispatches: int | None
    client_aborts: int | None
    server_aborts: int | None
    connects: int | None
    reuses: int | None
    chosen_total: int | None
    queue_mean_ms: int | None
    connect_mean_ms: int | None
    response_mean_ms: int | None
    total_mean_ms: int | None


class _Fields:
    """The fields of one process or object, by name."""

    def __init__(self, fields: Json) -> None:
        self._all = fields
        self._values: dict[str, Json] = {}
        for field in fields.items():
            name = field["field"]["name"].text()
            if name in self._values:
                field.fail(f"repeats {name}")
            self._values[name] = field["value"]

    def text(self, name: str) -> str:
        if name not in self._values:
            self._all.fail(f"has no field {name}")
        value = self._values[name]
        if value["type"].text() != "str":
            value.fail("is not a string")
        return value["value"].text()

    def count(self, name: str) -> int:
        if name not in self._values:
            self._all.fail(f"has no field {name}")
        value = self._values[name]
        if value["type"].text() not in ("s32", "s64", "u32", "u64"):
            value.fail("is not a whole number")
        return value["value"].count()

    def text_if(self, name: str) -> str | None:
        return self.text(name) if name in self._values else None

    def count_if(self, name: str) -> int | None:
        return self.count(name) if name in self._values else None


def parse_info(text: str) -> list[InfoRow]:
    """`show info json`: one row."""
    document = Json.load("haproxy", text)
    fields = _Fields(document)
    if fields.text("Name") != "HAProxy":
        document.fail("is not HAProxy's")
    return [
        InfoRow(
            version=fields.text("Version"),
            uptime_s=fields.count("Uptime_sec"),
            threads=fields.count("Nbthread"),
            maxconn=fields.count("Maxconn"),
            maxsock=fields.count("Maxsock"),
            nofile=fields.count("Ulimit-n"),
            connections=fields.count("CurrConns"),
            connections_total=fields.count("CumConns"),
            requests_total=fields.count("CumReq"),
            connections_per_s=fields.count("ConnRate"),
            connections_max_per_s=fields.count("MaxConnRate"),
            run_queue=fields.count("Run_queue"),
            idle_pct=fields.count("Idle_pct"),
            sent_bytes=fields.count("TotalBytesOut"),
            dropped_logs=fields.count("DroppedLogs"),
        )
    ]


def parse_stat(text: str) -> list[StatRow]:
    """`show stat json`: one row per frontend, backend, server and listener, in HAProxy's order."""
    entries = Json.load("haproxy", text)
    rows = [_stat_row(entry) for entry in entries.items()]
    if not rows:
        entries.fail("is empty: HAProxy does not start without a proxy")
    return rows


def _stat_row(entry: Json) -> StatRow:
    fields = _Fields(entry)
    kinds = {field["objType"].text() for field in entry.items()}
    if len(kinds) != 1:
        entry.fail("is not about one object")
    return StatRow(
        proxy=fields.text("pxname"),
        name=fields.text("svname"),
        kind=kinds.pop(),
        status=fields.text_if("status"),
        sessions=fields.count_if("scur"),
        sessions_max=fields.count_if("smax"),
        sessions_limit=fields.count_if("slim"),
        sessions_total=fields.count_if("stot"),
        sessions_per_s=fields.count_if("rate"),
        sessions_max_per_s=fields.count_if("rate_max"),
        queue=fields.count_if("qcur"),
        queue_max=fields.count_if("qmax"),
        in_bytes=fields.count_if("bin"),
        out_bytes=fields.count_if("bout"),
        requests_total=fields.count_if("req_tot"),
        answers_2xx=fields.count_if("hrsp_2xx"),
        answers_4xx=fields.count_if("hrsp_4xx"),
        answers_5xx=fields.count_if("hrsp_5xx"),
        request_errors=fields.count_if("ereq"),
        connect_errors=fields.count_if("econ"),
        response_errors=fields.count_if("eresp"),
        denied_requests=fields.count_if("dreq"),
        retries=fields.count_if("wretr"),
        redispatches=fields.count_if("wredis"),
        client_aborts=fields.count_if("cli_abrt"),
        server_aborts=fields.count_if("srv_abrt"),
        connects=fields.count_if("connect"),
        reuses=fields.count_if("reuse"),
        chosen_total=fields.count_if("lbtot"),
        queue_mean_ms=fields.count_if("qtime"),
        connect_mean_ms=fields.count_if("ctime"),
        response_mean_ms=fields.count_if("rtime"),
        total_mean_ms=fields.count_if("ttime"),
    )
