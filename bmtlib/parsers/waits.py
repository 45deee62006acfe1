"""What each request of a client waited, from the file that its load generator left, whichever it was."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bmtlib.parsers import ab_tsv, h2load, open_loop, wrk

Waits = npt.NDArray[np.int64]


def waits_us(engine: str, text: str, *, report: str, connections: int) -> Waits:
    """One wait per request that ended, in microseconds, in no certain order; of an open loop from when it was due.

    `text`: of `<engine>.tsv`; `report`: of `<engine>.txt`; `connections`: that the client had. ParseError when one of
    both is not what it should be.
    """
    match engine:
        case "ab":  # in whole milliseconds
            return np.asarray(ab_tsv.parse_columns(text)["total_ms"], dtype=np.int64) * 1000
        case "h2load":  # which leaves an empty file when nothing was answered
            return np.asarray(h2load.parse_columns(text)["answer_us"] if text else [], dtype=np.int64)
        case "open_loop":
            columns = open_loop.parse_columns(text)
            late, answer = (np.asarray(columns[name], dtype=np.int64) for name in ("late_us", "answer_us"))
            return late + answer
        case "wrk":
            counts = wrk.measured(wrk.parse_counts(text), wrk.parse(report)[0], connections)
            waits = np.fromiter(counts, dtype=np.int64, count=len(counts))
            return np.repeat(waits, np.fromiter(counts.values(), dtype=np.int64, count=len(counts)))
    raise ValueError(engine)
