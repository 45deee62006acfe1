"""Drift of the machine over a run: seen when it is there, not when it is not, and told in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bmtlib.analysis.answer import answer
from bmtlib.analysis.compare import df_drift, df_drift_trials
from bmtlib.analysis.drift import drift_sentence, strong_drift
from bmtlib.analysis.plots import plot_drift
from bmtlib.analysis.tables import Tables
from bmtlib.plan import Case

ARMS = {"direct": None, "proxy": None}


def drifting(builder: Any, per_block: float, *, repetitions: int = 6, every_s: float = 60, **fields: Any) -> Tables:
    """Every arm gets faster by the share `per_block` from block to block; a case a minute."""

    def figures(case: Case) -> Any:
        base = 2000 if case.kind == "direct" else 1000
        wobble = 1 + 0.004 * ((case.block * 7) % 3 - 1)
        return replace(
            builder.measured(round(base * wobble * (1 + per_block) ** case.block)), later_s=every_s * case.index
        )

    return builder.tables(figures, arms=ARMS, repetitions=repetitions, **fields)


def test_a_strong_drift_is_measured_and_marks_the_answer(builder: Any) -> None:
    tables = drifting(builder, -0.05)
    row = df_drift(tables).set_index("kind").loc["direct"]
    assert row["direction"] == "falling"
    assert row["over_run"] == pytest.approx(0.95**5 - 1, abs=0.03)
    assert row["low_over_run"] < row["over_run"] < row["high_over_run"] < 0
    assert row[["per_hour"]].isna().all()  # a run of twelve minutes is not spoken of by the hour
    assert strong_drift(tables)
    assert "There is a strong drift: requests/s of direct changed by -2" in str(answer(tables))
    assert "Ratios are taken within blocks" in drift_sentence(tables)
    assert plot_drift(tables).texts[0].get_text().startswith("A strong drift over the run: requests/s of direct")


def test_a_long_run_is_told_by_the_hour(builder: Any) -> None:
    tables = drifting(builder, 0.02, every_s=600)
    row = df_drift(tables).set_index("kind").loc["direct"]
    assert (1 + row["per_hour"]) ** row["hours"] == pytest.approx(1 + row["over_run"])
    assert " per hour, more than chance" in drift_sentence(tables)


def test_no_drift(builder: Any) -> None:
    tables = drifting(builder, 0)
    assert set(df_drift(tables)["direction"]) == {"none shown"}
    assert "within the noise of its blocks" in drift_sentence(tables)
    assert not strong_drift(tables)
    assert "drift" not in str(answer(tables))


def test_few_blocks_do_not_tell(builder: Any) -> None:
    tables = drifting(builder, -0.2, repetitions=3)
    assert set(df_drift(tables)["direction"]) == {"too few"}
    assert df_drift(tables)["over_run"].isna().all()
    assert drift_sentence(tables).startswith("Too few cases")


def test_levels_are_not_compared_with_each_other(builder: Any) -> None:
    """Three blocks of four levels give what twelve blocks of one would not: pairs of equal levels only."""
    factors = {"concurrency": [20, 40, 60, 80]}
    assert set(df_drift(drifting(builder, -0.05, repetitions=3, factors=factors))["direction"]) == {"falling"}
    trials = df_drift_trials(drifting(builder, 0, repetitions=3, factors=factors))
    assert trials.groupby("levels")["relative"].median().eq(1).all()


def test_a_case_without_an_answer_is_no_rate(builder: Any) -> None:
    tables = builder.tables(lambda case: builder.measured(0 if case.block == 1 else 400), arms=ARMS, repetitions=7)
    assert set(df_drift(tables)["n"]) == {6}
