"""The search of all arms: in turns, the same seed the same order, ids, and what comes after."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from bmtlib.errors import InputError
from bmtlib.knee_plan import Search, at_the_cap, make_knee_plan
from bmtlib.params.scenario import Scenario
from bmtlib.params.testbed import Testbed
from bmtlib.plan import Case, Plan, plan_from_json

KNEE = {"vary": "concurrency", "lowest": 10, "highest": 1000, "objective": {"wait_p99_ms": 50}}


def plan(knee: dict[str, Any] | None = None, **fields: Any) -> Plan:
    values = {
        "title": "T",
        "question": "Q?",
        "arms": {"direct": None, "proxy": None, "l2dsr": None},
        "load": {"concurrency": 10, "seconds": 3},
        "knee": {**KNEE, **(knee or {})},
        **fields,
    }
    return make_knee_plan(Scenario.model_validate(values), Testbed())


def run(search: Search, knees: dict[str, int]) -> list[list[Case]]:
    """All rounds of a search in which each arm keeps up to its knee."""
    rounds = []
    for cases in search.rounds():
        for case in cases:
            level = case.load.concurrency
            search.add(case.arm, level, level <= knees[case.arm])
        rounds.append(cases)
    return rounds


def test_arms_take_turns_until_each_is_enclosed() -> None:
    search = Search(plan())
    knees = {"direct": 900, "proxy": 70, "l2dsr": 300}
    rounds = run(search, knees)
    assert len(rounds[0]) == 3
    for cases in rounds:
        assert len({case.arm for case in cases}) == len(cases)
        assert len({case.block for case in cases}) == 1
    cases = [case for found in rounds for case in found]
    assert [case.index for case in cases] == list(range(len(cases)))
    assert len({case.id for case in cases}) == len(cases)
    assert {case.id for case in rounds[0]} == {f"k01-{arm}-concurrency-10-r1" for arm in knees}
    assert set(Counter((case.arm, case.load.concurrency) for case in cases).values()) == {2}
    for arm, knee in knees.items():
        found = search.found(arm)
        assert found.kept is not None
        assert found.broke is not None
        assert found.kept <= knee < found.broke
    assert len(cases) <= search.most_cases()


def test_the_order_of_arms_hangs_on_the_seed_alone() -> None:
    knees = {"direct": 900, "proxy": 70, "l2dsr": 300}
    orders = [[case.id for cases in run(Search(plan(seed=seed)), knees) for case in cases] for seed in (1, 1, 2, 3)]
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) == 3


def test_afterwards_all_arms_get_the_same_load() -> None:
    search = Search(plan({"shares": [50, 90], "confirm": 2}))
    run(search, {"direct": 5, "proxy": 70, "l2dsr": 300})
    base = search.found("proxy").kept
    assert search.base() == base  # direct, which keeps nothing at all here, is not asked
    rounds = list(search.rounds_at_shares())
    assert [percent for percent, _ in rounds] == [50, 50, 90, 90]
    for percent, cases in rounds:
        assert {case.load.concurrency for case in cases} == {round((base or 0) * percent / 100)}
        assert {case.arm for case in cases} == {"direct", "proxy", "l2dsr"}
    assert sorted(case.id for case in rounds[0][1])[0].startswith("w50-direct-concurrency-")


def test_without_a_knee_nothing_comes_after() -> None:
    search = Search(plan())
    run(search, {"direct": 900, "proxy": 0, "l2dsr": 0})
    assert search.base() is None
    assert list(search.rounds_at_shares()) == []


def test_a_share_has_a_connection_for_each_client() -> None:
    search = Search(plan({"lowest": 4, "shares": [1]}, arms={"proxy": None}))
    run(search, {"proxy": 5})
    assert {case.load.concurrency for _, cases in search.rounds_at_shares() for case in cases} == {4}


def test_the_plan_is_kept_and_read_back() -> None:
    found = plan()
    assert (found.cases, found.search) == ((), "knee")
    assert plan_from_json(found.to_json()) == found
    assert [case.load.concurrency for case in at_the_cap(found).cases] == [1000] * 3


def test_a_scenario_that_does_not_say_what_to_search() -> None:
    without = plan().scenario.model_copy(update={"knee": None})
    with pytest.raises(InputError, match="has no `knee`"):
        make_knee_plan(without, Testbed())


def test_a_search_ends_when_every_case_is_rejected() -> None:
    search = Search(plan(arms={"proxy": None}))
    ids = []
    for cases in search.rounds():
        for case in cases:
            ids.append(case.id)
            search.add(case.arm, case.load.concurrency, None)
    assert len(ids) == len(set(ids)) == 3 + 2  # three that say nothing, then two of three decide
    assert search.found("proxy").ending == "never kept"
