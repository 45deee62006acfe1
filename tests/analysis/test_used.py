"""What is left out of comparisons: it is counted, named, and from a share on it leaves them undecided."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bmtlib.analysis.answer import answer
from bmtlib.analysis.claims import df_claims
from bmtlib.analysis.compare import df_ratio, df_settings, df_used
from bmtlib.plan import Case

REJECT = {"name": "overlap", "verdict": "reject", "value": 0.5, "limit": 0.2, "text": "50 % of the window"}
BY = "measured cases rejected by the guard overlap"
CLAIM = {
    "text": "Twice.",
    "metric": "requests_per_s",
    "of": {"arm": "l2dsr"},
    "over": {"arm": "proxy"},
    "is": "above",
    "limit": 1.5,
}


def spoilt(builder: Any, blocks: int, of: int, **fields: Any) -> Any:
    """Tables of a run in which the first so many blocks of l2dsr were rejected."""

    def figures(case: Case) -> Any:
        found = builder.usual(case)
        if case.arm == "l2dsr" and case.block <= blocks:
            return replace(found, status="rejected", guards=(REJECT,))
        return found

    return builder.tables(figures, repetitions=of, claims=[CLAIM], **fields)


def test_few_are_said_and_do_not_hinder(builder: Any) -> None:
    tables = spoilt(builder, 2, of=8)
    row = df_used(tables).set_index("arm").loc["l2dsr"]
    assert (row["planned"], row["measured"], row["used"], row["left_out"]) == (8, 8, 6, 2)
    assert row["decides"]
    assert row["why"] == "2 of 8 measured cases rejected by the guard overlap"
    assert set(df_ratio(tables).query("measure == 'requests_per_s'")["verdict"]) == {"higher"}
    claim = df_claims(tables).iloc[0]
    assert claim["verdict"] == "supported"
    assert claim["evidence"].endswith("; left out: l2dsr: 2 of 8 measured cases rejected by the guard overlap.")
    assert "l2dsr: 2 of 8 measured cases rejected by the guard overlap; the others are used." in str(answer(tables))


def test_many_leave_the_comparison_undecided_with_the_reason(builder: Any) -> None:
    tables = spoilt(builder, 3, of=8)
    ratio = df_ratio(tables).set_index("measure").loc["requests_per_s"]
    assert ratio["low"] > 1
    assert (ratio["verdict"], ratio["why"]) == (
        "undecided",
        "l2dsr: 3 of 8 measured cases rejected by the guard overlap",
    )
    claim = df_claims(tables).iloc[0]
    assert claim["verdict"] == "undecided"
    assert f"too many cases are left out (l2dsr: 3 of 8 {BY})" in claim["evidence"]
    found = answer(tables)
    assert found.verdict == "undecided"
    assert "undecided, l2dsr: 3 of 8 measured cases rejected by the guard overlap." in str(found)


def test_an_arm_without_a_case_left_is_named(builder: Any) -> None:
    tables = spoilt(builder, 3, of=3)
    row = df_used(tables).set_index("arm").loc["l2dsr"]
    assert (row["used"], row["left_out"], row["decides"]) == (0, 3, False)
    assert f"l2dsr: 3 of 3 {BY}: comparisons with it are undecided." in str(answer(tables))


def test_failed_cases_count_and_cases_that_were_not_run_do_not(builder: Any) -> None:
    def figures(case: Case) -> Any:
        if case.block == 4:
            return None
        bad = case.arm == "proxy" and case.block == 1
        return replace(builder.usual(case), status="failed", error="ab died") if bad else builder.usual(case)

    tables = builder.tables(figures, repetitions=4)
    rows = df_used(tables).set_index("arm")
    assert (rows.loc["proxy", "measured"], rows.loc["proxy", "not_measured"]) == (3, 1)
    assert rows.loc["proxy", "why"] == "1 of 3 measured cases failed"
    assert not rows.loc["proxy", "decides"]
    assert (rows.loc["l2dsr", "left_out"], rows.loc["l2dsr", "why"]) == (0, "")


def test_each_choice_of_levels_is_judged_by_itself(builder: Any) -> None:
    def figures(case: Case) -> Any:
        bad = case.arm == "l2dsr" and case.load.concurrency == 40 and case.block < 3
        return replace(builder.usual(case), **({"status": "rejected", "guards": (REJECT,)} if bad else {}))

    tables = builder.tables(figures, repetitions=5, factors={"concurrency": [20, 40]})
    assert list(df_used(tables).set_index("arm").loc["l2dsr", "decides"]) == [True, False]
    rates = df_ratio(tables).query("measure == 'requests_per_s'").set_index("concurrency")
    assert list(rates["verdict"]) == ["higher", "undecided"]


@pytest.mark.parametrize(("bad", "verdict"), [(2, "higher"), (3, "undecided")])
def test_settings_of_which_too_many_blocks_are_left_out_are_undecided(builder: Any, bad: int, verdict: str) -> None:
    def figures(case: Case) -> Any:
        two = case.levels.get("threads") == 2
        found = builder.measured((800 if two else 400) + case.block)
        return replace(found, status="rejected" if two and case.block <= bad else "done")

    table = df_settings(builder.tables(figures, repetitions=8, factors={"threads": [1, 2]}))
    assert list(table.query("measure == 'requests_per_s' and threads == 2")["verdict"]) == [verdict]


def mark(name: str = "cpu", *spoils: str) -> dict[str, Any]:
    text = "the busiest CPU of clients was busy 99% of the time"
    return {"name": name, "verdict": "mark", "value": 1, "limit": 0.9, "text": text, "spoils": list(spoils)}


def marked(builder: Any, by: dict[str, Any], blocks: dict[str, int], of: int = 8, **fields: Any) -> Any:
    """Tables of a run in which the first so many blocks of each arm have a mark. l2dsr has twice proxy's requests/s."""

    def figures(case: Case) -> Any:
        return replace(builder.usual(case), guards=(by,) if case.block <= blocks.get(case.arm, 0) else ())

    return builder.tables(figures, repetitions=of, claims=[CLAIM], **fields)


