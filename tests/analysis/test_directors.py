"""How many directors it takes: the planner's table, sentences and figure agree with `df_capacity`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bmtlib.analysis.capacity import Demand, df_capacity
from bmtlib.analysis.directors import SWEEP, answers, carried, conclusions, df_directors, df_planned, why_not
from bmtlib.analysis.naming import number
from bmtlib.analysis.plots.directors import plot_directors
from bmtlib.analysis.tables import Tables, read_tables

DEMAND = Demand(requests_per_s=1000, kib=16, gbit_per_s=10)


@pytest.fixture
def sweep(builder: Any) -> Tables:
    return read_tables(builder.swept())


def words(figure: Any) -> str:
    return " ".join(text.get_text() for text in figure.texts).replace("\n", " ").replace("\u00a0", " ")


def test_the_line_goes_through_what_capacity_says(sweep: Tables) -> None:
    line, said = df_directors(sweep, DEMAND), df_capacity(sweep, [DEMAND]).set_index("arm")
    assert line["requests_per_s"].max() == 2 * DEMAND.requests_per_s
    for arm, part in line.groupby("series"):
        at = part[part["requests_per_s"] == DEMAND.requests_per_s].iloc[0]
        for name in ("directors", "directors_low", "directors_high"):
            assert at[name] == said.loc[arm, name]
        assert part["directors"].is_monotonic_increasing


def test_sentences_have_count_interval_and_limit(sweep: Tables) -> None:
    said = answers(sweep, Demand(requests_per_s=50_000, kib=64, gbit_per_s=10))
    rows = df_planned(sweep, Demand(requests_per_s=50_000, kib=64, gbit_per_s=10)).set_index("series")
    low, high = rows.loc["proxy", ["directors_low", "directors_high"]]
    assert said[0] == f"proxy: 19 directors ({low} to {high}), limited by director CPU."
    assert said[2] == "Links of web hosts that the answers fill, whatever the arm: 3."
    assert said[-1].startswith("Fidelity namespace:")
    assert not [text for text in said if "guess" in text]
    assert "a guess" in " ".join(answers(sweep, replace(DEMAND, kib=4096)))


def test_the_conclusion_is_one_sentence_and_then_each_arm(sweep: Tables, tables: Tables) -> None:
    first, *rest = conclusions(sweep, DEMAND, 2)
    assert first == "Directors for 1,000 requests/s of 16 KiB: proxy 1 (1–1), l2dsr 1 (1–1)."
    assert rest == answers(sweep, DEMAND, 2)
    assert conclusions(tables, DEMAND) == [why_not(tables, DEMAND)]


def test_whether_directors_at_hand_are_enough(sweep: Tables) -> None:
    one = df_planned(sweep, DEMAND).set_index("series").loc["proxy"]
    for requests, word in (
        (0.5 * one["per_director_low"], "proxy: 2 directors are enough"),
        (2 * one["per_director_per_s"], "proxy: not shown whether 2 directors are enough"),
        (2.5 * one["per_director_high"], "proxy: 2 directors are not enough"),
    ):
        said = carried(sweep, replace(DEMAND, requests_per_s=requests), 2)
        assert said[0].startswith(word)
        assert f": {number(2 * one['per_director_per_s'])} requests/s" in said[0]


def test_the_figure_says_the_counts(sweep: Tables) -> None:
    text = words(plot_directors(sweep, DEMAND))
    assert text.startswith("Directors for 1,000 requests/s of 16 KiB: proxy 1 (1–1), l2dsr 1 (1–1)")
    assert "Links of 10 Gbit/s, CPUs in a director: 1, in use at most 100 %." in text


def test_a_run_that_cannot_say_names_the_command(tables: Tables, sizes: Tables, wrong: dict[str, Tables]) -> None:
    for run in (tables, sizes, *wrong.values()):
        why = why_not(run, DEMAND)
        assert SWEEP in why
        assert df_directors(run, DEMAND).empty
        assert SWEEP in words(plot_directors(run, DEMAND))
    assert "needs 3 file sizes, found 2" in why_not(sizes, DEMAND)


def test_few_blocks_have_no_interval(builder: Any) -> None:
    two = builder.tables(builder.priced(), repetitions=2, factors={"file_size": builder.sizes})
    assert "no interval" in answers(two, DEMAND)[0]
    assert "no interval" in carried(two, DEMAND, 1)[0]
    assert "(" not in words(plot_directors(two, DEMAND)).partition("Line:")[0]
