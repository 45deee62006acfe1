"""Apache Bench: the report on standard output, and what is left of it when ab dies.

Source: support/ab.c of httpd 2.4 (`output_results`, `read_connection`, `close_connection`).
ab has called itself 2.3 since 2010.

What its figures mean, as the source has it:

- `completed` counts every request that ended, right or wrong: the failed ones are among them.
- `failed` is the sum of the four kinds in brackets, not a number of requests. One connection reset under `-r` is
  counted as receive, as exception and, because its body is short, as length: up to three times.
- ab takes the length of its *first* answer as the right one, and when the second connection to end is a reset, it
  takes 0 instead. So compare `document_bytes` with the file's size before believing `failed_length`.
- "Time per request (mean)" is what a client waits: `wait_mean_ms`. "(mean, across all concurrent requests)" is the
  gap between two answers, 1 / requests per second: `gap_mean_ms`.
- `-r` is no promise: ab dies all the same after ten connect() calls that failed at once (no port left, say).
- `-t` ends a run only when something happens on a socket: against a silent server ab waits for `-s`, then dies.

bmtlib never calls ab with -S, -d, -w, -v, -p or -u, which change the report: such a report is refused.
"""

from __future__ import annotations

import re
from typing import TypedDict, cast

from bmtlib.parsers.reading import COUNT, Lines

_REAL = r"\d{1,20}\.\d{1,3}"
_PERCENTS = (50, 66, 75, 80, 90, 95, 98, 99, 100)
_TIMES = ("Connect", "Processing", "Waiting", "Total")
_MESSAGE = (
    r"\.\.done|(?P<failed>Send request failed!)|(?P<slow>Send request timed out!)"
    rf"|Total of (?P<total>{COUNT}) requests completed"
)


class AbRow(TypedDict):
    """One finished ab. None = ab does not print this line in this run.

    server_software: text of the Server header, "" when no answer had one
    host, port, path: what was asked for; with a proxy the host behind it
    tls: "protocol,cipher,key bits,cipher bits"; tls_key, tls_name: key exchange, SNI; None without TLS
    document_bytes: body length of the first answer; None with -l ("Variable")
    concurrency: connections at a time
    duration_s: from the first connect to the last answer
    completed: requests that ended, the failed among them
    failed: sum of the next four (see above: no number of requests)
    failed_connect, failed_receive, failed_length, failed_exceptions: by kind
    write_errors: requests that could not be sent; send_timeouts: requests not sent within -s
    non_2xx: answers with another status
    keepalive: requests served over a kept connection; None without -k
    received_bytes: all bytes received, headers too; html_bytes: bodies only
    rate_per_s: completed / duration_s (failed ones too); None when nothing completed
    wait_mean_ms, gap_mean_ms: see above; None when nothing completed
    received_bytes_per_s: ab's "Kbytes/sec" times 1024
    <connect|processing|waiting|total>_<min|mean|sd|median|max>_ms: whole ms (sd: tenths). None when nothing
        completed. processing = from connected to done, waiting = from sent to the first byte
    p50_ms ... p100_ms: percentiles of total; None with fewer than two requests
    """

    server_software: str
    host: str
    port: int
    path: str
    tls: str | None
    tls_key: str | None
    tls_name: str | None
    document_bytes: int | None
    concurrency: int
    duration_s: float
    completed: int
    failed: int
    failed_connect: int
    failed_receive: int
    failed_length: int
    failed_exceptions: int
    write_errors: int
    send_timeouts: int
    non_2xx: int
    keepalive: int | None
    received_bytes: int
    html_bytes: int
    rate_per_s: float | None
    wait_mean_ms: float | None
    gap_mean_ms: float | None
    received_bytes_per_s: float | None
    connect_min_ms: int | None
    connect_mean_ms: int | None
    connect_sd_ms: float | None
    connect_median_ms: int | None
    connect_max_ms: int | None
    processing_min_ms: int | None
    processing_mean_ms: int | None
    processing_sd_ms: float | None
    processing_median_ms: int | None
    processing_max_ms: int | None
    waiting_min_ms: int | None
    waiting_mean_ms: int | None
    waiting_sd_ms: float | None
    waiting_median_ms: int | None
    waiting_max_ms: int | None
    total_min_ms: int | None
    total_mean_ms: int | None
    total_sd_ms: float | None
    total_median_ms: int | None
    total_max_ms: int | None
    p50_ms: int | None
    p66_ms: int | None
    p75_ms: int | None
    p80_ms: int | None
    p90_ms: int | None
    p95_ms: int | None
    p98_ms: int | None
    p99_ms: int | None
    p100_ms: int | None


