"""Guards on the load itself: what was answered, whether every request is accounted for, and when clients worked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bmtlib.measure.guards.guard import Guard, Verdict, graded
from bmtlib.measure.guards.rate import rate_guards
from bmtlib.measure.load import request_cap
from bmtlib.measure.outcome import ClientOutcome, Window
from bmtlib.params.scenario import Load

FAILED_SHARE_MARK = 0.001  # more than one failed request in a thousand is worth a word
FAILED_SHARE_REJECT = 0.05
OVERLAP_REJECT = 0.80  # of the window, the part in which all clients were at work
OVERLAP_MARK = 0.95
SKEW_MARK_MS = 50.0

# What the load generators left: their reports, and the instants noted beside them.
_REPORTS = ("case.json clients[].completed", "case.json clients[].failed", "client*/ab.txt")
_TIMES = ("case.json clients[].start_epoch_s", "case.json clients[].seconds", "client*/ab.start", "client*/ab.finished")
# In a lab the kernel's own files say it, elsewhere nstat.
_OPENED = tuple(
    f"client*/{probe}.{moment}.txt TcpActiveOpens" for probe in ("nstat", "snmp") for moment in ("before", "after")
)


def load_guards(
    load: Load, clients: Sequence[ClientOutcome], window: Window | None, requests: Mapping[str, int | None]
) -> list[Guard]:
    """Judge one case by its own figures."""
    found = [_answers(requests), _lengths(load, clients), _accounting(load, requests), *rate_guards(load, clients)]
    if window is not None:
        found.append(
            graded(
                "overlap",
                1 - window.overlap,
                1 - OVERLAP_MARK,
                # A few requests for each connection, as in the study, are ramp and tail for the most part. They are
                # part of what is asked then: all completions over the whole window.
                1 - OVERLAP_REJECT if load.rounds is None else 1.0,
                "of the window not all clients were at work",
                evidence=_TIMES,
            )
        )
        mark: Verdict = "mark" if window.skew_ms > SKEW_MARK_MS else "ok"
        text = f"the clients started within {window.skew_ms:.1f} ms"
        found.append(
            Guard(name="skew", verdict=mark, value=window.skew_ms, limit=SKEW_MARK_MS, text=text, evidence=_TIMES[:1])
        )
    if load.engine == "ab" and load.seconds is not None:
        cap = request_cap(load.seconds)
        most = max((client.completed + client.failed for client in clients), default=0)
        hit = most >= cap
        text = f"a client made {most} requests" + (": it stopped at ab's -n, before the time was over" if hit else "")
        verdict: Verdict = "reject" if hit else "ok"
        found.append(Guard(name="time-limit", verdict=verdict, value=most, limit=cap, text=text, evidence=_REPORTS[:2]))
    return [_with_files_of(load.engine, guard) for guard in found]


def _with_files_of(engine: str, guard: Guard) -> Guard:
    """Evidence is written down as ab's files have it."""
    return replace(guard, evidence=tuple(item.replace("client*/ab.", f"client*/{engine}.") for item in guard.evidence))


def _answers(requests: Mapping[str, int | None]) -> Guard:
    sent, failed = requests["sent"] or 0, requests["failed"] or 0
    if not requests["completed"]:
        text = "no request was answered rightly"
        return Guard(name="answers", verdict="reject", value=0, limit=1, text=text, evidence=_REPORTS)
    text = "of the requests failed"
    return graded(
        "answers", failed / sent, FAILED_SHARE_MARK, FAILED_SHARE_REJECT, text, evidence=_REPORTS, count=failed
    )


def _lengths(load: Load, clients: Sequence[ClientOutcome]) -> Guard:
    size = int(load.file_size)
    asked = [client for client in clients if client.status == "done" and load.engine == "ab"]
    wrong = [client.host for client in asked if client.document_bytes != size]
    what = f"the first answer to {', '.join(wrong)} did not have" if wrong else "first answers had"
    text = f"{what} {size} bytes"
    if load.engine != "ab":
        text = "not looked at by itself: an answer of another length is a failed request"
    evidence = ("case.json clients[].document_bytes",)
    return Guard(
        name="length", verdict="mark" if wrong else "ok", value=len(wrong), limit=0, text=text, evidence=evidence
    )


def _accounting(load: Load, requests: Mapping[str, int | None]) -> Guard:
    """The kernel's count of connections against ab's count of requests: what was in flight must fit the concurrency.

    A load that counts has some, too: ab opens a connection for each free slot until the last request has one that is
    open, and leaves those that are still opening then.
    """
    cut_off, sent = requests["cut_off"], requests["sent"] or 0
    missing = load.requests - sent if load.requests is not None else 0
    short = f"{missing} of the {load.requests} requests never ended" if missing else ""
    if cut_off is None:
        why = "keep-alive" if load.keepalive else "a client lacks the probe nstat"
        text = "; ".join(filter(None, (f"not counted ({why})", short)))
        return Guard(name="accounting", verdict="mark" if missing else "ok", value=None, limit=None, text=text)
    most = load.concurrency
    right = 0 <= cut_off <= most and not missing
    text = f"{requests['opened']} connections opened, {sent} requests ended, {cut_off} in flight at the end"
    text = "; ".join(filter(None, (text, short)))
    verdict: Verdict = "ok" if right else "mark"
    return Guard(
        name="accounting", verdict=verdict, value=cut_off, limit=most, text=text, evidence=(*_OPENED, *_REPORTS[:2])
    )
