"""The answer and the limits: words that follow the figures, and never go beyond them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bmtlib.analysis.answer import answer, limits
from bmtlib.analysis.tables import Tables


def test_answer(tables: Tables) -> None:
    found = answer(tables)
    assert found.verdict == "higher"
    assert found.sentences[0].startswith("At 5 KiB and concurrency 20, l2dsr (engine nft) answered 1.98 (1.")
    assert found.sentences[0].endswith(", 3 blocks) times as many requests/s as proxy (engine haproxy): higher.")
    assert found.sentences[1].startswith("It cost the director 0.25 (0.25–0.2")
    assert "fidelity namespace" in str(found)
    assert len(found.numbers) == 4


def test_an_undecided_answer_says_so(builder: Any) -> None:
    def figures(case: Any) -> Any:
        return builder.measured(1000 + (case.block - 2) * (100 if case.kind == "l2dsr" else 0))

    found = answer(builder.tables(figures))
    assert found.verdict == "undecided"
    assert found.sentences[0].endswith("times as many requests/s as proxy (engine haproxy): undecided.")


def test_an_answer_over_levels_names_where(sizes: Tables) -> None:
    found = answer(sizes)
    assert "(at 1 KiB, 1 thread)" in found.sentences[1]
    assert "lower at 4 of 4 levels" in found.sentences[1]


def test_no_interval_with_two_blocks(builder: Any) -> None:
    tables = builder.tables(repetitions=2)
    assert "(2 blocks, no interval) times" in str(answer(tables))
    assert answer(tables).verdict == "undecided"
    assert "With 2 blocks to compare there is no interval: no ratio is decided." in limits(tables)


@pytest.mark.parametrize(
    ("other", "director", "said"),
    [
        (1.0, 0.1, "the CPUs of clients and web hosts were full (100 % busy) and the director's were not"),
        (0.2, 3.9, "the director's CPUs were full (98 % busy), those of the other hosts not"),
        (1.0, 3.9, "were full alike"),
        (0.2, 0.1, ""),
    ],
)
def test_what_limited(builder: Any, other: float, director: float, said: str) -> None:
    busy = {"softirq": director}
    text = str(answer(builder.tables(lambda c: replace(builder.usual(c), other_busy=other, director_cpu_s=busy))))
    assert said in text
    assert bool(said) == ("full" in text)


def test_an_arm_as_fast_as_none(builder: Any) -> None:
    def figures(case: Any) -> Any:
        return builder.measured({"direct": 1000, "proxy": 500, "l2dsr": 970}[case.kind] + case.block)

    text = str(answer(builder.tables(figures, arms={"direct": None, "proxy": None, "l2dsr": None})))
    assert "l2dsr reached 97 % of the rate without a director (95 %: 97 %–97 %; 3 blocks)." in text
    assert "proxy reached" not in text
    few = builder.tables(figures, arms={"direct": None, "proxy": None, "l2dsr": None}, repetitions=2)
    assert "reached" not in str(answer(few))


def test_nothing_is_said_of_a_cost_that_cannot_be_told(builder: Any) -> None:
    tables = builder.tables(builder.usual, {"placement": {"rps": True, "separate": False}})
    assert "cannot be told" in str(answer(tables))
    assert "It cost the director" not in str(answer(tables))
    assert any("shares its CPUs" in sentence for sentence in limits(tables))


def test_no_answer(builder: Any) -> None:
    failed = builder.tables(lambda case: replace(builder.usual(case), status="failed", error="it broke"))
    assert str(answer(failed)) == "There is no answer: of 6 cases none is done (6 failed)."
    assert answer(failed).verdict == "none"
    assert any("6 of 6 cases are not done" in sentence for sentence in limits(failed))
    alone = builder.tables(arms={"proxy": None})
    assert str(answer(alone)) == "Only proxy (engine haproxy) was measured: 102 requests/s."
    apart = builder.tables(lambda case: builder.usual(case) if (case.block == 1) == (case.arm == "l2dsr") else None)
    assert "in no block are two of the arms to compare both done" in str(answer(apart))


def test_limits_follow_from_the_run(tables: Tables, sizes: Tables) -> None:
    text = "\n".join(limits(tables))
    assert "namespaces of one kernel" in text
    assert "All 4 clients and web hosts share CPU 0" in text
    assert "l2dsr ran on nftables, not on LVS" in text
    assert "closed loop" in text
    assert "Only one file size was measured (5 KiB)" in text
    assert "With 3 blocks" in text
    assert "Only one file size" not in "\n".join(limits(sizes))


def test_limits_of_another_testbed(builder: Any) -> None:
    about = {"fidelity": "physical", "placement": {"rps": True, "separate": True}, "other_cpus": []}
    text = "\n".join(limits(builder.tables(builder.usual, about, arms={"direct": None, "proxy": None})))
    assert "namespaces" not in text
    assert "nftables" not in text
    assert "share CPU" not in text


def test_limits_name_faults(builder: Any) -> None:
    mark = ({"name": "skew", "verdict": "mark", "value": 80.0, "limit": 50.0, "text": "late"},)
    broken = {("director", "softnet.after.txt"): "?\n"}
    stolen = {"softirq": 0.2, "steal": 1.0}
    tables = builder.tables(lambda case: replace(builder.usual(case), guards=mark, extra=broken, director_cpu_s=stolen))
    text = "\n".join(limits(tables))
    assert "6 cases carry marks" in text
    assert "not understood: 6" in text
    assert "hypervisor took 12 %" in text
    assert "used only 20 of them in one case" in text
