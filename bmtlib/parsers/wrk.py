"""`wrk` with the script `measure/wrk.lua`: the line of JSON at the end of its report, and its file of waits.

Source: src/wrk.c and src/stats.c of wrk 4.1. A request's time goes from its first byte sent to the end of its answer:
the time to connect is not in it. When wrk has ended it adds made-up waits to the measured ones (`stats_correct`: for
each wait above twice the mean time between two requests of a connection, shorter ones for the requests that were "left
out"). `measured` takes them out again, exactly.
"""

from __future__ import annotations

import re
from typing import TypedDict

from bmtlib.errors import ParseError
from bmtlib.parsers.reading import Json, Lines

_COUNTS = ("duration_us", "requests", "bytes", "connect", "read", "write", "status", "timeout", "waits")
_FIELDS = r"\d{1,12}+\t\d{1,15}+"
_LINES = re.compile(rf"(?:{_FIELDS}\n)*+", re.ASCII)


class WrkRow(TypedDict):
    """One client's part.

    requests: answers of any status, of `bytes` in all (headers too); status: those of 400 and above; timeout: those
    that came later than the time limit. connect, read, write: errors of sockets. waits: in the file, made-up ones too
    """

    duration_us: int
    requests: int
    bytes: int
    connect: int
    read: int
    write: int
    status: int
    timeout: int
    waits: int


def parse(text: str) -> list[WrkRow]:
    """One row, or ParseError. What wrk itself prints for people is only looked at."""
    lines = Lines("wrk", text)
    lines.take(r"Running \d+[smh] test @ \S+", "'Running ... test @'")
    while lines.take_if(r"  .*|Requests/sec: +[\d.]+|Transfer/sec: +[\d.]+[KMGT]?B"):
        pass
    last = Json.load("wrk", lines.take(r"\{.*\}", "the line of JSON")[0])
    lines.end()
    return [WrkRow(**{key: last[key].count() for key in _COUNTS})]  # type: ignore[typeddict-item]


def parse_counts(text: str) -> dict[int, int]:
    """How many requests waited so many microseconds, as wrk has it: made-up ones too."""
    if not _LINES.fullmatch(text):
        lines = Lines("wrk", text)
        while lines:
            lines.take(_FIELDS, "microseconds and count")
    pairs = [line.split("\t") for line in text.splitlines()]
    return {int(wait): int(count) for wait, count in pairs}


def measured(counts: dict[int, int], row: WrkRow, connections: int) -> dict[int, int]:
    """The waits that were measured. ParseError when they are not as many as the answers.

    wrk adds, for a measured wait w and the mean interval e, one wait of w - e, w - 2e ... as long as that is above e.
    So at each wait above e it has the measured ones, and all that it has one e higher.

    >>> row = WrkRow(duration_us=1000, requests=10, bytes=0, connect=0, read=0, write=0, status=0, timeout=0, waits=12)
    >>> measured({90: 9, 150: 1, 250: 1, 350: 1}, row, 1)
    {90: 9, 350: 1}
    """
    found = dict(counts)
    if row["requests"] // connections:
        interval = row["duration_us"] // (row["requests"] // connections)
        for wait in counts:
            if wait > interval:
                found[wait] -= counts.get(wait + interval, 0)
    found = {wait: count for wait, count in found.items() if count}
    total, expected = sum(found.values()), row["requests"] - row["timeout"]
    if total != expected or min(found.values(), default=0) < 0:
        why = f"{total} measured waits of {expected} answers: this wrk does not add to them as wrk 4.1 does"
        raise ParseError("wrk", 1, f"interval of {connections} connections", why)
    return found
