"""What clients waited, from the files of every load generator, as one histogram per case."""

from __future__ import annotations

from typing import Any

import numpy as np

from bmtlib.analysis.raw import Raw
from bmtlib.parsers.waits import Waits, waits_us

Row = dict[str, Any]

# HdrHistogram with three significant digits: 2,048 exact steps, then steps twice as wide for each octave.
_EXACT_BITS = 11


def wait_rows(raw: Raw, records: dict[str, Row]) -> list[Row]:
    """How many requests of a case waited how long, over all clients: counts are added, so every percentile is pooled.

    ab's waits are whole milliseconds. Those of the others are kept as HdrHistogram keeps them: by the upper end of
    their step, at most 0.1 % above what was measured.
    """
    rows = []
    for case_id, record in records.items():
        engine = (record.get("load") or {}).get("engine", "ab")
        found = [_waits(raw, case_id, client, engine) for client in record.get("clients") or []]
        values, counts = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *found]), return_counts=True)
        pairs = zip(values.tolist(), counts.tolist(), strict=True)
        rows += [{"case": case_id, "wait_us": wait, "requests": count} for wait, count in pairs]
    return rows


def upper_ends(waits: Waits, exact_bits: int = _EXACT_BITS) -> Waits:
    """The largest value that HdrHistogram (1 us up, three significant digits) does not tell from each of these.

    With fewer `exact_bits` the steps are wider: 8 make them 0.8 % at the most.

    >>> upper_ends(np.array([0, 2047, 2048, 123_456, 10_000_000])).tolist()
    [0, 2047, 2049, 123519, 10002431]
    """
    shift = np.maximum(0, np.frexp(waits.astype(np.float64))[1] - exact_bits).astype(np.int64)
    return ((waits >> shift) + 1 << shift) - 1


def _waits(raw: Raw, case_id: str, client: Row, engine: str) -> Waits:
    """Of one client; none where its file is not there, or is refused."""
    host = client["host"]

    def read(text: str) -> Waits:
        report = raw.run.raw(case_id, host, f"{engine}.txt") or ""
        return waits_us(engine, text, report=report, connections=client.get("concurrency") or 1)

    found = raw.parsed(case_id, host, f"{engine}.tsv", read)
    if found is None:
        return np.zeros(0, dtype=np.int64)
    return found if engine == "ab" else upper_ends(found)
