"""What clients waited, from the files of every load generator: a histogram per case, and one per second of its load."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from bmtlib.analysis.raw import Raw
from bmtlib.parsers.waits import Requests, Waits, requests

Row = dict[str, Any]

# HdrHistogram with three significant digits: 2,048 exact steps, then steps twice as wide for each octave.
_EXACT_BITS = 11
_SECOND_BITS = 6  # of a second's: steps of 3.1 % at the most, so that a minute of load is some thousand rows
_NONE = np.zeros(0, dtype=np.int64)
_SHIFT = 42  # bits that a wait may have beside its second: 50 days


def wait_rows(raw: Raw, records: dict[str, Row]) -> tuple[list[Row], list[Row], list[Row]]:
    """Rows of `waits`, `requests_time` and `waits_time`.

    Counts are added over all clients, so every percentile is pooled. ab's waits are whole milliseconds. Those of the
    others are kept as HdrHistogram keeps them: by the upper end of their step, at most 0.1 % above what was measured.
    """
    whole: list[Row] = []
    rates: list[Row] = []
    by_second: list[Row] = []
    for case_id, record in records.items():
        engine = (record.get("load") or {}).get("engine", "ab")
        clients = record.get("clients") or []
        found = [_requests(raw, case_id, client, engine) for client in clients]
        waits = np.concatenate([_NONE, *(_kept(one.wait_us, engine) for one in found if one is not None)])
        whole += [{"case": case_id, "wait_us": wait, "requests": count} for wait, count in _counted(waits)]
        # A client that is missing would look like a lower rate.
        if record.get("start_epoch_s") is None or not len(waits) or None in found:
            continue
        load = _Load(raw, case_id, record, engine)
        known = [load.times_s(client, one) for client, one in zip(clients, found, strict=True) if one is not None]
        if None not in known:
            earliest, latest = (np.concatenate([part[i] for part in known if part is not None]) for i in (0, 1))
            wait_us = np.concatenate([one.wait_us for one in found if one is not None])
            rates += load.rates(earliest, latest, wait_us)
            by_second += load.waits(earliest, latest, wait_us)
    return whole, rates, by_second


Seconds = npt.NDArray[np.float64]


class _Load:
    """The load of one case, second by second from its start."""

    def __init__(self, raw: Raw, case_id: str, record: Row, engine: str) -> None:
        self._raw, self._case, self._engine = raw, case_id, engine
        self._start_s = float(record["start_epoch_s"])
        self._window_s = float(record["end_epoch_s"]) - self._start_s

    def times_s(self, client: Row, found: Requests) -> tuple[Seconds, Seconds] | None:
        """From the start of the load: the earliest and the latest that each request of a client may have begun, which
        are the same unless ab wrote the whole second only. None when the engine does not tell."""
        if found.begun_us is None:
            return None
        since_s = -self._start_s - self._raw.clock_offset_s(self._case, client["host"])
        if self._engine == "open_loop":  # from the start of its schedule, which the record has in the controller's time
            since_s = float(client.get("start_epoch_s") or self._start_s) - self._start_s
        begun = found.begun_us / 1e6 + since_s
        if self._engine != "ab":
            return begun, begun
        earliest = np.clip(begun, 0.0, self._window_s)
        return earliest, np.clip(begun + 1.0, earliest, self._window_s)

    def _span(self, second: int) -> Row | None:
        """The part of a second that lies within the load; None when none does."""
        end = min(self._window_s, second + 1.0)
        return {"case": self._case, "time_s": end, "span_s": end - second} if 0 <= second < end else None

    def rates(self, earliest: Seconds, latest: Seconds, wait_us: Waits) -> list[Row]:
        """By the second in which a request ended. Where that may have been in either of two, it is parted evenly."""
        first, last = (np.clip(begun + wait_us / 1e6, 0.0, self._window_s) for begun in (earliest, latest))
        second = np.floor(first).astype(np.int64)
        room = last - first
        own = np.where(last <= second + 1, 1.0, (second + 1 - first) / np.where(room > 0, room, 1.0))
        counts = np.bincount(second, own, math.ceil(self._window_s) + 2)
        counts[1:] += np.bincount(second, 1 - own, len(counts))[:-1]
        counts[math.ceil(self._window_s) - 1] += counts[math.ceil(self._window_s) :].sum()  # at the very end
        spans = ((self._span(i), count) for i, count in enumerate(counts.tolist()))
        return [{**span, "requests": round(count, 3)} for span, count in spans if span is not None]

    def waits(self, earliest: Seconds, latest: Seconds, wait_us: Waits) -> list[Row]:
        """By the second in which a request began, or most probably did: its wait may end behind it."""
        second = np.floor((earliest + latest) / 2).astype(np.int64)
        both = (second << _SHIFT) | upper_ends(wait_us, _SECOND_BITS)
        rows = []
        for key, count in _counted(both):
            if (span := self._span(key >> _SHIFT)) is not None:
                rows.append({**span, "wait_us": key & ((1 << _SHIFT) - 1), "requests": count})
        return rows


def _counted(values: Waits) -> list[tuple[int, int]]:
    found, counts = np.unique(values, return_counts=True)
    return list(zip(found.tolist(), counts.tolist(), strict=True))


def upper_ends(waits: Waits, exact_bits: int = _EXACT_BITS) -> Waits:
    """The largest value that HdrHistogram (1 us up, three significant digits) does not tell from each of these.

    With fewer `exact_bits` the steps are wider: 8 make them 0.8 % at the most.

    >>> upper_ends(np.array([0, 2047, 2048, 123_456, 10_000_000])).tolist()
    [0, 2047, 2049, 123519, 10002431]
    """
    shift = np.maximum(0, np.frexp(waits.astype(np.float64))[1] - exact_bits).astype(np.int64)
    return ((waits >> shift) + 1 << shift) - 1


def _kept(waits: Waits, engine: str) -> Waits:
    return waits if engine == "ab" else upper_ends(waits)


def _requests(raw: Raw, case_id: str, client: Row, engine: str) -> Requests | None:
    """Of one client; None where its file is not there, or is refused."""
    host = client["host"]

    def read(text: str) -> Requests:
        report = raw.run.raw(case_id, host, f"{engine}.txt") or ""
        return requests(engine, text, report=report, connections=client.get("concurrency") or 1)

    return raw.parsed(case_id, host, f"{engine}.tsv", read)
