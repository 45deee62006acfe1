"""A plan against a machine: every misfit, all at once, before anything is started."""

from __future__ import annotations

from typing import Any

import pytest

from bmtlib.errors import InputError
from bmtlib.measure.limits import check_limits, closed_entry_s, unreachable_levels
from bmtlib.params.arms import L3dsrArm, LvsTimeouts, NatArm
from bmtlib.params.scenario import Scenario
from bmtlib.params.testbed import Testbed
from bmtlib.plan import Plan, make_plan


def plan(*, arms: dict[str, Any] | None = None, **changes: Any) -> Plan:
    base: dict[str, Any] = {
        "title": "A scenario",
        "question": "B",
        "arms": arms or {"direct": None},
        "load": {"concurrency": 400, "seconds": 5},
        "clients": 4,
    }
    return make_plan(Scenario.model_validate(base | changes), Testbed())


def check(it: Plan, **limits: Any) -> None:
    roomy: dict[str, Any] = {
        "director_cpus": frozenset({1}),
        "director_nofile": 20_000,
        "nofile": 20_000,
        "ab_concurrency": 20_000,
        "ports": None,
    }
    check_limits(it, **(roomy | limits))


def problems(it: Plan, **limits: Any) -> list[str]:
    with pytest.raises(InputError, match="this machine cannot run the scenario") as caught:
        check(it, **limits)
    assert caught.value.where == "A scenario"
    assert caught.value.todo
    return [line.strip() for line in caught.value.what.splitlines()[1:]]


def test_a_plan_that_fits() -> None:
    check(plan(arms={"direct": None, "proxy": None, "l2dsr": None}))


@pytest.mark.parametrize(
    ("limit", "fits", "named"),
    [("ab_concurrency", 100, "ab's largest -c"), ("nofile", 120, "open files"), ("ports", 100, "local ports")],
)
def test_each_limit_at_it_and_just_below(limit: str, fits: int, named: str) -> None:
    check(plan(), **{limit: fits})
    (problem,) = problems(plan(), **{limit: fits - 1})
    assert named in problem
    assert "concurrency 400 over 4 clients is 100 for one" in problem
    assert problem.endswith("is 99")


def test_the_default_ports_of_a_kernel() -> None:
    most = 4 * (60_999 - 32_768 + 1)
    ample = {"nofile": 10**6, "ab_concurrency": 10**6}
    check(plan(load={"concurrency": most, "seconds": 1}), **ample)
    assert "is 28232" in problems(plan(load={"concurrency": most + 1, "seconds": 1}), **ample)[0]


def test_the_client_with_the_largest_part_counts() -> None:
    assert "is 101 for one" in problems(plan(load={"concurrency": 401, "seconds": 1}), ab_concurrency=100)[0]


def test_all_problems_at_once_and_each_once() -> None:
    arms = {
        "direct": None,
        "many": {"kind": "proxy", "threads": 3},
        "full": {"kind": "proxy", "maxconn": 5000},
        "good": {"kind": "proxy"},
    }
    it = plan(arms=arms, factors={"concurrency": [40, 8000]}, repetitions=3)
    found = problems(it, director_nofile=2000, nofile=2000, ab_concurrency=1000, ports=1500)
    assert len(found) == len(set(found)) == 5
    for named in ("largest -c", "less what ab needs", "local ports", "3 HAProxy threads", "maxconn 5000"):
        assert sum(named in line for line in found) == 1, named
    assert not any("concurrency 40 " in line for line in found)


def reasons(it: Plan, **limits: Any) -> dict[str, str]:
    """Without the block, as all are alike."""
    found = unreachable_levels(it, **({"director_cpus": frozenset({0, 1}), "max_queues": None} | limits))
    return {case.partition("-")[2]: why for case, why in found.items()}


def test_threads_that_are_a_factor_are_left_out_above_the_cpus() -> None:
    it = plan(arms={"direct": None, "proxy": None}, factors={"threads": [1, 2, 4]})
    assert reasons(it) == {"proxy-threads-4": "4 HAProxy threads, and the director has 2 CPUs: 0-1"}
    assert reasons(it, director_cpus=frozenset(range(4))) == {}
    check(it, director_cpus=frozenset({0, 1}))
    fixed = plan(arms={"proxy": {"threads": 4}})
    assert reasons(fixed) == {}, "not a level: an error, which check_limits tells"
    assert "4 HAProxy threads" in problems(fixed)[0]


def test_queues_above_the_cpus_or_the_interfaces() -> None:
    it = plan(arms={"direct": None, "proxy": None, "l2dsr": None}, factors={"queues": [1, 2, 4]})
    left_out = ("proxy-queues-4", "l2dsr-queues-4")
    assert reasons(it) == dict.fromkeys(left_out, "4 queues, and the director has 2 CPUs: 0-1")
    four = frozenset(range(4))
    assert reasons(it, director_cpus=four) == {}
    assert reasons(it, director_cpus=four, max_queues=4) == {}
    why = "4 queues, and the director's interfaces have 2 at the most"
    assert reasons(it, director_cpus=four, max_queues=2) == dict.fromkeys(left_out, why)


def test_a_plan_of_which_nothing_is_left() -> None:
    it = plan(arms={"proxy": None}, factors={"threads": [2, 4]}, order="listed")
    assert problems(it) == [f"{count} HAProxy threads, and the director has 1 CPU: 1" for count in (2, 4)]


def lvs(load: dict[str, Any], **arm: Any) -> Plan:
    return plan(arms={"l2dsr": {"engine": "ipvs"} | arm}, load={"concurrency": 400} | load, webs=4)


def test_thresholds_below_the_concurrency() -> None:
    check(lvs({"seconds": 5}, upper_threshold=100))
    (problem,) = problems(lvs({"seconds": 5}, upper_threshold=99))
    assert problem == (
        "400 connections at one time, and 4 web hosts with upper_threshold 99 take 396: LVS refuses the rest"
    )


def test_thresholds_below_the_entries_of_a_counted_load() -> None:
    """10,000 requests are given up after 60 + 30 + 30 s, so all their entries, counted for 120 s, are there at once."""
    check(lvs({"requests": 10_000}, upper_threshold=2500))
    (problem,) = problems(lvs({"requests": 10_000}, upper_threshold=2499))
    assert problem.startswith(
        "10,000 connections, each counted for 120 s after its end, are at least 10,000 entries at a time, and "
        "4 web hosts with upper_threshold 2499 take 9,996: LVS shuts them"
    )
    check(lvs({"requests": 10_000, "keepalive": True}, upper_threshold=2499))
    check(lvs({"seconds": 600}, upper_threshold=2499))
    # 100,000 may take 560 s; those of the last 120 s are 3/14 of them.
    check(lvs({"requests": 100_000}, upper_threshold=5358))
    assert "at least 21,429 entries" in problems(lvs({"requests": 100_000}, upper_threshold=5357))[0]


def test_thresholds_and_how_long_a_closed_connection_counts() -> None:
    check(lvs({"requests": 10_000}, upper_threshold=209, timeouts={"tcp_fin": 10}))
    assert "for 10 s" in problems(lvs({"requests": 10_000}, upper_threshold=208, timeouts={"tcp_fin": 10}))[0]
    assert closed_entry_s(NatArm(timeouts=LvsTimeouts(tcp_fin=10))) == 120, "TIME_WAIT, which --set does not set"
    assert closed_entry_s(L3dsrArm(), 60) == 60
