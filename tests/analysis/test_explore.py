"""Any metric over any factor: levels are never put together, and what a run lacks is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bmtlib.analysis import explore
from bmtlib.analysis.compare import df_ratio, df_throughput
from bmtlib.analysis.explore import (
    EXPLORED,
    View,
    all_series_names,
    df_explored,
    df_explored_trials,
    first_view,
    fitted,
    left_over,
    metrics,
    series_names,
)
from bmtlib.analysis.explore_words import finding, metric_words, notes, too_much
from bmtlib.analysis.plots.explored import plot_explored
from bmtlib.analysis.tables import Tables


def words(tables: Tables, view: View) -> str:
    texts = plot_explored(tables, view).texts
    return " ".join(text.get_text() for text in texts).replace("\n", " ").replace("\u00a0", " ")


def test_the_first_view_is_the_report_s_throughput(tables: Tables) -> None:
    view = first_view(tables)
    assert view == View(metric="requests_per_s", arms=("direct", "proxy", "l2dsr"))
    ours, theirs = df_explored(tables, view), df_throughput(tables)
    assert list(ours["arm"]) == list(theirs["arm"])
    for column, other in (("requests_per_s", "requests_per_s"), ("low", "low_per_s"), ("max", "max_per_s"), ("n", "n")):
        assert list(ours[column]) == list(theirs[other])


def test_every_metric_has_its_columns_and_a_figure(tables: Tables) -> None:
    view = first_view(tables)
    assert view is not None
    assert "requests_per_s" in metrics(tables)
    assert "director_cpu_us_per_request" in metrics(tables)
    for metric in metrics(tables):
        table = df_explored(tables, replace(view, metric=metric))
        assert list(table.columns) == ["arm", "kind", "engine", metric, "low", "high", "min", "max", "n"]
        assert metric_words(metric)[0].upper() + metric_words(metric)[1:] in words(tables, replace(view, metric=metric))
        if EXPLORED[metric].kind == "count":
            assert table["low"].isna().all()


def test_single_cases_are_those_of_the_run(tables: Tables) -> None:
    view = View(metric="requests_per_s", arms=("proxy",), trials=True)
    table = df_explored(tables, view)
    assert list(table["case"]) == ["b1-proxy", "b2-proxy", "b3-proxy"]
    assert list(table["requests_per_s"]) == [101.0, 102.0, 103.0]


def test_levels_are_never_put_together(sizes: Tables) -> None:
    view = first_view(sizes)
    assert view is not None
    assert view.x == "file_size_bytes"
    assert left_over(sizes, view) == ["threads"]
    for x, split in (("file_size_bytes", ""), ("threads", "file_size_bytes"), ("arm", ""), ("arm", "threads")):
        found = replace(view, x=x, split=split, held={})
        table, trials = df_explored(sizes, found), df_explored_trials(sizes, found)
        assert (table["n"] == 3).all()
        places = [column for column in (x, split) if column and column != "arm"]
        for part in (table, trials):
            own = part.assign(series=series_names(sizes, found, part)).groupby(["series", *places], dropna=False)
            assert (own["arm"].count() == (1 if part is table else 3)).all()


def test_a_held_factor_leaves_arms_without_it(sizes: Tables) -> None:
    view = View(metric="requests_per_s", arms=("proxy", "l2dsr"), x="file_size_bytes", held={"threads": 2})
    table = df_explored(sizes, view)
    assert set(table.loc[table["arm"] == "proxy", "threads"]) == {2}
    assert table.loc[table["arm"] == "l2dsr", "threads"].isna().all()
    assert series_names(sizes, view, table) == ["proxy"] * 2 + ["l2dsr"] * 2
    assert "Held at 2 threads." in words(sizes, view)


def test_a_factor_along_x_is_not_held(sizes: Tables) -> None:
    view = View(metric="requests_per_s", arms=("proxy",), x="threads", held={"threads": 2, "file_size_bytes": 1024})
    assert sorted(set(df_explored(sizes, view)["threads"])) == [1, 2]
    assert set(df_explored(sizes, view)["file_size_bytes"]) == {1024}


def test_an_arm_without_the_factor_goes_across_and_is_in_every_panel(sizes: Tables) -> None:
    view = View(metric="requests_per_s", arms=("proxy", "l2dsr"), x="threads", held={"file_size_bytes": 1024})
    assert "Dotted across: an arm without this factor." in words(sizes, view)
    split = View(metric="requests_per_s", arms=("proxy", "l2dsr"), x="file_size_bytes", split="threads")
    panels = plot_explored(sizes, split).axes
    assert [axes.get_title(loc="left") for axes in panels] == ["1 thread", "2 threads"]
    assert all(any(text.get_text() == "l2dsr" for text in axes.texts) for axes in panels)


def test_a_view_keeps_what_another_run_has_too(tables: Tables, sizes: Tables) -> None:
    view = View(
        metric="wait_p99_ms",
        arms=("l2dsr", "gone"),
        x="threads",
        split="file_size_bytes",
        held={"threads": 2},
        log=True,
    )
    kept = fitted(sizes, view)
    assert kept == replace(view, arms=("l2dsr",))
    other = fitted(tables, view)
    assert other == View(metric="wait_p99_ms", arms=("l2dsr",), log=True)
    assert fitted(tables, replace(view, metric="nothing", arms=()))
    assert fitted(sizes, replace(view, split="threads")).split == ""  # type: ignore[union-attr]


def test_levels_stand_in_the_scenario_s_order(levers: Tables) -> None:
    assert explore.levels(levers, "lever") == ["free", "clogged"]


def test_colours_stay_while_arms_come_and_go(sizes: Tables) -> None:
    view = View(metric="requests_per_s", arms=("proxy", "l2dsr"), x="file_size_bytes")
    assert all_series_names(sizes, view) == all_series_names(sizes, replace(view, arms=("l2dsr",)))


def test_the_heading_says_what_is_shown_and_not_more(tables: Tables, sizes: Tables) -> None:
    two = View(metric="requests_per_s", arms=("proxy", "l2dsr"))
    assert finding(tables, two) == "Requests/s: l2dsr is above proxy"
    assert set(df_ratio(tables).query("measure == 'requests_per_s'")["verdict"]) == {"higher"}
    assert finding(tables, replace(two, metric="wait_p99_ms")).endswith("are not shown to differ")
    assert finding(tables, first_view(tables)) == "Requests/s by arm"  # type: ignore[arg-type]
    over = View(metric="requests_per_s", arms=("proxy", "l2dsr"), x="file_size_bytes", held={"threads": 1})
    assert finding(sizes, over) == "Requests/s: l2dsr is above proxy at all 2 places"
    assert finding(sizes, replace(over, x="threads", held={"file_size_bytes": 1024})) == "Requests/s by threads"


def test_too_much_is_said_instead_of_drawn(sizes: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    view = View(metric="requests_per_s", arms=("direct", "proxy", "l2dsr"), x="file_size_bytes")
    assert too_much(sizes, view) == ""
    monkeypatch.setattr("bmtlib.analysis.explore_words.MOST_SERIES", 3)
    assert "4 series are more than a figure can show (3)" in words(sizes, view)
    monkeypatch.setattr("bmtlib.analysis.explore_words.MOST_PANELS", 1)
    assert "panels" in too_much(sizes, replace(view, arms=("l2dsr", "proxy"), split="threads"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("one arm", "Only the arm proxy was measured"),
        ("all failed", "No case of this run is done, so there is nothing to show (2 planned). The first reason: no"),
        ("not run", "No case of this run is done"),
        ("no requests", ""),
        ("no probes", ""),
        ("one block, shared CPUs", ""),
    ],
)
def test_runs_that_went_wrong(wrong: dict[str, Tables], name: str, said: str) -> None:
    tables = wrong[name]
    view = first_view(tables)
    assert said in " ".join(notes(tables, view))
    if view is not None:
        assert not plot_explored(tables, view).get_layout_engine() or df_explored(tables, view).empty or view.x == "arm"
        for trials in (False, True):
            assert words(tables, replace(view, trials=trials, log=True))
    else:
        assert name in ("all failed", "not run")


def test_a_run_that_is_not_whole(builder) -> None:  # type: ignore[no-untyped-def]
    half = builder.tables(lambda case: builder.usual(case) if case.block == 1 else None, {"status": "interrupted"})
    assert notes(half, first_view(half))[0] == (
        "The run is not whole (status: interrupted): 2 of 6 planned cases are done."
    )


def test_marks_of_guards_are_with_their_cases(builder) -> None:  # type: ignore[no-untyped-def]
    mark = {"name": "skew", "verdict": "mark", "value": 1.0, "limit": 0.5, "text": "late", "evidence": {}, "spoils": []}
    marked = builder.tables(lambda case: replace(builder.usual(case), guards=(mark,) if case.block == 1 else ()))
    view = first_view(marked)
    assert "2 of the 6 cases shown carry a mark of a guard: single cases name it." in notes(marked, view)
    assert view is not None
    table = df_explored(marked, replace(view, trials=True))
    assert list(table.loc[table["block"] == 1, "marks"]) == ["skew", "skew"]


def test_a_mark_that_spoils_the_metric_leaves_the_heading_undecided(builder) -> None:  # type: ignore[no-untyped-def]
    """The same as in `df_ratio`: what clients and web hosts limit is not the arm's."""
    mark = {"name": "cpu", "verdict": "mark", "value": 1, "limit": 0.9, "text": "full", "spoils": ["requests_per_s"]}
    marked = builder.tables(
        lambda case: replace(builder.usual(case), guards=(mark,) if case.arm == "proxy" else ()), repetitions=5
    )
    view = View(metric="requests_per_s", arms=("proxy", "l2dsr"))
    assert set(df_ratio(marked).query("measure == 'requests_per_s'")["verdict"]) == {"undecided"}
    assert finding(marked, view) == "Requests/s: proxy and l2dsr are not shown to differ"
    said = " ".join(notes(marked, view))
    assert "not that of the arms alone: 5 of 10 used cases marked by cpu, which spoils the measure." in said
    assert "above" in finding(marked, replace(view, metric="director_bytes_per_request"))


def test_zeros_have_no_place_on_a_logarithmic_scale(tables: Tables) -> None:
    view = View(metric="drops_backlog", arms=("proxy",), log=True)
    assert "A logarithmic scale has no place for 0: such cases are in the table only." in notes(tables, view)
    assert words(tables, view)


def test_intervals_are_worked_out_once(sizes: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes a change of the view quick with hundreds of cases."""
    view = View(metric="wait_mean_ms", arms=("proxy", "l2dsr"), x="file_size_bytes")
    first = df_explored(sizes, view)
    monkeypatch.setattr(explore, "estimate", None)
    monkeypatch.setattr(explore, "df_metrics", None)
    again = df_explored(sizes, replace(view, x="threads", log=True))
    assert len(again) == len(first)
    pd.testing.assert_frame_equal(df_explored(sizes, view), first)
    assert np.isfinite(first["low"]).all()
