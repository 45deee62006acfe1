"""Events folded into progress: the way through a run, time left, and runs that end badly."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bmtlib.events import EventTail
from bmtlib.rundir import RunDir
from bmtlib.widgets import state
from bmtlib.widgets.state import Folding, fold


def event(time_s: float, step: str, state: str, **fields: Any) -> dict[str, Any]:
    return {"time_s": time_s, "step": step, "state": state, **fields}


def case(time_s: float, state: str, number: int, of: str = "proxy", **fields: Any) -> dict[str, Any]:
    return event(time_s, "case", state, case=f"b1-{of}", number=number, **fields)


START = event(100, "run", "start", cases=3, estimate_s=30.0)
FIRST = [
    event(100, "testbed", "start", hosts=9),
    event(102, "testbed", "done"),
    case(102, "start", 1, "direct", arm="direct"),
    case(103, "load", 1, "direct"),
    case(108, "done", 1, "direct", requests_per_s=20_000.0, error=None),
]


def test_nothing_has_happened_yet() -> None:
    progress = fold([])
    assert (progress.status, progress.text, progress.left_s, progress.elapsed_s) == ("starting", "starting", None, 0)


def test_testbed_comes_up() -> None:
    progress = fold([START, FIRST[0]], now_s=101)
    assert progress.text == "bringing up 9 hosts"
    assert progress.left_s == 30


def test_case_under_way() -> None:
    progress = fold([START, *FIRST, case(108, "start", 2, arm="proxy"), case(110, "load", 2)], now_s=111)
    assert progress.text == "case 2 of 3: b1-proxy, load"
    assert (progress.arm, progress.phase, progress.cases_done, progress.elapsed_s) == ("proxy", "load", 1, 11)
    assert progress.left_s == 6 + 3  # one case at 6 s, and the rest of this one


def test_case_that_takes_longer_than_expected_has_no_negative_time_left() -> None:
    progress = fold([START, *FIRST, case(108, "load", 3, arm="proxy")], now_s=500)
    assert progress.left_s == 6


def test_run_that_is_done() -> None:
    progress = fold([START, *FIRST, event(109, "run", "done")], now_s=5000)
    assert (progress.status, progress.left_s, progress.elapsed_s) == ("done", None, 9)
    assert progress.rates == {"direct": [20_000.0]}
    assert progress.last_rate == "direct 20,000"


@pytest.mark.parametrize("status", ["interrupted", "failed"])
def test_run_that_ends_in_mid_case(status: str) -> None:
    progress = fold([START, *FIRST, case(108, "load", 2, arm="proxy"), event(109, "run", status)])
    assert progress.text == f"{status}: 1 of 3 cases"
    assert progress.current is None


def test_failed_and_rejected_cases_are_told_with_their_reason() -> None:
    failed = case(120, "failed", 2, arm="proxy", requests_per_s=None, error={"what": "ab died"})
    rejected = case(130, "rejected", 3, "l2dsr", arm="l2dsr", requests_per_s=5.0, error=None)
    progress = fold([START, *FIRST, failed, rejected, event(131, "run", "done")])
    assert progress.problems == ("b1-proxy failed: ab died", "b1-l2dsr rejected")
    assert progress.text == "done: 3 of 3 cases, 2 of them failed or rejected"
    assert progress.rates == {"direct": [20_000.0], "l2dsr": [5.0]}


def test_steps_that_are_not_known_are_passed_over() -> None:
    assert fold([START, event(101, "archive", "start")]).status == "running"


def started(**fields: Any) -> dict[str, Any]:
    return event(
        100, "run", "start", cases=6, estimate_s=60.0, arms={"direct": [3, 15.0], "proxy": [3, 45.0]}, **fields
    )


def test_time_left_is_learnt_by_arm() -> None:
    assert fold([started()], now_s=100).left_s == 60
    first = [case(100, "start", 1, arm="proxy"), case(130, "done", 1, took_s=30.0, requests_per_s=1.0)]
    # Three direct cases at 5 s were guessed, and the proxy's took twice as long as guessed.
    assert fold([started(), *first], now_s=130).left_s == 2 * 30 + 3 * 10
    second = [case(130, "start", 2, "direct", arm="direct"), case(132, "done", 2, "direct", took_s=2.0)]
    assert fold([started(), *first, *second], now_s=132).left_s == 2 * 30 + 2 * 2
    under_way = case(132, "start", 3, "direct", arm="direct")
    assert fold([started(), *first, *second, under_way], now_s=133).left_s == 2 * 30 + 1 * 2 + 1


def test_a_clock_that_steps_does_not_spoil_the_time_left() -> None:
    """`took_s` is of a clock that does not step; without it no case has taken less than nothing."""
    back = [case(100, "start", 1, arm="proxy"), case(-3500, "done", 1, took_s=15.0)]
    assert fold([started(), *back], now_s=-3500).left_s == 2 * 15 + 3 * 5
    old = [case(100, "start", 1, arm="proxy"), case(-3500, "done", 1)]
    assert (fold([started(), *old], now_s=-3500).left_s or 0) >= 0
    assert fold([started(), case(100, "start", 1, arm="proxy")], now_s=-3500).left_s == 60


def test_a_run_that_is_gone_on_with() -> None:
    failed = [case(101, "start", 1, arm="proxy"), case(110, "failed", 1, error={"what": "no room"})]
    done = [
        case(111, "start", 2, "direct", arm="direct"),
        case(113, "done", 2, "direct", requests_per_s=9.0, took_s=2.0),
    ]
    killed = [started(), *failed, *done, case(114, "load", 3, "l2dsr", arm="proxy")]
    again = event(900, "run", "start", cases=6, kept=1, estimate_s=50.0, arms={"direct": [2, 10.0], "proxy": [3, 45.0]})
    progress = fold([*killed, again], now_s=901)
    assert (progress.cases_done, progress.elapsed_s, progress.current) == (1, 1, None)
    assert progress.problems == ("b1-proxy failed: no room",)
    # Of both arms cases have ended: the failed one of the proxy lasted 9 s.
    assert progress.left_s == 2 * 2 + 3 * 9
    retried = [case(902, "start", 1, arm="proxy"), case(910, "done", 1, requests_per_s=5.0)]
    progress = fold([*killed, again, *retried], now_s=910)
    assert (progress.cases_done, progress.problems) == (2, ())


def test_a_run_that_needs_no_more_blocks() -> None:
    stop = event(120, "stopping", "stop", block=5, cases=1, half_width=0.01, reason="narrow")
    progress = fold([START, *FIRST, stop], now_s=120)
    assert (progress.cases, progress.cases_done, progress.left_s) == (1, 1, 0)
    assert fold([START, *FIRST, stop, event(121, "run", "done")]).text == "done: 1 of 1 cases"


def test_cases_that_are_left_out_count_as_ended_and_take_no_time() -> None:
    left_out = case(100, "left out", 1, arm="proxy", reason="one CPU")
    progress = fold([started(), left_out], now_s=100)
    assert (progress.cases_done, progress.problems, progress.left_s) == (1, (), 2 * 15 + 3 * 5)


def events_of(cases: int) -> Iterator[dict[str, Any]]:
    yield event(0, "run", "start", cases=cases, estimate_s=cases * 5.0, arms={"proxy": [cases, cases * 5.0]})
    phases = ("start", "apply", "preflight", "warmup", "drain", "probe", "load", "collect", "judge", "undo")
    for number in range(1, cases + 1):
        for phase in phases:
            yield event(number, "case", phase, case=f"b{number}-proxy", number=number, arm="proxy")
        yield event(number, "case", "done", case=f"b{number}-proxy", number=number, requests_per_s=5.0, took_s=1.0)


def test_memory_does_not_grow_with_the_cases() -> None:
    """A sweep of 500 cases, and one ten times as long."""

    def kept_bytes(cases: int) -> int:
        tracemalloc.start()
        folding = Folding()
        for each in events_of(cases):
            folding.add(each)
            folding.at(0.0)
        gc.collect()
        # Events are made here: one that is kept counts. What else this process does meanwhile does not.
        ours = [tracemalloc.Filter(True, path) for path in (state.__file__, __file__)]
        kept = tracemalloc.take_snapshot().filter_traces(ours).statistics("filename")
        tracemalloc.stop()
        assert folding.cases_done == cases
        return sum(part.size for part in kept)

    assert abs(kept_bytes(3000) - kept_bytes(500)) < 4096


def test_a_look_at_the_progress_reads_only_what_is_new(tmp_path: Path) -> None:
    """Bytes read per look stay the same: the events of a long sweep are not read and folded anew each time."""
    folder, folding = RunDir(tmp_path), Folding()
    tail = EventTail(folder)
    read = []
    for each in events_of(500):
        fields = {key: value for key, value in each.items() if key not in ("time_s", "step", "state")}
        folder.event(each["step"], each["state"], **fields)
        new = list(tail.new())
        read.append(len(new))
        for one in new:
            folding.add(one)
    assert set(read) == {1}
    assert folding.cases_done == 500