class AbPartialRow(TypedDict):
    """An ab that died before its report.

    host: as printed; None when ab died before its first line (bad option, killed at once)
    completed: what "Total of N requests completed" says; None when ab was killed or nothing had completed
    write_errors, send_timeouts: counted from its messages
    """

    host: str | None
    completed: int | None
    write_errors: int
    send_timeouts: int


def parse(text: str) -> list[AbRow]:
    """The report of one ab run: one row.

    Works too for a run ended by Ctrl-C (SIGINT): ab then prints the whole report. Raises ParseError on an unfinished
    report (see `parse_partial`).
    """
    lines = Lines("ab", text)
    head = _head(lines)
    lines.take("", "empty line")
    lines.take("", "empty line before the report")
    row: dict[str, object] = {"send_timeouts": head["send_timeouts"]}
    _target(lines, row)
    _counts(lines, row)
    if row["write_errors"] != head["send_failed"]:
        lines.fail(f"{head['send_failed']} messages 'Send request failed!' but Write errors {row['write_errors']}")
    _rates(lines, row)
    _connection_times(lines, row)
    _percentiles(lines, row)
    lines.end()
    return [cast(AbRow, {key: row[key] for key in AbRow.__annotations__})]


def parse_partial(text: str) -> list[AbPartialRow]:
    """What an ab that died left on standard output: one row. Empty text is possible here: ab killed at once.

    A whole report raises ParseError: use `parse`. Without -r the first socket error kills ab; it then says how many
    requests had completed, unless none had. Killed by SIGTERM or SIGKILL it says nothing: see its log (ab_log.py).

    >>> parse_partial("")
    [{'host': None, 'completed': None, 'write_errors': 0, 'send_timeouts': 0}]
    """
    if not text:
        return [AbPartialRow(host=None, completed=None, write_errors=0, send_timeouts=0)]
    if not text.endswith("\n"):
        text += "\n"  # with -q, or fewer than 151 requests, ab may die in the middle of its "Benchmarking" line
    lines = Lines("ab", text)
    head = _head(lines)
    lines.end()
    return [
        AbPartialRow(
            host=head["host"],
            completed=head["total"],
            write_errors=head["send_failed"],
            send_timeouts=head["send_timeouts"],
        )
    ]


class _Head(TypedDict):
    host: str
    send_failed: int
    send_timeouts: int
    total: int | None


def _head(lines: Lines) -> _Head:
    """From the banner to the end of the progress dots, with the messages that ab prints among them."""
    lines.take(r"This is ApacheBench, Version 2\.3 <\$Revision.*\$>", "ab's banner")
    lines.take(r"Copyright 1996 Adam Twiss, Zeus Technology Ltd, .+", "ab's copyright")
    lines.take(r"Licensed to The Apache Software Foundation, .+", "ab's licence")
    lines.take("", "empty line")
    # With -q, or fewer than 151 requests, this line goes on with "..." and the first message.
    start = r"Benchmarking (?P<host>\S+) (\[through \S+\] )?\(be patient\)"
    first = lines.take(rf"{start}(\.\.\.({_MESSAGE})?)?", "'Benchmarking ... (be patient)'")
    head = _Head(host=first["host"], send_failed=0, send_timeouts=0, total=None)
    message: re.Match[str] | None = first
    while message is not None:
        head["send_failed"] += message["failed"] is not None
        head["send_timeouts"] += message["slow"] is not None
        if message["total"]:
            head["total"] = int(message["total"])
            break
        message = lines.take_if(_MESSAGE)
    return head


def _target(lines: Lines, row: dict[str, object]) -> None:
    row["server_software"] = lines.take(r"Server Software:        (?P<v>.*)", "Server Software")["v"]
    row["host"] = lines.take(r"Server Hostname:        (?P<v>\S+)", "Server Hostname")["v"]
    row["port"] = int(lines.take(r"Server Port:            (?P<v>\d{1,5})", "Server Port")["v"])
    for key, label in (
        ("tls", "SSL/TLS Protocol:      "),
        ("tls_key", "Server Temp Key:       "),
        ("tls_name", "TLS Server Name:       "),
    ):
        match = lines.take_if(rf"{label} (?P<v>.+)")
        row[key] = match["v"] if match else None
    lines.take("", "empty line")
    row["path"] = lines.take(r"Document Path:          (?P<v>.+)", "Document Path")["v"]
    length = lines.take(rf"Document Length:        ((?P<v>{COUNT}) bytes|Variable)", "Document Length")["v"]
    row["document_bytes"] = None if length is None else int(length)
    lines.take("", "empty line")


