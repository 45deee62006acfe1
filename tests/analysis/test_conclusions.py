"""What notebooks conclude: sentences that follow the tables, say their spread, and say when nothing is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bmtlib.analysis import conclusions
from bmtlib.analysis.tables import Tables


def test_waits(tables: Tables) -> None:
    said = conclusions.waits(tables)
    assert said[0].startswith("With l2dsr the 99th percentile of the wait was ")
    assert "3 blocks" in said[0]
    assert said[1].startswith("direct: half of ")
    assert "(pooled over 3 blocks)" in said[1]


def test_waits_of_several_levels_are_counted_and_cut_short(sizes: Tables) -> None:
    said = conclusions.waits(sizes)
    assert "of 4 levels (3 blocks or more)" in said[0]
    assert any(sentence.startswith("The table has ") for sentence in said)


def test_director_cost(tables: Tables) -> None:
    said = conclusions.director_cost(tables)
    assert said[0].startswith("With l2dsr a request cost the director 0.25 times the CPU time that it cost with proxy")
    assert said[0].endswith("3 blocks): lower.")
    assert any(sentence.startswith("proxy: ") and "95 % interval" in sentence for sentence in said)


def test_shared_cpus_have_no_cost_of_an_arm(builder: Any) -> None:
    tables = builder.tables(run={"placement": {"separate": False, "rps": True}})
    said = conclusions.director_cost(tables)
    assert said[0].startswith("What a request cost the director in CPU time cannot be told")
    assert not any("µs" in sentence for sentence in said)


def test_two_blocks_give_no_interval(builder: Any) -> None:
    text = " ".join(conclusions.director_cost(builder.tables(repetitions=2)))
    assert "2 blocks give no interval, 3 would" in text
    assert "95 % interval" not in text


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ({}, "In no layer that was measured anything was lost."),
        ({"TcpExtListenDrops": 7}, "21 lost in the layer “listen, accept” (web)"),
    ],
)
def test_losses(builder: Any, lost: dict[str, int], said: str) -> None:
    tables = builder.tables(lambda case: replace(builder.usual(case), counters=lost))
    assert said in " ".join(conclusions.packets_and_losses(tables))


def test_a_layer_that_was_not_read_is_not_called_clean(builder: Any) -> None:
    tables = builder.tables(lambda case: replace(builder.usual(case), without=frozenset({"nstat"})))
    assert "Not measured: NIC; IP;" in " ".join(conclusions.packets_and_losses(tables))


def test_nothing_was_measured(builder: Any) -> None:
    tables = builder.tables(lambda case: None)
    for conclude in (conclusions.waits, conclusions.director_cost, conclusions.packets_and_losses):
        assert len(conclude(tables)) == 1, conclude.__name__
