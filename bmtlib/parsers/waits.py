"""What each request of a client waited, from the file that its load generator left, whichever it was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bmtlib.parsers import ab_tsv, h2load, open_loop, wrk

Waits = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Requests:
    """Requests of a client that ended, in no certain order, in microseconds.

    wait_us: of an open loop from when it was due
    begun_us: when that was: since 1970 by the client's clock, with ab in whole seconds; of an open loop from the start
        of the schedule. None: not known (wrk)
    """

    wait_us: Waits
    begun_us: Waits | None


def waits_us(engine: str, text: str, *, report: str, connections: int) -> Waits:
    """One wait per request that ended: see `requests`."""
    return requests(engine, text, report=report, connections=connections).wait_us


def requests(engine: str, text: str, *, report: str, connections: int) -> Requests:
    """What a client's requests waited, and from when on.

    `text`: of `<engine>.tsv`; `report`: of `<engine>.txt`; `connections`: that the client had. ParseError when one of
    both is not what it should be.
    """
    match engine:
        case "ab":  # waits in whole milliseconds
            found = ab_tsv.parse_columns(text)
            return Requests(
                wait_us=np.asarray(found["total_ms"], dtype=np.int64) * 1000,
                begun_us=np.asarray(found["start_epoch_s"], dtype=np.int64) * 1_000_000,
            )
        case "h2load":  # which leaves an empty file when nothing was answered
            found = h2load.parse_columns(text) if text else {"answer_us": [], "start_us": []}
            wait, begun = (np.asarray(found[name], dtype=np.int64) for name in ("answer_us", "start_us"))
            return Requests(wait_us=wait, begun_us=begun)
        case "open_loop":
            found = open_loop.parse_columns(text)
            due, late, answer = (np.asarray(found[name], dtype=np.int64) for name in ("due_us", "late_us", "answer_us"))
            return Requests(wait_us=late + answer, begun_us=due)
        case "wrk":
            counts = wrk.measured(wrk.parse_counts(text), wrk.parse(report)[0], connections)
            waits = np.fromiter(counts, dtype=np.int64, count=len(counts))
            each = np.fromiter(counts.values(), dtype=np.int64, count=len(counts))
            return Requests(wait_us=np.repeat(waits, each), begun_us=None)
    raise ValueError(engine)