CPU = mark("cpu", "requests_per_s", "waits")
BY_CPU = "8 used cases marked by cpu, which spoils the measure"


def rates(tables: Any) -> Any:
    return df_ratio(tables).set_index("measure").loc["requests_per_s"]


@pytest.mark.parametrize(
    ("blocks", "verdict"),
    [
        ({"proxy": 2}, "higher"),
        ({"proxy": 3}, "undecided"),  # it may be as good as the other
        ({"l2dsr": 8}, "higher"),  # without the marks it would be even more
        ({"l2dsr": 8, "proxy": 2}, "higher"),
        ({"l2dsr": 3, "proxy": 3}, "undecided"),
        ({"direct": 8}, "higher"),  # has no part in it
    ],
)
def test_marks_leave_what_they_may_have_made_undecided(builder: Any, blocks: dict[str, int], verdict: str) -> None:
    tables = marked(builder, CPU, blocks)
    row = rates(tables)
    assert row["verdict"] == verdict
    claim = df_claims(tables).iloc[0]
    assert claim["verdict"] == ("supported" if verdict == "higher" else "undecided")
    if verdict == "undecided":
        assert f"proxy: 3 of {BY_CPU}" in row["why"]
        assert f"proxy: 3 of {BY_CPU}." in claim["evidence"]
        assert "undecided, " in str(answer(tables))
    elif "l2dsr" in blocks:
        assert row["marked"] == f"l2dsr: 8 of {BY_CPU}"
        assert "without it the verdict would only be plainer" in claim["evidence"]
        assert f"higher, and without marks more so (l2dsr: 8 of {BY_CPU})" in str(answer(tables))
    else:
        assert (row["why"], row["marked"]) == ("", "")


def test_a_mark_spoils_its_own_measures_only(builder: Any) -> None:
    waits = df_ratio(marked(builder, mark("lateness", "waits"), {"proxy": 8})).set_index("measure")
    assert waits.loc["requests_per_s", "verdict"] == "higher"
    assert waits.loc["requests_per_s", "marked"] == ""
    nothing = df_ratio(marked(builder, mark("vcpus"), {"proxy": 8, "l2dsr": 8})).set_index("measure")
    assert nothing.loc["requests_per_s", "verdict"] == "higher"


