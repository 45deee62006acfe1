"""The knee, from the run folder of a search: intervals, words, waits below it, and searches without one."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from bmtlib.analysis.answer import answer
from bmtlib.analysis.compare import df_knee, df_knees, df_waits_at_knee
from bmtlib.analysis.plots import plot_knee
from bmtlib.analysis.tables import Tables, read_tables
from bmtlib.plan import Case
from bmtlib.report import knee, results, seed
from bmtlib.report.figures import figure

KNEE = {"vary": "concurrency", "lowest": 4, "highest": 1000, "objective": {"wait_p99_ms": 50}, "precision": "10%"}


def step(**knees: int) -> Callable[[Case], int]:
    """10 ms up to an arm's knee, 100 ms above it."""
    return lambda case: 10 if case.load.concurrency <= knees[case.arm] else 100


@pytest.fixture
def search(builder: Any) -> Callable[..., Tables]:
    return lambda wait_ms, **fields: read_tables(builder.searched(wait_ms, **{"knee": KNEE, **fields}))


def words(tables: Tables) -> str:
    return " ".join(text.get_text() for text in plot_knee(tables).texts).replace("\n", " ").replace("\u00a0", " ")


def test_the_knees_are_enclosed(search: Callable[..., Tables]) -> None:
    tables = search(step(proxy=60, l2dsr=230))
    found = df_knees(tables).set_index("arm")
    for arm, true in (("proxy", 60), ("l2dsr", 230)):
        low, high = found.loc[arm, "knee_low"], found.loc[arm, "knee_high"]
        assert low <= true < high <= 1.1 * low + 1
    assert set(found["ending"]) == {"found"}
    assert found.loc["proxy", "broke"] == "wait_p99_ms 100 is above 50"
    table = df_knee(tables)
    assert set(table.loc[table["percent"].isna() & (table["level"] > 250), "verdict"]) == {"broken"}
    assert (table.loc[table["percent"].isna(), "cases"] == 2).all()  # of three the first two agree


def test_words_say_what_the_intervals_carry(search: Callable[..., Tables]) -> None:
    said = str(answer(apart := search(step(proxy=60, l2dsr=230))))
    assert "Kept (99 % of waits up to 50 ms, at most 0.1 % failed): proxy 5" in said
    assert "The knee of l2dsr lies higher than that of proxy." in said
    assert "All arms had the same director, with 1 CPU." in said
    assert "What limited there: proxy at 6" in said
    assert "So with proxy and l2dsr the director could do more than its knee shows." in said  # its CPU idles here
    assert "fidelity namespace" in said
    assert "Knee in connections: proxy 5" in words(apart)
    alike = search(step(proxy=60, l2dsr=60))
    assert "Between l2dsr and proxy no difference is shown: the intervals overlap." in str(answer(alike))


def test_waits_below_the_lowest_knee_are_of_the_same_load(search: Callable[..., Tables]) -> None:
    tables = search(step(proxy=60, l2dsr=230))
    found = df_waits_at_knee(tables)
    assert list(found["percent"].unique()) == [25, 50, 75, 90]
    low = int(df_knees(tables).set_index("arm").loc["proxy", "knee_low"])
    assert set(found["level"]) == {round(low * percent / 100) for percent in (25, 50, 75, 90)}
    assert (found.groupby("percent")["level"].nunique() == 1).all()
    assert (found["requests"] == 3 * 100).all()
    assert (found["p99_ms"] == 10).all()
    assert "90 % 5" in repr(knee.waits_at_knee(tables)).replace("\u00a0", " ")


def test_an_objective_that_cannot_be_met(search: Callable[..., Tables]) -> None:
    tables = search(step(proxy=0, l2dsr=230))
    row = df_knees(tables).set_index("arm").loc["proxy"]
    assert (row["ending"], row["knee_high"], row["cases"]) == ("never kept", 4, 2)
    assert pd.isna(row["knee_low"])
    assert "proxy not even 4 connections" in str(answer(tables))
    assert "The knee of l2dsr lies higher" in str(answer(tables))
    assert set(df_waits_at_knee(tables)["arm"]) == {"proxy", "l2dsr"}  # at shares of the one knee there is
    neither = search(step(proxy=0, l2dsr=0))
    assert df_waits_at_knee(neither).empty
    assert "no difference is shown" in str(answer(neither))
    assert repr(knee.waits_at_knee(neither)) == ""
    words(neither)


def test_an_objective_that_is_never_broken(search: Callable[..., Tables]) -> None:
    tables = search(step(proxy=5000, l2dsr=5000))
    assert set(df_knees(tables)["ending"]) == {"never broken"}
    assert "proxy 1,000 connections and more (no higher level was tried)" in str(answer(tables))
    assert "no difference is shown" in str(answer(tables))
    words(tables)


def test_noise_does_not_break_the_tables(search: Callable[..., Tables]) -> None:
    chance = random.Random(5)
    tables = search(lambda case: max(1, round(case.load.concurrency * chance.gauss(1, 0.15))))
    found = df_knees(tables)
    assert set(found["ending"]) == {"found"}
    assert (found["knee_low"] > 25).all()
    assert (found["knee_high"] < 90).all()


def test_a_search_that_was_interrupted(builder: Any) -> None:
    folder = builder.searched(step(proxy=60, l2dsr=230), knee=KNEE)
    whole = folder.read_json("knee.json")
    folder.write_json("knee.json", {**whole, "tries": whole["tries"][:6]})
    tables = read_tables(folder)
    assert set(df_knees(tables)["ending"]) == {"open"}
    assert "the search did not end" in str(answer(tables))
    (folder.path / "knee.json").write_text("{")
    broken = read_tables(folder)
    assert "knee.json" in set(broken.problems["file"])
    assert df_knee(broken).empty
    assert answer(broken).sentences


def test_a_search_has_no_tables_of_planned_levels(builder: Any) -> None:
    folder = builder.searched(step(proxy=60, l2dsr=230), knee=KNEE)
    tables = read_tables(folder)
    parts = (results.throughput(tables), results.ratios(tables), results.seed_form(tables), seed.rows(folder, tables))
    assert set(parts) == {""}
    assert figure(tables, "throughput") == figure(tables, "seed-slope") == ""
    assert "Chart" in figure(tables, "knee")


def test_runs_without_a_search(tables: Tables, wrong: dict[str, Tables]) -> None:
    for each in (tables, *wrong.values()):
        assert df_knee(each).empty
        assert df_knees(each).empty
        assert df_waits_at_knee(each).empty
        assert knee.knees(each) == knee.waits_at_knee(each) == ""
        assert "No knee was searched" in words(each)
