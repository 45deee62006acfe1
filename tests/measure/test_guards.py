"""The common window, the sums of a case, and the guards: each at its limit and just past it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from bmtlib.measure.guards.director import director_idle
from bmtlib.measure.guards.guard import Guard
from bmtlib.measure.guards.load import load_guards
from bmtlib.measure.load import request_cap
from bmtlib.measure.outcome import ClientOutcome, Window, as_rows, request_counts, window_of
from bmtlib.params.scenario import Load

LOAD = Load(concurrency=200, seconds=5)


def client(start: float | None = 100.0, seconds: float | None = 5.0, **changes: Any) -> ClientOutcome:
    base: dict[str, Any] = {
        "host": "client01",
        "url": "http://10.0.0.9/x",
        "concurrency": 50,
        "status": "died" if seconds is None else "done",
        "rc": None if seconds is None else 0,
        "start_epoch_s": start,
        "seconds": seconds,
        "completed": 0 if seconds is None else 100,
        "failed": 0,
        "opened": 100,
        "document_bytes": None if seconds is None else 5120,
        "said": "",
    }
    return ClientOutcome(**(base | changes))


def test_window_of_random_spans() -> None:
    """Against the same figures found by walking along the spans on a grid of milliseconds."""
    chance = random.Random(11)
    for _ in range(300):
        spans = [(chance.randrange(200), chance.randrange(1, 200)) for _ in range(chance.randrange(1, 8))]
        clients = [client(1000 + start / 1000, length / 1000) for start, length in spans]
        window = window_of(clients)
        assert window is not None
        first, last = min(s for s, _ in spans), max(s + n for s, n in spans)
        together = sum(all(s <= i < s + n for s, n in spans) for i in range(first, last))
        assert window.seconds == pytest.approx((last - first) / 1000)
        assert window.start_epoch_s == pytest.approx(1000 + first / 1000)
        assert window.end_epoch_s == pytest.approx(1000 + last / 1000)
        assert window.skew_ms == pytest.approx(max(s for s, _ in spans) - first, abs=0.002)
        assert window.overlap == pytest.approx(together / (last - first), abs=1e-6)
        assert 0 <= window.overlap <= 1
        assert window_of(chance.sample(clients, len(clients))) == window, "the order of clients does not count"


def test_window_of_epoch_times_keeps_microseconds() -> None:
    window = window_of([client(1_795_397_979.000001, 5.0), client(1_795_397_979.000251, 5.0)])
    assert window is not None
    assert window.skew_ms == pytest.approx(0.25, abs=0.001)
    assert window.seconds == pytest.approx(5.00025, abs=1e-6)


def test_window_leaves_out_who_died() -> None:
    alone = window_of([client(100.0, 5.0)])
    assert window_of([client(100.0, 5.0), client(50.0, None), client(None, 7.0)]) == alone
    assert window_of([client(50.0, None)]) is None
    assert window_of([]) is None


def test_window_of_an_instant() -> None:
    window = window_of([client(100.0, 0.0)])
    assert window is not None
    assert (window.seconds, window.overlap) == (0.0, 0.0)


def test_sums_of_random_clients() -> None:
    chance = random.Random(12)
    for _ in range(200):
        clients = [
            client(completed=chance.randrange(1000), failed=chance.randrange(9), opened=chance.randrange(1100))
            for _ in range(chance.randrange(1, 9))
        ]
        counts = request_counts(clients, keepalive=False)
        assert counts["completed"] == sum(it.completed for it in clients)
        assert counts["failed"] == sum(it.failed for it in clients)
        assert counts["sent"] == (counts["completed"] or 0) + (counts["failed"] or 0)
        assert counts["opened"] == sum(it.opened or 0 for it in clients)
        assert counts["cut_off"] == (counts["opened"] or 0) - (counts["sent"] or 0)
        assert set(counts) == {"sent", "completed", "failed", "cut_off", "opened"}


def test_connections_are_not_requests() -> None:
    assert request_counts([client()], keepalive=True)["opened"] is None
    assert request_counts([client()], keepalive=True)["cut_off"] is None
    assert request_counts([client(), client(opened=None)], keepalive=False)["opened"] is None
    assert request_counts([client(opened=0, completed=0)], keepalive=False)["cut_off"] == 0


def counts(sent: int = 1000, failed: int = 0, cut_off: int | None = 0) -> dict[str, int | None]:
    opened = None if cut_off is None else sent + cut_off
    return {"sent": sent, "completed": sent - failed, "failed": failed, "cut_off": cut_off, "opened": opened}


def judge(
    name: str,
    *,
    load: Load = LOAD,
    clients: list[ClientOutcome] | None = None,
    requests: dict[str, int | None] | None = None,
    skew_ms: float = 0.0,
    overlap: float = 1.0,
) -> Guard:
    window = Window(start_epoch_s=100.0, end_epoch_s=105.0, skew_ms=skew_ms, overlap=overlap)
    found = load_guards(load, clients or [client()], window, requests or counts())
    assert len({guard.name for guard in found}) == len(found)
    (guard,) = [guard for guard in found if guard.name == name]
    assert guard.text
    return guard


def test_all_is_well() -> None:
    window = Window(start_epoch_s=100.0, end_epoch_s=105.0, skew_ms=1.0, overlap=0.99)
    found = load_guards(LOAD, [client()], window, counts())
    assert [guard.name for guard in found] == ["answers", "length", "accounting", "overlap", "skew", "time-limit"]
    assert {guard.verdict for guard in found} == {"ok"}


def test_without_a_window_there_is_nothing_to_say_about_time() -> None:
    found = load_guards(LOAD, [client(seconds=None)], None, counts(sent=0))
    assert {guard.name: guard.verdict for guard in found}["answers"] == "reject"
    assert not {"overlap", "skew"} & {guard.name for guard in found}


@pytest.mark.parametrize(
    ("failed", "verdict"), [(0, "ok"), (10, "ok"), (11, "mark"), (500, "mark"), (501, "reject"), (10_000, "reject")]
)
def test_answers(failed: int, verdict: str) -> None:
    guard = judge("answers", requests=counts(sent=10_000, failed=failed))
    assert guard.verdict == verdict
    assert guard.value == (failed / 10_000 if failed < 10_000 else 0)


@pytest.mark.parametrize(("failed", "verdict"), [(4, "ok"), (5, "mark"), (200, "mark")])
def test_a_few_failures_mark_nothing(failed: int, verdict: str) -> None:
    assert judge("answers", requests=counts(sent=4_000, failed=failed)).verdict == verdict


@pytest.mark.parametrize(("failed", "verdict"), [(4, "mark"), (5, "reject")])
def test_a_few_failures_of_few_do_not_reject(failed: int, verdict: str) -> None:
    guard = judge("answers", requests=counts(sent=40, failed=failed))
    assert guard.verdict == verdict
    assert ("too few to tell" in guard.text) == (failed < 5)


def test_no_answer_at_all() -> None:
    assert judge("answers", requests=counts(sent=0)).verdict == "reject"
    assert judge("answers", requests=counts(sent=5, failed=5)).text == "no request was answered rightly"


@pytest.mark.parametrize(
    ("overlap", "verdict"),
    [(1.0, "ok"), (0.95, "ok"), (0.9499, "mark"), (0.80, "mark"), (0.7999, "reject"), (0.0, "reject")],
)
def test_overlap(overlap: float, verdict: str) -> None:
    guard = judge("overlap", overlap=overlap)
    assert guard.verdict == verdict
    assert guard.limit == (0.2 if verdict == "reject" else 0.05)
    assert guard.value == pytest.approx(1 - overlap)


@pytest.mark.parametrize(("skew_ms", "verdict"), [(0.0, "ok"), (50.0, "ok"), (50.001, "mark"), (5000.0, "mark")])
def test_skew(skew_ms: float, verdict: str) -> None:
    guard = judge("skew", skew_ms=skew_ms)
    assert (guard.verdict, guard.value, guard.limit) == (verdict, skew_ms, 50.0)


def test_time_limit() -> None:
    cap = request_cap(5)
    for most, verdict in ((cap - 1, "ok"), (cap, "reject"), (cap + 1, "reject")):
        clients = [client(completed=5), client(completed=most - 2, failed=2)]
        guard = judge("time-limit", clients=clients)
        assert (guard.verdict, guard.value, guard.limit) == (verdict, most, cap)
    counted = Load(concurrency=200, requests=1000)
    window = Window(start_epoch_s=100.0, end_epoch_s=105.0, skew_ms=1.0, overlap=0.99)
    assert "time-limit" not in [guard.name for guard in load_guards(counted, [client()], window, counts())]


@pytest.mark.parametrize(
    ("sizes", "verdict"), [([5120, 5120], "ok"), ([5120, 0], "mark"), ([5121], "mark"), ([None], "mark")]
)
def test_length(sizes: list[int | None], verdict: str) -> None:
    clients = [client(host=f"client{i}", document_bytes=size) for i, size in enumerate(sizes)]
    guard = judge("length", clients=clients)
    assert guard.verdict == verdict
    if verdict == "mark":
        assert f"client{len(sizes) - 1}" in guard.text


def test_length_of_a_client_that_died_is_not_known() -> None:
    assert judge("length", clients=[client(), client(seconds=None)]).verdict == "ok"


@pytest.mark.parametrize(
    ("cut_off", "verdict"), [(-1, "mark"), (0, "ok"), (1, "ok"), (200, "ok"), (201, "mark"), (None, "ok")]
)
def test_accounting(cut_off: int | None, verdict: str) -> None:
    requests = counts(cut_off=cut_off)
    assert judge("accounting", requests=requests).verdict == verdict
    asked = requests["sent"]
    assert judge("accounting", requests=requests, load=Load(concurrency=200, requests=asked)).verdict == verdict


def test_requests_that_never_ended_are_named() -> None:
    """A load that counts has asked for so many; also where connections cannot be counted."""
    for cut_off in (0, None):
        requests = counts(cut_off=cut_off)
        asked = (requests["sent"] or 0) + 7
        guard = judge("accounting", requests=requests, load=Load(concurrency=200, requests=asked))
        assert guard.verdict == "mark"
        assert f"7 of the {asked} requests never ended" in guard.text


def test_accounting_that_cannot_be_done_says_why() -> None:
    guard = judge("accounting", requests=counts(cut_off=None), load=Load(concurrency=200, seconds=5, keepalive=True))
    assert (guard.verdict, guard.value) == ("ok", None)
    assert "keep-alive" in guard.text
    assert "nstat" in judge("accounting", requests=counts(cut_off=None)).text


STAT = (Path(__file__).parents[1] / "golden/stat/load.txt").read_text()
CPU0, CPU1 = STAT.splitlines()[1:3]


def stat_after(cpu1: str) -> dict[str, bytes]:
    """The golden text before the load, and the same with another line of CPU 1 after it; CPU 0 was busy meanwhile."""
    busy = "cpu0 99134 0 3777 206460 137 0 269 1350 0 0"
    after = STAT.replace(CPU0, busy).replace(CPU1, cpu1)
    return {"stat.before.txt": STAT.encode(), "stat.after.txt": after.encode()}


@pytest.mark.parametrize(
    ("cpu1", "value", "verdict"),
    [
        (CPU1, 0.0, "ok"),
        ("cpu1 24233 0 7237 187760 1292 0 433 1295 0 0", 0.0, "ok"),
        ("cpu1 24333 0 7237 187560 1392 0 433 1295 0 0", 0.1, "ok"),
        ("cpu1 24334 0 7237 187659 1292 0 433 1295 0 0", 0.101, "mark"),
        ("cpu1 24233 0 7300 187660 1292 0 433 1332 0 0", 0.1, "ok"),
        ("cpu1 24233 100 7337 186760 1292 100 533 1395 0 0", 1.0, "mark"),
    ],
)
def test_the_idle_director(cpu1: str, value: float, verdict: str) -> None:
    guard = director_idle(stat_after(cpu1), {1})
    assert guard is not None
    assert (guard.name, guard.value, guard.verdict) == ("director-idle", value, verdict)


def test_the_idle_director_that_was_not_asked() -> None:
    assert director_idle({"stat.before.txt": STAT.encode()}, {1}) is None
    assert director_idle({}, {1}) is None


def test_rows() -> None:
    (row,) = as_rows([judge("skew")])
    assert set(row) == {"name", "verdict", "value", "limit", "text", "evidence", "spoils"}
