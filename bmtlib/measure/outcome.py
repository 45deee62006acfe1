"""What one case's raw files say: each client's requests, the common window, and the guards that judge the case.

Pure: file contents in, rows out. A guard either passes ("ok"), leaves a mark in the report ("mark") or makes the case
unfit for comparison ("reject"); each carries the figure it judged.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from bmtlib.errors import ParseError
from bmtlib.measure.load import ClientLoad, request_cap
from bmtlib.params.scenario import Load
from bmtlib.parsers import ab, nstat, stat

Verdict = Literal["ok", "mark", "reject"]

FAILED_SHARE_MARK = 0.001  # more than one failed request in a thousand is worth a word
FAILED_SHARE_REJECT = 0.05
OVERLAP_REJECT = 0.80  # of the window, the part in which all clients were at work
OVERLAP_MARK = 0.95
SKEW_MARK_MS = 50.0
FOREIGN_SHARE_MARK = 0.10  # of the director's CPU time, spent while nobody asked it

_CPU_TIME = (
    "user_ticks",
    "nice_ticks",
    "system_ticks",
    "idle_ticks",
    "iowait_ticks",
    "irq_ticks",
    "softirq_ticks",
    "steal_ticks",
)


@dataclass(frozen=True, kw_only=True)
class ClientOutcome:
    """One client in one case. Times in epoch seconds and seconds; `seconds` is None when ab died before its report.

    `completed`: right status and length. `failed`: everything else that ended. `opened`: TCP connections the client's
    kernel opened meanwhile, None when that was not measured.
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


@dataclass(frozen=True, kw_only=True)
class Guard:
    name: str
    verdict: Verdict
    value: float | None
    limit: float | None
    text: str


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
        return ClientOutcome(status="died", seconds=None, completed=0, failed=ended, document_bytes=None, **common)
    row = ab.parse(report)[0]
    right = right_answers(row, file_size)
    return ClientOutcome(
        status="done",
        seconds=row["duration_s"],
        completed=right,
        failed=row["completed"] - right + row["failed_connect"],
        document_bytes=row["document_bytes"],
        **common,
    )


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
    """Growth of a counter of the kernel between the two nstat probes of one host, None without them."""
    try:
        values = [
            {row["name"]: row["count"] for row in nstat.parse(text[f"nstat.{moment}.txt"])}[counter]
            for moment in ("before", "after")
        ]
    except KeyError:
        return None
    return int(values[1] - values[0])


@dataclass(frozen=True, kw_only=True)
class Window:
    """First start to last end of all clients that finished; `overlap` is the share in which all of them worked."""

    start_epoch_s: float
    end_epoch_s: float
    skew_ms: float
    overlap: float

    @property
    def seconds(self) -> float:
        return self.end_epoch_s - self.start_epoch_s


def window_of(clients: Sequence[ClientOutcome]) -> Window | None:
    """The common window; None when no client finished.

    >>> def client(start, seconds):
    ...     return ClientOutcome(host="c", url="", concurrency=1, status="done", rc=0, start_epoch_s=start,
    ...         seconds=seconds, completed=1, failed=0, opened=None, document_bytes=1, said="")
    >>> window = window_of([client(10.0, 5.0), client(10.5, 5.0)])
    >>> (window.seconds, window.skew_ms, round(window.overlap, 3))
    (5.5, 500.0, 0.818)
    """
    spans = [
        (client.start_epoch_s, client.start_epoch_s + client.seconds)
        for client in clients
        if client.start_epoch_s is not None and client.seconds is not None
    ]
    if not spans:
        return None
    starts, ends = [start for start, _ in spans], [end for _, end in spans]
    whole = max(ends) - min(starts)
    return Window(
        start_epoch_s=min(starts),
        end_epoch_s=max(ends),
        skew_ms=round((max(starts) - min(starts)) * 1000, 3),
        overlap=max(0.0, (min(ends) - max(starts)) / whole) if whole > 0 else 0.0,
    )


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


def guards(
    load: Load, clients: Sequence[ClientOutcome], window: Window | None, requests: Mapping[str, int | None]
) -> list[Guard]:
    """Judge one case by its own figures."""
    found = [_answers(requests), _lengths(load, clients), _accounting(load, requests)]
    if window is not None:
        found.append(
            _graded(
                "overlap",
                1 - window.overlap,
                1 - OVERLAP_MARK,
                1 - OVERLAP_REJECT,
                "of the window not all clients were at work",
            )
        )
        mark: Verdict = "mark" if window.skew_ms > SKEW_MARK_MS else "ok"
        text = f"the clients started within {window.skew_ms:.1f} ms"
        found.append(Guard(name="skew", verdict=mark, value=window.skew_ms, limit=SKEW_MARK_MS, text=text))
    if load.seconds is not None:
        cap = request_cap(load.seconds)
        most = max((client.completed + client.failed for client in clients), default=0)
        hit = most >= cap
        text = f"a client made {most} requests" + (": it stopped at ab's -n, before the time was over" if hit else "")
        found.append(Guard(name="time-limit", verdict="reject" if hit else "ok", value=most, limit=cap, text=text))
    return found


