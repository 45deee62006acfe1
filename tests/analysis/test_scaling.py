"""Scaling laws: known parameters are found again; flat, falling and too short curves are said to be so."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bmtlib.analysis.compare import df_scaling
from bmtlib.analysis.plots import plot_scaling
from bmtlib.analysis.scaling import Scaling, fit_law, usl
from bmtlib.analysis.tables import Tables
from bmtlib.plan import Case
from bmtlib.stats import estimate


def curve(
    contention: float, coherence: float, *, noise: float = 0.02, blocks: int = 6, seed: int = 1
) -> tuple[Any, Any, Any]:
    workers = np.tile([1.0, 2.0, 4.0, 8.0, 16.0], blocks)
    chance = np.exp(np.random.default_rng(seed).normal(0, noise, len(workers)))
    return workers, usl(workers, 1000.0, contention, coherence) * chance, np.repeat(np.arange(blocks), 5)


def fitted(law: Any, data: tuple[Any, Any, Any]) -> Scaling:
    found = fit_law(law, *data)
    assert isinstance(found, Scaling), found
    return found


def test_usl_finds_what_was_put_in() -> None:
    """95 % intervals: of 20 runs each parameter may lie outside of its own in one or two, hardly in more than four."""
    held = np.zeros(3)
    for seed in range(20):
        found = fitted("usl", curve(0.05, 0.004, seed=seed))
        for i, (values, true) in enumerate(
            ((found.one, 1000), (found.contention, 0.05), (found.coherence, 0.004)),
        ):
            interval = estimate(values)
            held[i] += interval.low <= true <= interval.high
        assert found.peak == pytest.approx(np.sqrt(0.95 / 0.004), rel=0.3)
    assert (held >= 16).all()


def test_amdahl_finds_what_was_put_in() -> None:
    found = fitted("amdahl", curve(0.1, 0.0))
    interval = estimate(found.contention)
    assert interval.low <= 0.1 <= interval.high
    assert (found.coherence == 0).all()
    assert np.isnan(found.peak)
    assert found.miss < 0.05


def test_a_flat_curve_is_all_contention() -> None:
    data = curve(1.0, 0.0, noise=0.01)
    assert np.median(fitted("amdahl", data).contention) > 0.99
    assert np.median(fitted("usl", data).coherence) < 0.001


def test_perfect_scaling_has_no_contention() -> None:
    found = fitted("usl", curve(0.0, 0.0, noise=0.01))
    assert np.median(found.contention) < 0.01
    assert np.isnan(found.peak)  # nothing shows that it ever falls


def test_a_curve_that_falls_has_a_peak_and_is_not_amdahls() -> None:
    data = curve(0.02, 0.05)
    assert fitted("usl", data).peak == pytest.approx(np.sqrt(0.98 / 0.05), rel=0.1)
    assert fitted("amdahl", data).miss > 0.2


@pytest.mark.parametrize(("law", "levels"), [("amdahl", 2), ("usl", 3), ("amdahl", 1)])
def test_too_few_levels(law: Any, levels: int) -> None:
    workers = np.tile(2.0 ** np.arange(levels), 3)
    why = fit_law(law, workers, 100 * workers, np.repeat([1, 2, 3], levels))
    assert why == f"needs {levels + 1 if levels > 1 else 3} levels, found {levels}"


def test_a_block_that_lacks_a_level_is_left_out() -> None:
    workers, rate, block = curve(0.1, 0.0, blocks=4)
    kept = ~((block == 1) & (workers == 4))
    assert len(fitted("amdahl", (workers[kept], rate[kept], block[kept])).one) == 3


def threads(builder: Any, levels: list[int], busy: float = 3.9) -> Tables:
    chance = random.Random(3)

    def figures(case: Case) -> Any:
        n = case.settings.threads if case.kind == "proxy" else 1  # type: ignore[union-attr]
        rate = 250 * n / (1 + 0.1 * (n - 1)) * chance.gauss(1, 0.02)
        return replace(builder.measured(int(4 * rate)), director_cpu_s={"user": busy})

    return builder.tables(figures, repetitions=5, factors={"threads": levels})  # type: ignore[no-any-return]


def words(tables: Tables) -> str:
    return " ".join(text.get_text() for text in plot_scaling(tables).texts).replace("\n", " ")


def test_a_run_over_threads(builder: Any) -> None:
    table = df_scaling(tables := threads(builder, [1, 2, 4, 8])).set_index("law")
    assert set(table["arm"]) == {"proxy"}
    row = table.loc["amdahl"]
    assert row["contention_low"] <= 0.1 <= row["contention_high"]
    assert (row["levels"], row["fewest"], row["most"], row["n"], row["why"]) == (4, 1, 8, 5, "")
    assert row["speedup_low"] <= 8 / 1.7 <= row["speedup_high"]
    assert "times the requests/s with 8 threads for 1" in words(tables)
    assert "not full" not in words(tables)


def test_an_idle_director_is_named(builder: Any) -> None:
    assert "its CPUs were not full" in words(threads(builder, [1, 2, 4], busy=1.0))


def test_two_levels_say_why_there_is_no_law(builder: Any) -> None:
    tables = threads(builder, [1, 2])
    assert set(df_scaling(tables)["why"]) == {"needs 3 levels, found 2", "needs 4 levels, found 2"}
    assert "proxy over threads: needs 3 levels, found 2" in words(tables)


def test_nothing_was_varied(tables: Tables) -> None:
    assert df_scaling(tables).empty
    assert "Neither threads nor queues were varied" in words(tables)
