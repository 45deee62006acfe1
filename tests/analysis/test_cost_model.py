"""Cost by size: known lines are found again, and what cannot be fitted says why."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bmtlib.analysis.compare import df_cost_by_size, df_cost_fit
from bmtlib.analysis.cost_model import COSTS, CPU, Line, costs_by_case, fit_line
from bmtlib.analysis.plots import plot_cost_by_size
from bmtlib.analysis.plots.sizes import cost_finding
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import df_trials
from bmtlib.plan import Case
from bmtlib.stats import estimate

SIZES = ["1 KiB", "64 KiB", "256 KiB", "512 KiB"]
TRUE = {"proxy": (400.0, 3.6), "l2dsr": (300.0, 0.5)}  # µs per request, µs per KiB


def cases(kib: list[float], blocks: int, noise: float, seed: int = 1) -> tuple[Any, Any, Any]:
    """Costs of 100 µs + 2 µs per KiB with noise in shares, in as many blocks."""
    sizes, block = np.tile(kib, blocks), np.repeat(np.arange(1, blocks + 1), len(kib))
    return sizes, (100 + 2 * sizes) * np.exp(np.random.default_rng(seed).normal(0, noise, len(sizes))), block


def measured(builder: Any, noise: float = 0.02) -> Any:
    chance = random.Random(7)

    def figures(case: Case) -> Any:
        fixed, per_kib = TRUE[case.kind]
        kib, requests = int(case.load.file_size) / 1024, 1000
        cpu_s = (fixed + per_kib * kib) * chance.gauss(1, noise) * requests / 1e6
        through = int(requests * (1000 + (1060 * kib if case.kind == "proxy" else 4 * kib)))
        client = int(requests * (500 + 1050 * kib))
        traffic = {"director_in": through, "director_out": through, "client_in": client}
        return replace(builder.measured(requests), director_cpu_s={"user": cpu_s}, **traffic)

    return figures


@pytest.fixture
def sweep(builder: Any) -> Tables:
    return builder.tables(measured(builder), repetitions=5, factors={"file_size": SIZES})  # type: ignore[no-any-return]


def test_known_lines_lie_within_the_intervals(sweep: Tables) -> None:
    fits = df_cost_fit(sweep).set_index(["arm", "measure"])
    for arm, (fixed, per_kib) in TRUE.items():
        row = fits.loc[(arm, CPU)]
        assert row["fixed_low"] <= fixed <= row["fixed_high"]
        assert row["per_kib_low"] <= per_kib <= row["per_kib_high"]
        assert (row["sizes"], row["n"], row["why"]) == (4, 5, "")
        assert row["miss_share"] < 0.1
    proxy = fits.loc[("proxy", "director_out_bytes")]
    assert (proxy["fixed"], proxy["per_kib"]) == (pytest.approx(1000, abs=1), pytest.approx(1060, abs=0.1))


def test_of_many_runs_nearly_all_intervals_hold_the_truth() -> None:
    held = 0
    for seed in range(60):
        line = fit_line(*cases([1, 8, 64, 512], 5, 0.05, seed))
        assert isinstance(line, Line)
        held += _within(line)
    assert held >= 52  # 95 % of 60 is 57


def _within(line: Line) -> bool:
    fixed, per_kib = estimate(line.fixed), estimate(line.per_kib)
    return fixed.low <= 100 <= fixed.high and per_kib.low <= 2 <= per_kib.high


def test_a_curve_is_told_from_a_line() -> None:
    sizes, cost, block = cases([1, 8, 64, 512], 6, 0.02)
    straight = fit_line(sizes, cost, block)
    bent = fit_line(sizes, np.where(sizes == 64, cost * 1.6, cost), block)
    assert isinstance(straight, Line)
    assert isinstance(bent, Line)
    assert straight.lack_p > 0.05
    assert (bent.lack_p < 0.001, bent.miss > 0.15, bent.miss_kib) == (True, True, 64)


def test_costs_are_never_negative() -> None:
    kib, block = np.tile([1.0, 8.0, 64.0], 3), np.repeat([1, 2, 3], 3)
    line = fit_line(kib, 10 * kib, block)  # no fixed cost at all
    falling = fit_line(kib, 100 - kib, block)  # cheaper when larger: noise
    assert isinstance(line, Line)
    assert isinstance(falling, Line)
    assert (line.fixed >= 0).all()
    assert (falling.per_kib == 0).all()


@pytest.mark.parametrize(
    ("sizes", "found"), [(["1 KiB"], "found 1"), (["1 KiB", "64 KiB"], "needs 3 file sizes, found 2")]
)
def test_too_few_sizes_say_so(builder: Any, sizes: list[str], found: str) -> None:
    tables = builder.tables(measured(builder), factors={"file_size": sizes})
    fits = df_cost_fit(tables)
    assert len(fits) == 2 * len(COSTS)
    assert all(found in why for why in fits["why"])
    assert fits[["fixed", "per_kib"]].isna().all(axis=None)
    assert df_cost_by_size(tables).empty
    assert found in " ".join(text.get_text() for text in plot_cost_by_size(tables).texts)


def test_a_block_with_too_few_sizes_is_left_out() -> None:
    sizes, cost, block = cases([1, 8, 64], 4, 0.01)
    kept = ~((block == 2) & (sizes == 8))
    line = fit_line(sizes[kept], cost[kept], block[kept])
    assert isinstance(line, Line)
    assert line.blocks == (1, 3, 4)


def test_without_a_sweep_there_is_nothing(tables: Tables, wrong: dict[str, Tables]) -> None:
    for each in (tables, *wrong.values()):
        assert df_cost_fit(each).empty
        assert df_cost_by_size(each).empty


def test_shared_cpus_have_bytes_and_no_cpu_line(builder: Any) -> None:
    shared = {"placement": {"rps": False, "separate": False}}
    tables = builder.tables(measured(builder), shared, factors={"file_size": SIZES})
    fits = df_cost_fit(tables)
    assert set(fits.loc[fits["why"] != "", "measure"]) == {CPU}
    assert "cannot be told from theirs" in fits.loc[fits["measure"] == CPU, "why"].iloc[0]


def test_what_was_cut_off_counts_half(sweep: Tables) -> None:
    usual = df_trials(sweep)[CPU].to_numpy()
    assert costs_by_case(sweep)[CPU].to_numpy() == pytest.approx(usual)
    cut = replace(sweep, cases=sweep.cases.assign(cut_off=100))
    assert costs_by_case(cut)[CPU].to_numpy() == pytest.approx(usual * 1000 / 1050)


def test_the_heading_says_what_is_decided_and_no_more(sweep: Tables, builder: Any) -> None:
    assert cost_finding(sweep).startswith("A KiB more costs the director less with l2dsr than with proxy: 3.")

    def same(case: Case) -> Any:
        kib = int(case.load.file_size) / 1024
        return builder.measured(1000, director_cpu_s={"user": (200 + kib * (1 + 0.3 * (case.index % 3))) / 1000})

    alike = builder.tables(same, repetitions=4, factors={"file_size": SIZES})
    assert "no difference shown" in cost_finding(alike)


def test_concurrencies_have_lines_of_their_own(builder: Any) -> None:
    tables = builder.tables(measured(builder), factors={"file_size": SIZES, "concurrency": [20, 40]})
    fits = df_cost_fit(tables)
    assert set(fits["concurrency"]) == {20, 40}
    assert len(fits) == 2 * 2 * len(COSTS)
    said = " ".join(text.get_text() for text in plot_cost_by_size(tables).texts)
    assert "At concurrency 40." in said.replace("\n", " ")
