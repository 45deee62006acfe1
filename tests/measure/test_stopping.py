"""When a run has enough blocks: what counts as a pair, the widest ratio, the cap; and what looking costs."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bmtlib.measure.stopping import METRICS, Stopping, pairs_of
from bmtlib.params.repetitions import Repetitions
from bmtlib.params.scenario import Scenario
from bmtlib.params.testbed import Testbed
from bmtlib.plan import Plan, make_plan


def plan(goal: str = "5%", most: int = 20, least: int = 5, **changes: Any) -> Plan:
    until = {"ratio_interval": goal, **changes.pop("until", {})}
    values = {
        "title": "A",
        "question": "B?",
        "arms": {"direct": None, "proxy": None, "l2dsr": None},
        "load": {"concurrency": 40, "seconds": 5},
        "repetitions": {"min": least, "max": most, "until": until},
    }
    return make_plan(Scenario.model_validate(values | changes), Testbed())


def stopping(it: Plan, left_out: tuple[str, ...] = ()) -> Stopping:
    assert isinstance(it.scenario.repetitions, Repetitions)
    return Stopping(it, it.scenario.repetitions, left_out)


def record(case: Any, rate: float, status: str = "done") -> dict[str, Any]:
    requests = {"completed": rate * 5, "opened": rate * 5}
    return {"id": case.id, "block": case.block, "status": status, "window_s": 5.0, "requests": requests}


def run(it: Plan, rate: Callable[[Any], float], rejected: frozenset[str] = frozenset()) -> tuple[int, Stopping]:
    """After how many blocks the run ends, as the runner asks."""
    rule = stopping(it)
    for block in range(1, rule.rule.max + 1):
        for case in it.cases:
            if case.block == block:
                rule.add(record(case, rate(case), "rejected" if case.id in rejected else "done"))
        if block >= rule.rule.min and rule.reason(rule.look(block), block):
            return block, rule
    raise AssertionError("a run ends at its last block at the latest")


def steady(case: Any) -> float:
    return {"direct": 9000.0, "proxy": 5000.0, "l2dsr": 8000.0}[case.arm] * (1 + case.block / 1000)


def test_steady_arms_need_the_fewest_blocks() -> None:
    block, rule = run(plan(), steady)
    look = rule.look(block)
    assert look is not None
    assert (block, look.arm, look.against, look.ratio, look.n) == (5, "l2dsr", "proxy", 1.6, 5)
    assert rule.reason(look, block) == (
        "after 5 blocks the widest interval, l2dsr / proxy: 1.600 (1.600 to 1.600, 5 pairs), is within ±5 %"
    )


def test_arms_that_never_settle_end_at_the_cap() -> None:
    block, rule = run(plan(most=9), lambda case: steady(case) * (1 + (case.block % 2) * (case.arm == "proxy")))
    assert block == 9
    assert "after 9 blocks, which are the most" in (rule.reason(rule.look(9), 9) or "")


def test_the_fewer_blocks_a_goal_needs_the_wider_it_is() -> None:
    chance = random.Random(1)
    noise = {(case.id): chance.gauss(1, 0.04) for case in plan().cases}
    ends = [run(plan(goal), lambda case: steady(case) * noise[case.id])[0] for goal in ("20%", "6%", "4%", "0.1%")]
    assert ends == sorted(ends)
    assert ends[0] == 5
    assert ends[-1] == 20


def test_a_case_that_is_not_done_makes_no_pair() -> None:
    block, rule = run(plan(), steady, frozenset({"b2-proxy", "b4-l2dsr", "b5-direct"}))
    look = rule.look(block)
    assert look is not None
    assert (block, look.n) == (7, 5)


def test_nothing_to_compare_ends_at_the_first_look() -> None:
    it = plan()
    rule = stopping(it, tuple(case.id for case in it.cases if case.arm != "direct"))
    assert rule.pairs == []
    assert rule.look(5) is None
    assert rule.reason(None, 4) is None
    assert "can be compared" in (rule.reason(None, 5) or "")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["l2dsr/proxy"]),
        ({"arms": {"proxy": None, "direct": None}}, ["proxy/direct"]),
        ({"arms": {"proxy": None, "old": {"kind": "proxy"}}}, ["old/proxy"]),
        ({"arms": {"nat": None, "l3dsr": None, "proxy": None}}, ["l3dsr/proxy", "nat/proxy"]),
        ({"until": {"of": "proxy", "over": "direct"}}, ["proxy/direct"]),
        ({"factors": {"threads": [1, 2]}}, ["l2dsr/proxy", "l2dsr/proxy"]),
        ({"factors": {"file_size": [1, 2]}}, ["l2dsr/proxy", "l2dsr/proxy"]),
    ],
)
def test_which_pairs_are_looked_at(changes: dict[str, Any], expected: list[str]) -> None:
    it = plan(**changes)
    assert isinstance(it.scenario.repetitions, Repetitions)
    pairs = pairs_of(it, it.scenario.repetitions.until, set())
    assert sorted(f"{one.arm}/{other.arm}" for one, other in pairs) == expected
    assert all(one.load.file_size == other.load.file_size for one, other in pairs)


def test_metrics() -> None:
    it = record(plan().cases[0], 100.0)
    assert {name: read(it) for name, read in METRICS.items()} == {"requests_per_s": 100.0, "connections_per_s": 100.0}
    it["requests"]["opened"] = None
    assert METRICS["connections_per_s"](it) is None
    assert METRICS["requests_per_s"](it | {"window_s": None}) is None


def coverage(least: int, runs: int) -> float:
    """How often the interval of a run that ended by its rule holds the true ratio; blocks scatter by 4 %."""
    chance, held = np.random.default_rng(7), 0
    it = plan("5%", 20, least)
    for _ in range(runs):
        noise = {case.id: float(np.exp(chance.normal(0, 0.04))) for case in it.cases}
        block, rule = run(it, lambda case, noise=noise: 1000 * noise[case.id])  # type: ignore[misc]
        look = rule.look(block)
        assert look is not None
        assert look.low is not None and look.high is not None  # noqa: PT018
        held += look.low <= 1 <= look.high
    return held / runs


def test_looking_costs_the_interval_little() -> None:
    """data/README.md has figures of 2,000 runs each, made like these."""
    assert coverage(least=5, runs=150) > 0.88