def _counts(lines: Lines, row: dict[str, object]) -> None:
    def count(label: str, unit: str = "") -> int:
        return int(lines.take(rf"{label}: +(?P<v>{COUNT}){unit}", label)["v"])

    def count_if(label: str) -> int | None:
        match = lines.take_if(rf"{label}: +(?P<v>{COUNT})")
        return int(match["v"]) if match else None

    row["concurrency"] = count("Concurrency Level")
    row["duration_s"] = float(
        lines.take(rf"Time taken for tests:   (?P<v>{_REAL}) seconds", "Time taken for tests")["v"]
    )
    row["completed"] = count("Complete requests")
    row["failed"] = failed = count("Failed requests")
    kinds = ("connect", "receive", "length", "exceptions")
    row.update({f"failed_{kind}": 0 for kind in kinds})
    if failed:  # ab prints the kinds only then
        pattern = ", ".join(f"{kind.capitalize()}: (?P<{kind}>{COUNT})" for kind in kinds)
        match = lines.take(rf"   \({pattern}\)", "kinds of failure")
        row.update({f"failed_{kind}": int(match[kind]) for kind in kinds})
    row["write_errors"] = count_if("Write errors") or 0
    row["non_2xx"] = count_if("Non-2xx responses") or 0
    row["keepalive"] = count_if("Keep-Alive requests")
    row["received_bytes"] = count("Total transferred", " bytes")
    row["html_bytes"] = count("HTML transferred", " bytes")


def _rates(lines: Lines, row: dict[str, object]) -> None:
    """The four lines that ab leaves out when nothing completed."""
    row.update(dict.fromkeys(("rate_per_s", "wait_mean_ms", "gap_mean_ms", "received_bytes_per_s")))
    if not row["completed"]:
        return

    def real(pattern: str, what: str) -> float:
        return float(lines.take(pattern.replace("@", rf" +(?P<v>{_REAL}) "), what)["v"])

    row["rate_per_s"] = real(r"Requests per second:@\[#/sec\] \(mean\)", "Requests per second")
    row["wait_mean_ms"] = real(r"Time per request:@\[ms\] \(mean\)", "Time per request (mean)")
    across = r"Time per request:@\[ms\] \(mean, across all concurrent requests\)"
    row["gap_mean_ms"] = real(across, "Time per request (mean, across all concurrent requests)")
    row["received_bytes_per_s"] = real(r"Transfer rate:@\[Kbytes/sec\] received", "Transfer rate") * 1024


def _connection_times(lines: Lines, row: dict[str, object]) -> None:
    statistics = ("min", "mean", "sd", "median", "max")
    row.update({f"{name.lower()}_{statistic}_ms": None for name in _TIMES for statistic in statistics})
    if not row["completed"]:
        return
    lines.take("", "empty line")
    lines.take(r"Connection Times \(ms\)", "Connection Times")
    lines.take(r"              min  mean\[\+/-sd\] median   max", "heading of the connection times")
    whole = rf" +({COUNT})"
    for name in _TIMES:
        match = lines.take(rf"{name}:{whole}{whole} +({COUNT}[.]\d){whole}{whole}", f"times of {name}")
        for statistic, value in zip(statistics, match.groups(), strict=True):
            row[f"{name.lower()}_{statistic}_ms"] = float(value) if statistic == "sd" else int(value)
    for name in ("the initial connection time", "the processing time", "the waiting time", "the total time"):
        if lines.take_if(f"WARNING: The median and mean for {name} are not within a normal deviation"):
            lines.take("        These results are probably not that reliable[.]", "second line of the warning")
        elif lines.take_if(f"ERROR: The median and mean for {name} are more than twice the standard"):
            lines.take("       deviation apart[.] These results are NOT reliable[.]", "second line of the error")


def _percentiles(lines: Lines, row: dict[str, object]) -> None:
    row.update({f"p{percent}_ms": None for percent in _PERCENTS})
    if row["completed"] in (0, 1):
        return
    lines.take("", "empty line")
    lines.take(r"Percentage of the requests served within a certain time \(ms\)", "heading of the percentiles")
    for percent in _PERCENTS:
        suffix = r" \(longest request\)" if percent == 100 else ""
        row[f"p{percent}_ms"] = int(lines.take(rf" +{percent}% +(?P<v>{COUNT}){suffix}", f"percentile {percent}")["v"])
