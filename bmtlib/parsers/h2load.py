"""`h2load --h1`: its report, and its `--log-file` with a line per request.

Source: src/h2load.cc of nghttp2 1.52, h2load(1). A request's time goes from when it was handed over to an open
connection to the end of its answer: the time to connect is not in it.
"""

from __future__ import annotations

import re
from typing import TypedDict

from bmtlib.parsers.reading import COUNT, Lines

_TALK = (
    r"starting benchmark\.\.\.|spawning thread #\d+: .*|progress: \d+% (?:done|of clients started)|"
    r"Warm-up (?:started|phase is over) for thread #\d+\.|"
    r"Main benchmark duration is (?:started|over) for thread #\d+\..*|"
    r"Stopped all clients for thread #\d+|Application protocol: .*"
)
_REQUESTS = ", ".join(
    rf"(?P<{name}>{COUNT}) {name}" for name in ("total", "started", "done", "succeeded", "failed", "errored", "timeout")
)
_CODES = ", ".join(rf"(?P<s{n}xx>{COUNT}) {n}xx" for n in (2, 3, 4, 5))
_SIZE = r"[\d.]+[KMGTPE]?B"
_TRAFFIC = (
    rf"traffic: {_SIZE} \((?P<total>{COUNT})\) total, {_SIZE} \((?P<headers>{COUNT})\) headers "
    rf"\(space savings [-\d.]+%\), {_SIZE} \((?P<data>{COUNT})\) data"
)
_FIELDS = r"\d{1,18}+\t-?\d{1,4}+\t\d{1,12}+"
_LOG = re.compile(rf"(?:{_FIELDS}\n)++", re.ASCII)


class H2loadRow(TypedDict):
    """The counts of a report.

    total: asked for, or, of a load that ends by its time, done; started: those that were sent; done: answered.
    errored: ended without an answer, or never sent. s2xx: answers by their status. data_bytes: of all bodies
    """

    total: int
    started: int
    done: int
    succeeded: int
    failed: int
    errored: int
    timeout: int
    s2xx: int
    s3xx: int
    s4xx: int
    s5xx: int
    data_bytes: int


def parse(text: str) -> list[H2loadRow]:
    """One row, or ParseError."""
    lines = Lines("h2load", text)
    lines.take(r"starting benchmark\.\.\.", "'starting benchmark...'")
    while lines.take_if(_TALK):
        pass
    lines.take("", "an empty line")
    lines.take(rf"finished in [\d.]+(?:us|ms|s|m|h).*, [-\d.]+ req/s, {_SIZE}/s", "'finished in'")
    counts = lines.take(f"requests: {_REQUESTS}", "counts of requests").groupdict()
    counts |= lines.take(f"status codes: {_CODES}", "status codes").groupdict()
    counts["data_bytes"] = lines.take(_TRAFFIC, "traffic")["data"]
    lines.take(r" +min +max +mean +sd +\+/- sd", "heading of the times")
    for name in ("time for request", "time for connect", "time to 1st byte", r"req/s {11}"):
        lines.take(rf"{name}: .*%", name)
    lines.end()
    return [H2loadRow(**{key: int(value) for key, value in counts.items()})]  # type: ignore[typeddict-item]


def parse_columns(text: str) -> dict[str, list[int]]:
    """`start_us` (since 1970), `status` (-1: no answer) and `answer_us` of each request, in the order of their ends."""
    if not _LOG.fullmatch(text):
        lines = Lines("h2load", text)
        while lines:
            lines.take(_FIELDS, "start, status and time of a request")
    fields = text.replace("\n", "\t").split("\t")
    fields.pop()
    return {name: list(map(int, fields[i::3])) for i, name in enumerate(("start_us", "status", "answer_us"))}