def director_idle(files: Mapping[str, bytes], cpus: Collection[int]) -> Guard | None:
    """In arm `direct` nobody asks the director: what its CPUs do meanwhile is foreign work, in the other arms too.

    `files` are the director's of the case; None when its `stat` probe, or one of `cpus`, is missing.
    """
    idle, total = 0, 0
    try:
        before, after = (
            {row["cpu"]: row for row in stat.parse(files[f"stat.{moment}.txt"].decode(errors="replace"))}
            for moment in ("before", "after")
        )
        for cpu in cpus:
            spent = {field: after[cpu][field] - before[cpu][field] for field in _CPU_TIME}  # type: ignore[literal-required]
            idle += spent["idle_ticks"] + spent["iowait_ticks"]
            total += sum(spent.values())
    except KeyError:
        return None
    share = 1 - idle / total if total else 0.0
    verdict: Verdict = "mark" if share > FOREIGN_SHARE_MARK else "ok"
    text = f"the director's CPUs were busy {share:.0%} of the time without a request for it"
    return Guard(name="director-idle", verdict=verdict, value=round(share, 4), limit=FOREIGN_SHARE_MARK, text=text)


def vcpus(virtual: Collection[int], real: Collection[int]) -> list[Guard]:
    """Virtual CPUs that take turns on fewer real ones: a guest counts as busy the time in which it waits for its turn.

    >>> vcpus({0, 1}, {3})[0].text
    '2 virtual CPUs share 1 real: CPU time in the guest includes waiting for each other'
    """
    verdict: Verdict = "mark" if len(virtual) > len(real) else "ok"
    text = f"{len(virtual)} virtual CPUs share {len(real)} real: CPU time in the guest includes waiting for each other"
    if verdict == "ok":
        text = f"{len(virtual)} virtual CPUs on {len(real)} real"
    return [Guard(name="vcpus", verdict=verdict, value=len(virtual), limit=len(real), text=text)]


def _graded(name: str, value: float, mark: float, reject: float, text: str) -> Guard:
    verdict: Verdict = "reject" if value > reject else "mark" if value > mark else "ok"
    limit = reject if verdict == "reject" else mark
    return Guard(name=name, verdict=verdict, value=round(value, 6), limit=round(limit, 6), text=f"{value:.2%} {text}")


def _answers(requests: Mapping[str, int | None]) -> Guard:
    sent, failed = requests["sent"] or 0, requests["failed"] or 0
    if not requests["completed"]:
        return Guard(name="answers", verdict="reject", value=0, limit=1, text="no request was answered rightly")
    return _graded("answers", failed / sent, FAILED_SHARE_MARK, FAILED_SHARE_REJECT, "of the requests failed")


def _lengths(load: Load, clients: Sequence[ClientOutcome]) -> Guard:
    size = int(load.file_size)
    wrong = [client.host for client in clients if client.status == "done" and client.document_bytes != size]
    what = f"the first answer to {', '.join(wrong)} did not have" if wrong else "first answers had"
    text = f"{what} {size} bytes"
    return Guard(name="length", verdict="mark" if wrong else "ok", value=len(wrong), limit=0, text=text)


def _accounting(load: Load, requests: Mapping[str, int | None]) -> Guard:
    """The kernel's count of connections against ab's count of requests: what was in flight must fit the concurrency."""
    cut_off = requests["cut_off"]
    if cut_off is None:
        why = "keep-alive" if load.keepalive else "a client lacks the probe nstat"
        return Guard(name="accounting", verdict="ok", value=None, limit=None, text=f"not counted ({why})")
    most = load.concurrency if load.seconds is not None else 0
    right = 0 <= cut_off <= most
    text = f"{requests['opened']} connections opened, {requests['sent']} requests ended, {cut_off} in flight at the end"
    return Guard(name="accounting", verdict="ok" if right else "mark", value=cut_off, limit=most, text=text)


def as_rows(items: Sequence[ClientOutcome] | Sequence[Guard]) -> list[dict[str, Any]]:
    return [asdict(item) for item in items]
