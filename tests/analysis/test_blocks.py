"""A run that ended by its rule: blocks that were not needed are no fault; the runner saw what the report sees."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from bmtlib.analysis.answer import answer, limits
from bmtlib.analysis.compare import df_guards, df_ratio
from bmtlib.analysis.tables import read_tables
from bmtlib.measure.resume import plan_of
from bmtlib.measure.stopping import Look, Stopping
from bmtlib.params.repetitions import Repetitions
from bmtlib.report import conditions, evidence, head
from bmtlib.rundir import RunDir

GOAL = {"min": 3, "max": 7, "until": {"ratio_interval": "5%"}}


def rule_of(run: RunDir) -> Stopping:
    plan = plan_of(run)
    assert isinstance(plan.scenario.repetitions, Repetitions)
    return Stopping(plan, plan.scenario.repetitions)


def look_of(run: RunDir, block: int) -> Look:
    """As the runner looks, at the records in the folder."""
    rule = rule_of(run)
    for case_id in run.case_ids():
        rule.add(run.case(case_id))
    look = rule.look(block)
    assert look is not None
    return look


@pytest.fixture
def ended(builder: Any) -> RunDir:
    """Seven blocks were planned, and three were enough."""
    run: RunDir = builder(lambda case: builder.usual(case) if case.block <= 3 else None, repetitions=GOAL)
    look = look_of(run, 3)
    reason = rule_of(run).reason(look, 3)
    assert reason is not None
    rule = plan_of(run).scenario.model_dump(mode="json")["repetitions"]
    stopping = {"rule": rule, "looks": [asdict(look)], "stopped_after": 3, "reason": reason}
    run.write_json("run.json", run.run_json() | {"stopping": stopping, "started": "2026-11-23T02:07:02Z"})
    return run


def test_blocks_that_were_not_needed_are_no_fault(ended: RunDir) -> None:
    tables = read_tables(ended)
    assert list(tables.cases["status"].value_counts().items()) == [("not needed", 8), ("done", 6)]
    assert df_guards(tables).empty
    assert not any("not done" in sentence for sentence in limits(tables))
    assert any("was looked at 1 time and could have ended the run" in sentence for sentence in limits(tables))
    assert "none; all 6 planned cases are" in evidence.failed_cases(ended, tables)
    assert "planned cases" not in head.headline(tables)
    assert "not needed" not in str(answer(tables))
    said = conditions.load(ended)
    assert "3 to 7, until the 95 % interval of requests_per_s of every LVS arm / proxy arm is within ±5 %" in said
    assert "Ended after 3 blocks the widest interval, l2dsr / proxy: 1.98" in said


def test_without_the_rule_the_same_blocks_are_missing(ended: RunDir) -> None:
    ended.write_json("run.json", ended.run_json() | {"stopping": None, "status": "interrupted"})
    tables = read_tables(ended)
    assert set(tables.cases["status"]) == {"done", "not run"}
    assert any("8 of 14 cases are not done" in sentence for sentence in limits(tables))


def test_a_failed_case_in_a_needed_block_is_still_told(ended: RunDir) -> None:
    case_id = ended.case_ids()[0]
    ended.write_json(f"cases/{case_id}/case.json", ended.case(case_id) | {"status": "failed"})
    tables = read_tables(ended)
    assert list(df_guards(tables)["case"]) == [case_id]
    assert any("1 of 6 cases are not done" in sentence for sentence in limits(tables))
    assert "Of 6 planned cases 5 are among the results; 1 failed." in head.headline(tables)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"arms": {"proxy": None, "direct": None}},
        {"arms": {"proxy": None, "old": {"kind": "proxy"}, "l2dsr": None}},
        {"factors": {"file_size": [1024, 5120], "threads": [1, 2]}},
        {"combinations": [{"file_size": 1024, "concurrency": 20}, {"file_size": 5120, "concurrency": 40}]},
    ],
)
def test_the_runner_looks_at_the_ratios_of_the_report(builder: Any, fields: dict[str, Any]) -> None:
    """The same pairs, the same medians and intervals; a rejected case is in none of them."""

    def figures(case: Any) -> Any:
        chance = 1 + 0.1 * ((case.index * 7919) % 13) / 13
        status = "rejected" if case.block == 2 and case.kind == "proxy" else "done"
        requests = {"direct": 1600, "proxy": 400, "old": 450, "l2dsr": 800}[case.arm]
        return builder.measured(int(requests * chance), status=status)

    run = builder(figures, repetitions=GOAL, **fields)
    ratios = df_ratio(read_tables(run))
    ratios = ratios[ratios["measure"] == "requests_per_s"]
    rule = rule_of(run)
    for case_id in run.case_ids():
        rule.add(run.case(case_id))
    looks = [rule._look(7, one, other) for one, other in rule.pairs]
    found = sorted((look.arm, look.against, look.n, look.ratio, look.low, look.high) for look in looks)
    names = ["arm", "against", "n", "ratio", "low", "high"]
    expected = sorted(ratios[names].itertuples(index=False, name=None))
    assert [row[:3] for row in found] == [row[:3] for row in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours[3:] == pytest.approx(theirs[3:], abs=1e-5)
    widest = max((high - low) / 2 / ratio for *_, ratio, low, high in expected)
    assert look_of(run, 7).half_width == pytest.approx(widest, abs=1e-5)
