"""What one case's raw files say: each client's requests, and the common window. Pure: file contents in, rows out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal

from bmtlib.errors import ParseError
from bmtlib.measure.load import ClientLoad
from bmtlib.parsers import ab, nstat, proc_net


@dataclass(frozen=True, kw_only=True)
class ClientOutcome:
    """One client in one case. Times in epoch seconds and seconds; `seconds` is None when ab died before its report.

    `start_epoch_s`: when it was let go; `begun_epoch_s`: when it was at work, which is later where it had to wait for a
    CPU; None where that is not known.
    `completed`: right status and length. `failed`: everything else that ended. `opened`: TCP connections the client's
    kernel opened meanwhile, None when that was not measured. `document_bytes`: of the first answer, None where unknown.
    `planned`: requests that it was to make, where that is fixed beforehand; `unsent`: those that it could not send.
    `late_p99_ms`: of an open loop, how much later than due 99 % of the requests began, at the most.
    """

    host: str
    url: str
    concurrency: int
    status: Literal["done", "died"]
    rc: int | None
    start_epoch_s: float | None
    seconds: float | None
    completed: int
    failed: int
    opened: int | None
    document_bytes: int | None
    said: str
    begun_epoch_s: float | None = None
    planned: int | None = None
    unsent: int | None = None
    late_p99_ms: float | None = None


def client_outcome(
    part: ClientLoad, files: Mapping[str, bytes], *, file_size: int, clock_offset_s: float = 0.0
) -> ClientOutcome:
    """What `files` (a client's folder of the case) say about its part of the load. ParseError on unknown text.

    `clock_offset_s` is taken off the client's clock: times of all clients are the controller's.
    """
    text = {name: content.decode(errors="replace") for name, content in files.items() if name != "ab.tsv"}
    start = int(text["ab.start"]) / 1e9 - clock_offset_s if text.get("ab.start", "").strip() else None
    rc = int(text["ab.rc"]) if text.get("ab.rc", "").strip() else None
    common: dict[str, Any] = {
        "host": part.client,
        "url": part.url,
        "concurrency": part.concurrency,
        "rc": rc,
        "start_epoch_s": start,
        "opened": opened_connections(text),
        "said": " / ".join(line for line in text.get("ab.err", "").splitlines()[-3:] if line),
    }
    report = text.get("ab.txt", "")
    if rc != 0:
        try:
            ended = ab.parse_partial(report)[0]["completed"] or 0
        except ParseError:
            ended = 0  # killed in the middle of a line; the text itself is kept
        # ab does not say which of them were right, so none is counted as completed.
        return ClientOutcome(
            status="died",
            seconds=None,
            completed=0,
            failed=ended,
            document_bytes=None,
            **common,
        )
    row = ab.parse(report)[0]
    right = right_answers(row, file_size)
    return ClientOutcome(
        status="done",
        begun_epoch_s=_begun(text, start, row["duration_s"], clock_offset_s),
        seconds=row["duration_s"],
        completed=right,
        failed=row["completed"] - right + row["failed_connect"],
        document_bytes=row["document_bytes"],
        **common,
    )


def _begun(text: Mapping[str, str], start: float | None, seconds: float, clock_offset_s: float) -> float | None:
    """When ab took its own time for the first time: its "Time taken" before it wrote that it has finished.

    None where it did not (150 requests or fewer), or the file's time is not known.
    """
    said, finished = text.get("ab.err", "").splitlines()[-1:], text.get("ab.finished", "").strip()
    if start is None or not finished or not said or not said[0].startswith("Finished "):
        return None
    return max(start, int(finished) / 1e9 - clock_offset_s - seconds)


def right_answers(row: ab.AbRow, file_size: int) -> int:
    """Answers of the right status and length among those ab counts as complete.

    ab's own "Failed requests" is a sum of kinds in which one request may count three times, so it is not used. When
    ab took a wrong first answer for the measure of all (`document_bytes`), the right ones are among its "Length"
    failures (but one: ab may change its measure after the first), and the bytes of all bodies say how many files of
    `file_size` arrived at the most.
    """
    if row["document_bytes"] == file_size:
        wrong = max(row["failed_length"], row["non_2xx"], row["failed_receive"])
        return max(0, row["completed"] - wrong)
    return min(row["completed"] - row["non_2xx"], row["failed_length"] + 1, row["html_bytes"] // file_size)


def opened_connections(text: Mapping[str, str]) -> int | None:
    """TCP connections that a host opened meanwhile, None when that was not measured."""
    return growth(text, "TcpActiveOpens")


def growth(text: Mapping[str, str], counter: str) -> int | None:
    """Growth of a counter of the kernel between the two probes nstat or snmp of one host, None without them."""
    name = "nstat" if "nstat.before.txt" in text else "snmp"
    try:
        values = [counters(name, text[f"{name}.{moment}.txt"])[counter] for moment in ("before", "after")]
    except KeyError:
        return None
    return values[1] - values[0]


# Of a case with hundreds of hosts each text is asked for several counters, one after the other.
@lru_cache(maxsize=512)
def counters(probe: str, text: str) -> Mapping[str, int]:
    """The kernel's counters by name, of the probe nstat, or of snmp, which is taken instead of it."""
    parse = nstat.parse if probe == "nstat" else proc_net.parse_snmp
    return MappingProxyType({row["name"]: row["count"] for row in parse(text)})


@dataclass(frozen=True, kw_only=True)
class Window:
    """First start to last end of all clients that finished; `overlap` is the share in which all of them worked.

    Of their starts: `skew_ms` is the last behind the first; 99 % of them are within `skew_p99_ms` of the first.
    `late_ms`: by how much 99 % of them were at work after their start, at the most; None where it is not known of all.
    """

    start_epoch_s: float
    end_epoch_s: float
    skew_ms: float
    overlap: float
    skew_p99_ms: float = 0.0
    late_ms: float | None = None

    @property
    def seconds(self) -> float:
        return self.end_epoch_s - self.start_epoch_s


def window_of(clients: Sequence[ClientOutcome]) -> Window | None:
    """The common window; None when no client finished.

    >>> def client(start, begun, seconds):
    ...     return ClientOutcome(host="c", url="", concurrency=1, status="done", rc=0, start_epoch_s=start,
    ...         begun_epoch_s=begun, seconds=seconds, completed=1, failed=0, opened=None, document_bytes=1, said="")
    >>> window = window_of([client(10.0, None, 5.0), client(10.5, None, 5.0)])
    >>> (window.seconds, window.skew_ms, round(window.overlap, 3), window.late_ms)
    (5.5, 500.0, 0.818, None)
    >>> window = window_of([client(10.0, 10.0, 5.0), client(10.0, 10.25, 5.0)])
    >>> (window.seconds, window.skew_ms, window.late_ms)
    (5.25, 0.0, 250.0)
    """
    found = [
        (client.start_epoch_s, client.start_epoch_s if client.begun_epoch_s is None else client.begun_epoch_s, client)
        for client in clients
        if client.start_epoch_s is not None and client.seconds is not None
    ]
    if not found:
        return None
    starts, ends = [start for start, _, _ in found], [begun + (client.seconds or 0) for _, begun, client in found]
    whole, late = max(ends) - min(starts), [begun - start for start, begun, _ in found]
    all_known = all(client.begun_epoch_s is not None for _, _, client in found)
    return Window(
        start_epoch_s=min(starts),
        end_epoch_s=max(ends),
        skew_ms=round((max(starts) - min(starts)) * 1000, 3),
        overlap=max(0.0, (min(ends) - max(begun for _, begun, _ in found)) / whole) if whole > 0 else 0.0,
        skew_p99_ms=_p99_ms([start - min(starts) for start in starts]),
        late_ms=_p99_ms(late) if all_known else None,
    )


def _p99_ms(seconds: Sequence[float]) -> float:
    """The smallest of these times that at least 99 % of them do not exceed, in milliseconds.

    >>> _p99_ms([0.001] * 198 + [0.5, 0.6]), _p99_ms([0.25])
    (1.0, 250.0)
    """
    return round(sorted(seconds)[math.ceil(0.99 * len(seconds)) - 1] * 1000, 3)


def request_counts(clients: Sequence[ClientOutcome], *, keepalive: bool) -> dict[str, int | None]:
    """The case's requests. sent = completed + failed; cut_off were opened and still in flight when the time was over.

    `opened` and `cut_off` are None where a connection is not a request (keep-alive) or was not counted.
    """
    completed = sum(client.completed for client in clients)
    failed = sum(client.failed for client in clients)
    opened: int | None = None
    if not keepalive and all(client.opened is not None for client in clients):
        opened = sum(client.opened or 0 for client in clients)
    sent = completed + failed
    return {
        "sent": sent,
        "completed": completed,
        "failed": failed,
        "cut_off": None if opened is None else opened - sent,
        "opened": opened,
    }


def as_rows(items: Sequence[Any]) -> list[dict[str, Any]]:
    """Clients, or guards, as case.json has them."""
    return [asdict(item) for item in items]
