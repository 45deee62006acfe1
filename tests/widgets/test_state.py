"""Events folded into progress: the way through a run, time left, and runs that end badly."""

from __future__ import annotations

from typing import Any

import pytest

from bmtlib.widgets.state import fold


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
