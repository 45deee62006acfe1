"""What `measure/open_loop.py` prints, and its file of requests. Both are ours; they come from a host all the same."""

from __future__ import annotations

import re
from typing import TypedDict

from bmtlib.parsers.reading import Json, Lines

OUTCOMES = ("ok", "status", "length", "connect", "reset", "timeout", "local", "busy")
NOT_SENT = ("local", "busy")
_HEADING = "due_us\tlate_us\tanswer_us\toutcome"
_TIME = r"\d{1,15}+"
_SENT = rf"{_TIME}\t{_TIME}\t{_TIME}\t(?:{'|'.join(word for word in OUTCOMES if word not in NOT_SENT)})"
_UNSENT = rf"{_TIME}\t\t\t(?:{'|'.join(NOT_SENT)})"
_LINES = re.compile(rf"(?:(?:{_SENT}|{_UNSENT})\n)*+", re.ASCII)
_LATE = ("late_p50_us", "late_p99_us", "late_max_us")


class OpenLoopRow(TypedDict):
    """One client's part.

    start_epoch_ns: when its schedule began. rate_per_s: of all clients together
    planned: requests of its schedule; sent: those that began. ok: right status and length; status, length, connect,
    reset, timeout: those that failed, by kind; local, busy: those that were not sent
    schedule_us: length of the schedule; last_answer_us: end of the last right answer, 0 without one
    late_*_us: how much later than due the requests began; None when none did. cpu_us: CPU time of the generator
    """

    start_epoch_ns: int
    rate_per_s: int
    planned: int
    sent: int
    ok: int
    status: int
    length: int
    connect: int
    reset: int
    timeout: int
    local: int
    busy: int
    schedule_us: int
    last_answer_us: int
    late_p50_us: int | None
    late_p99_us: int | None
    late_max_us: int | None
    cpu_us: int


def parse(text: str) -> list[OpenLoopRow]:
    """One row, or ParseError: also when its counts do not add up."""
    lines = Lines("open_loop", text)
    lines.take(r"ready: \d{1,12} requests, \d{1,12} requests/s by \d{1,6} clients", "the line that says it is ready")
    last = Json.load("open_loop", lines.take(r"\{.*\}", "the report in JSON")[0])
    lines.end()
    counts = {outcome: last["outcomes"][outcome].count() for outcome in OUTCOMES}
    late = {key: None if last[key].value is None else last[key].count() for key in _LATE}
    plain = ("start_epoch_ns", "rate_per_s", "planned", "sent", "schedule_us", "last_answer_us", "cpu_us")
    row: OpenLoopRow = {**{key: last[key].count() for key in plain}, **counts, **late}  # type: ignore[typeddict-item]
    unsent = row["local"] + row["busy"]
    if sum(counts.values()) != row["planned"] or row["planned"] - unsent != row["sent"]:
        last.fail("counts that do not add up: planned = sent + not sent")
    return [row]


def parse_columns(text: str) -> dict[str, list[int]]:
    """`due_us` (from the start), `late_us` and `answer_us` of requests that were sent, in the order of the schedule."""
    lines = Lines("open_loop", text)
    lines.take(_HEADING, "heading of the file of requests")
    if not _LINES.fullmatch(text, len(_HEADING) + 1):
        while lines:
            lines.take(f"{_SENT}|{_UNSENT}", "due, late, answer and outcome")
    fields = text[len(_HEADING) + 1 :].replace("\n", "\t").split("\t")
    sent = [i for i in range(2, len(fields), 4) if fields[i]]
    places = {"due_us": 2, "late_us": 1, "answer_us": 0}
    return {name: [int(fields[i - back]) for i in sent] for name, back in places.items()}
