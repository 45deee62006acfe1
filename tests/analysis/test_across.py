"""Several runs side by side: what is compared with what, and what the figures say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from bmtlib.analysis.across import df_ratios_of_runs, df_runs, letters, run_names, unmatched
from bmtlib.analysis.compare import MEASURES, df_ratio, df_throughput
from bmtlib.analysis.plots.runs import plot_runs, runs_finding
from bmtlib.analysis.tables import Tables
from bmtlib.stats import unpaired_ratio


def row(table: pd.DataFrame, **wish: Any) -> pd.Series:
    for name, value in wish.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def slower(builder: Any) -> Any:
    """As `usual`, but l2dsr answers a quarter less."""

    def figures(case: Any) -> Any:
        found = builder.usual(case)
        keep = 3 if case.kind == "l2dsr" else 4
        return replace(found, waits_ms=tuple(waits[: len(waits) * keep // 4] for waits in found.waits_ms))

    return figures


@pytest.fixture
def two(builder: Any) -> list[Tables]:
    return [builder.tables(run={"id": "before"}), builder.tables(slower(builder), {"id": "after"})]


def test_each_run_has_its_own_median_and_interval(two: list[Tables]) -> None:
    table = df_runs(two)
    for name, tables in zip(("before", "after"), two, strict=True):
        for arm in ("proxy", "l2dsr"):
            mine = row(table, measure="requests_per_s", arm=arm, run=name)
            own = row(df_throughput(tables), arm=arm)
            figures = [own["requests_per_s"], own["low_per_s"], own["high_per_s"], own["n"]]
            assert list(mine[["value", "low", "high", "n"]]) == figures


def test_runs_are_compared_without_pairs(two: list[Tables]) -> None:
    table = df_runs(two)
    found = row(table, measure="requests_per_s", arm="l2dsr", run="after")
    blocks = [tables.cases[tables.cases["arm"] == "l2dsr"]["requests_per_s"].to_numpy() for tables in two]
    expected = unpaired_ratio(blocks[1], blocks[0])
    assert list(found[["ratio", "ratio_low", "ratio_high"]]) == [expected.median, expected.low, expected.high]
    assert found["ratio"] == pytest.approx(0.75, abs=0.01)
    assert (found["against"], found["verdict"]) == ("before", "lower")
    same = row(table, measure="requests_per_s", arm="proxy", run="after")
    assert (same["ratio"], same["verdict"], same["why"]) == (1.0, "undecided", "the interval holds 1")
    first = row(table, measure="requests_per_s", arm="l2dsr", run="before")
    assert pd.isna(first["ratio"])
    assert (first["verdict"], pd.isna(first["against"])) == ("", True)


def test_the_ratio_of_arms_is_compared_too(two: list[Tables]) -> None:
    table = df_ratios_of_runs(two)
    before, after = (row(table, measure="requests_per_s", run=name) for name in ("before", "after"))
    for found, tables in ((before, two[0]), (after, two[1])):
        own = row(df_ratio(tables), measure="requests_per_s")
        assert list(found[["value", "low", "high", "n"]]) == list(own[["ratio", "low", "high", "n"]])
    assert (after["verdict"], before["verdict"]) == ("lower", "")
    assert runs_finding(two).startswith("l2dsr / proxy in requests/s changed from run to run: 1.98, then 1.49")
    assert "no change is shown" in runs_finding([two[0], two[0]], "director_bytes")


def test_too_few_blocks_tell_no_change(builder: Any, two: list[Tables]) -> None:
    once = builder.tables(run={"id": "once"}, repetitions=1)
    assert (
        runs_finding([two[0], once]) == "l2dsr / proxy in requests/s: 1.98, then 1.99; too few blocks to tell a change"
    )


def test_levels_are_matched_also_where_one_run_does_not_vary_them(builder: Any) -> None:
    sizes = builder.tables(run={"id": "sizes"}, factors={"file_size": ["1 KiB", "5 KiB"]})
    one = builder.tables(run={"id": "one"})  # 5 KiB, as every load that does not say
    table = df_runs([sizes, one])
    assert set(table["file_size_bytes"]) == {5120}
    assert set(table["run"]) == {"sizes", "one"}
    left = unmatched([sizes, one])
    assert list(zip(left["arm"], left["file_size_bytes"], left["run"], strict=True)) == [
        ("proxy", 1024, "sizes"),
        ("l2dsr", 1024, "sizes"),
    ]
    assert set(df_ratios_of_runs([sizes, one])["file_size_bytes"]) == {5120}


def test_a_third_run_may_lack_an_arm(two: list[Tables], builder: Any) -> None:
    third = builder.tables(run={"id": "third"}, arms={"proxy": None})
    table = df_runs([*two, third])
    rates = table[table["measure"] == "requests_per_s"]
    assert list(rates["run"]) == ["before", "after", "third", "before", "after"]
    assert set(df_ratios_of_runs([*two, third])["run"]) == {"before", "after"}
    plot_runs([*two, third])


def test_too_many_left_out_decide_nothing(builder: Any) -> None:
    def half(case: Any) -> Any:
        found = builder.usual(case)
        return replace(found, status="failed", error="no") if case.block > 3 and case.arm == "proxy" else found

    runs = [builder.tables(run={"id": name}, repetitions=6) for name in "ab"]
    runs.append(builder.tables(half, {"id": "c"}, repetitions=6))
    found = row(df_runs(runs), measure="requests_per_s", arm="proxy", run="c")
    assert (found["n"], found["verdict"]) == (3, "undecided")
    assert found["why"] == "c: 3 of 6 measured cases failed"


def test_runs_that_went_wrong_do_not_raise(wrong: dict[str, Tables], tables: Tables) -> None:
    for other in wrong.values():
        for runs in ([tables, other], [other, tables], [other, other]):
            assert set(df_runs(runs)["measure"]) <= set(MEASURES)
            df_ratios_of_runs(runs)
            unmatched(runs)
            for measure in MEASURES:
                plot_runs(runs, measure)


def test_runs_of_one_name_are_told_apart(tables: Tables) -> None:
    assert run_names([tables, tables])[1].endswith(" (2)")
    assert letters([tables] * 27)[-2:] == ["Z", "R27"]
