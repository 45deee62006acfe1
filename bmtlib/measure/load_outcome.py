"""What the files of a client say about its part of a load, whichever generator made it. Pure: contents in, row out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bmtlib.measure.load import ClientLoad, file_of
from bmtlib.measure.outcome import ClientOutcome, client_outcome, opened_connections
from bmtlib.params.load import Load
from bmtlib.parsers import h2load, open_loop, wrk


def outcome_of(
    part: ClientLoad, load: Load, files: Mapping[str, bytes], *, clock_offset_s: float = 0.0
) -> ClientOutcome:
    """`files` are the client's of the case. ParseError on unknown text.

    `clock_offset_s` is taken off the client's clock: times of all clients are the controller's.
    """
    size, engine = int(load.file_size), load.engine
    if engine == "ab":
        return client_outcome(part, files, file_size=size, clock_offset_s=clock_offset_s)
    rows = file_of(engine)
    text = {name: content.decode(errors="replace") for name, content in files.items() if name != rows}
    start = int(text[f"{engine}.start"]) / 1e9 if text.get(f"{engine}.start", "").strip() else None
    rc = int(text[f"{engine}.rc"]) if text.get(f"{engine}.rc", "").strip() else None
    found: dict[str, Any] = {
        "host": part.client,
        "url": part.url,
        "concurrency": part.concurrency,
        "rc": rc,
        "start_epoch_s": start,
        "opened": opened_connections(text),
        "document_bytes": None,
        "said": " / ".join(line for line in text.get(f"{engine}.err", "").splitlines()[-3:] if line),
    }
    if rc != 0:  # what it had done by then is not known: these generators speak at their end
        found |= {"status": "died", "seconds": None, "completed": 0, "failed": 0}
    else:
        found["status"] = "done"
        report = text.get(f"{engine}.txt", "")
        if engine == "wrk":
            found |= _wrk(report, size)
            if found["opened"] is not None:
                found["opened"] -= 1  # by which it looks whether anybody listens
        elif engine == "h2load":
            found |= _h2load(report, files.get(rows, b"").decode(errors="replace"), part, size)
        else:
            found |= _open_loop(report)
    if found["start_epoch_s"] is not None:
        found["start_epoch_s"] -= clock_offset_s
    return ClientOutcome(**found)


def _wrk(report: str, size: int) -> dict[str, Any]:
    """wrk looks at no body, but bodies of the right size need so many bytes."""
    row = wrk.parse(report)[0]
    right = min(row["requests"] - row["status"] - row["timeout"], row["bytes"] // size)
    errors = row["connect"] + row["read"] + row["write"]
    return {
        "seconds": row["duration_us"] / 1e6,
        "completed": max(0, right),
        "failed": row["requests"] - max(0, right) + errors,
    }


def _h2load(report: str, log: str, part: ClientLoad, size: int) -> dict[str, Any]:
    """From its first request to its last answer, by the file: the report rounds its time to three digits."""
    row = h2load.parse(report)[0]
    right = min(row["s2xx"], row["data_bytes"] // size)
    unsent = max(0, row["total"] - row["started"])
    times: dict[str, Any] = {"seconds": 0.0}
    if log:
        columns = h2load.parse_columns(log)
        first = min(columns["start_us"])
        last = max(start + answer for start, answer in zip(columns["start_us"], columns["answer_us"], strict=True))
        times = {"start_epoch_s": first / 1e6, "seconds": (last - first) / 1e6}
    counted = {"planned": part.requests, "unsent": unsent} if part.requests is not None else {}
    return {**times, **counted, "completed": right, "failed": row["done"] - right + max(0, row["errored"] - unsent)}


def _open_loop(report: str) -> dict[str, Any]:
    """From the start to the end of the schedule, or to the last right answer, where that came later."""
    row = open_loop.parse(report)[0]
    return {
        "start_epoch_s": row["start_epoch_ns"] / 1e9,
        "seconds": max(row["schedule_us"], row["last_answer_us"]) / 1e6,
        "completed": row["ok"],
        "failed": row["sent"] - row["ok"],
        "planned": row["planned"],
        "unsent": row["local"] + row["busy"],
        "late_p99_ms": None if row["late_p99_us"] is None else row["late_p99_us"] / 1000,
    }
