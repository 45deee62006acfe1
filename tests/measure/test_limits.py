"""A plan against a machine: every misfit, all at once, before anything is started."""

from __future__ import annotations

from typing import Any

import pytest

from bmtlib.errors import InputError
from bmtlib.measure.limits import check_limits
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
    roomy: dict[str, Any] = {"director_cpus": frozenset({1}), "nofile": 20_000, "ab_concurrency": 20_000, "ports": None}
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
    found = problems(it, nofile=2000, ab_concurrency=1000, ports=1500)
    assert len(found) == len(set(found)) == 5
    for named in ("largest -c", "less what ab needs", "local ports", "3 HAProxy threads", "maxconn 5000"):
        assert sum(named in line for line in found) == 1, named
    assert not any("concurrency 40 " in line for line in found)


def test_threads_that_are_a_factor() -> None:
    it = plan(arms={"direct": None, "proxy": None}, factors={"threads": [1, 2, 4]})
    check(it, director_cpus=frozenset(range(4)))
    assert [line.split(" (to do")[0] for line in problems(it, director_cpus=frozenset({0, 1}))] == [
        "4 HAProxy threads, and the director has 2 CPU(s): 0-1"
    ]