def test_waits_and_costs_look_too_long_and_too_dear(builder: Any) -> None:
    """The other way round than requests/s: l2dsr is the cheaper, and a hot CPU makes it dearer than it is."""
    hot = mark("thermal", "requests_per_s", "waits", "director_cpu_us")
    for blocks, verdict in (({"l2dsr": 8}, "lower"), ({"proxy": 8}, "undecided")):
        table = df_ratio(marked(builder, hot, blocks)).set_index("measure")
        assert table.loc["director_cpu_us", "verdict"] == verdict


@pytest.mark.parametrize("arm", ["proxy", "l2dsr"])
@pytest.mark.parametrize("name", ["clock", "send-rate"])
def test_what_may_be_wrong_either_way_leaves_nothing_decided(builder: Any, name: str, arm: str) -> None:
    assert rates(marked(builder, mark(name, "requests_per_s", "waits"), {arm: 8}))["verdict"] == "undecided"


def test_a_rejected_case_has_no_marks_to_count(builder: Any) -> None:
    def figures(case: Case) -> Any:
        bad = case.arm == "proxy" and case.block == 1
        return replace(builder.usual(case), **({"status": "rejected", "guards": (REJECT, CPU)} if bad else {}))

    assert rates(builder.tables(figures, repetitions=4))["verdict"] == "higher"


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        ({"is": "above", "limit": 1.5}, "supported"),
        ({"is": "above", "limit": 2.5}, "undecided"),  # it may be above
        ({"is": "below", "limit": 2.5}, "undecided"),
        ({"is": "below", "limit": 1.5}, "not supported"),
        ({"is": "within", "limit": 2, "margin": 0.1}, "undecided"),
        ({"is": "within", "limit": 1, "margin": 0.1}, "not supported"),  # and would be even farther away
        ({"is": "within", "limit": 3, "margin": 0.1}, "undecided"),
        ({"is": "above", "limit": 1, "over": None}, "supported"),
        ({"is": "below", "limit": 1, "over": None}, "not supported"),
        ({"is": "above", "limit": 0, "over": None, "metric": "spread_requests_per_s"}, "undecided"),
        ({"is": "below", "limit": 0.5, "over": None, "metric": "failed_share"}, "supported"),
    ],
)
def test_claims_on_an_arm_that_looks_worse_than_it_is(builder: Any, claim: dict[str, Any], verdict: str) -> None:
    fields = {**CLAIM, **claim}

    def figures(case: Case) -> Any:
        return replace(builder.usual(case), guards=(CPU,) if case.arm == "l2dsr" else ())

    found = df_claims(builder.tables(figures, repetitions=8, claims=[fields])).iloc[0]
    assert found["verdict"] == verdict
    assert ("marked by cpu" in found["evidence"]) == (fields["metric"] != "failed_share")


@pytest.mark.parametrize(("threads", "verdict"), [(1, "undecided"), (2, "higher")])
def test_settings_obey_marks(builder: Any, threads: int, verdict: str) -> None:
    def figures(case: Case) -> Any:
        two = case.levels.get("threads") == 2
        found = builder.measured((800 if two else 400) + case.block)
        return replace(found, guards=(CPU,) if case.levels.get("threads") == threads else ())

    table = df_settings(builder.tables(figures, repetitions=8, factors={"threads": [1, 2]}))
    assert list(table.query("measure == 'requests_per_s' and threads == 2")["verdict"]) == [verdict]


@pytest.mark.parametrize(
    ("limit", "margin", "verdict"),
    [(2, 0.1, "supported"), (1, 0.5, "not supported"), (2, 0.001, "undecided"), (1.9, 0.09, "undecided")],
)
def test_no_difference_can_be_supported(builder: Any, limit: float, margin: float, verdict: str) -> None:
    claim = {**CLAIM, "is": "within", "limit": limit, "margin": margin}
    found = df_claims(builder.tables(claims=[claim])).iloc[0]
    assert found["verdict"] == verdict
    assert found["margin"] == margin


def test_counts_within_a_margin(builder: Any) -> None:
    def figures(case: Case) -> Any:
        return replace(builder.usual(case), softnet_dropped=case.block)

    near = {"text": "A few.", "metric": "drops_backlog", "of": {"arm": "proxy"}, "is": "within", "limit": 2}
    claims = [{**near, "margin": 1.5}, {**near, "limit": 9, "margin": 1.5}, {**near, "margin": 0.5}]
    found = df_claims(builder.tables(figures, claims=claims))
    assert list(found["verdict"]) == ["supported", "not supported", "undecided"]
