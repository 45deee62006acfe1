"""Intervals and verdicts: known sets, and what the interval promises."""

from __future__ import annotations

import numpy as np
import pytest

from bmtlib.stats import (
    bootstrap_interval,
    estimate,
    paired_effect,
    paired_ratio,
    student_interval,
    trend,
    unpaired_ratio,
    verdict,
)


def test_the_median_lies_in_its_interval_and_the_interval_holds_the_bootstrap() -> None:
    generator = np.random.default_rng(5)
    for n in range(3, 12):
        values = generator.lognormal(5, 0.3, n)
        found = estimate(values)
        assert found.min <= found.median <= found.max
        assert found.low <= found.median <= found.high
        low, high = bootstrap_interval(values)
        assert found.low <= low
        assert found.high >= high


def test_student_against_a_table() -> None:
    # t(0.975, 2 degrees of freedom) = 4.302653; the mean of logarithms of 1, e, e^2 is 1 with standard deviation 1.
    low, high = student_interval(np.exp(np.array([0.0, 1.0, 2.0])))
    assert np.log([low, high]) == pytest.approx([1 - 4.302653 / np.sqrt(3), 1 + 4.302653 / np.sqrt(3)], rel=1e-6)


def test_the_bootstrap_of_three_is_their_range() -> None:
    assert bootstrap_interval(np.array([1.0, 2.0, 10.0])) == (1.0, 10.0)


def test_the_same_values_give_the_same_interval() -> None:
    values = [3.0, 1.0, 4.0, 1.5, 9.0]
    assert estimate(values) == estimate(values)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_fewer_than_three_blocks_have_no_interval_and_decide_nothing(n: int) -> None:
    found = paired_ratio([10.0] * n, [1.0] * n)
    assert found.n == n
    assert np.isnan(found.low)
    assert np.isnan(found.high)
    assert verdict(found) == "undecided"


def test_pairs_that_lack_a_side_are_left_out() -> None:
    found = paired_ratio([1.0, np.nan, 3.0, 4.0, 5.0], [2.0, 2.0, 6.0, 0.0, 10.0])
    assert (found.n, found.median) == (3, 0.5)


def test_zeros_are_values() -> None:
    found = estimate([0.0, 0.0, 3.0])
    assert (found.median, found.low, found.n) == (0.0, 0.0, 3)


def test_verdicts() -> None:
    assert verdict(paired_ratio([20, 21, 22], [10, 10, 10])) == "higher"
    assert verdict(paired_ratio([10, 11, 12], [40, 40, 40])) == "lower"
    assert verdict(paired_ratio([9, 10, 11], [10, 10, 10])) == "undecided"
    assert verdict(paired_ratio([1, 1, 1], [1, 1, 1])) == "undecided"


def test_arms_that_do_not_differ_are_told_apart_in_one_run_of_twenty_at_most() -> None:
    generator = np.random.default_rng(7)
    wrong = sum(verdict(paired_ratio(*np.exp(generator.normal(0, 0.05, (2, 3))))) != "undecided" for _ in range(300))
    assert wrong / 300 < 0.1  # 5 %, and what 300 draws allow; the bootstrap alone would be at 25 %


@pytest.mark.parametrize("n", [3, 5, 8, 12])
def test_the_interval_of_a_ratio_holds_the_true_one_in_19_of_20_runs(n: int) -> None:
    """Of blocks with a common ups and downs, and outliers: both arms slow in a block, one arm slow by chance."""
    generator = np.random.default_rng(11 + n)
    runs, held = 400, 0
    for _ in range(runs):
        machine = generator.normal(0, 0.2, n)
        one, other = machine + generator.normal(0, 0.05, (2, n))
        one -= np.where(generator.random(n) < 0.05, 0.3, 0)
        found = paired_ratio(1.1 * np.exp(one), np.exp(other))
        held += found.low <= 1.1 <= found.high
    # The outliers pull on t, but they widen it as well. 400 draws of 95 % lie above 92 % in all but one case of 1000.
    assert held / runs > 0.92


def test_a_tenth_is_found_where_blocks_scatter_as_in_a_quiet_lab() -> None:
    """Power: eight blocks of 3 % scatter on each side find 10 % nearly always; of 15 % they rarely can."""
    generator = np.random.default_rng(12)

    def found(scatter: float) -> float:
        noise = np.exp(generator.normal(0, scatter, (200, 2, 8)))
        return float(np.mean([verdict(paired_ratio(0.9 * b, a)) == "lower" for a, b in noise]))

    assert found(0.03) > 0.97
    assert found(0.15) < 0.5


def test_stopping_when_the_interval_is_narrow_does_not_make_differences() -> None:
    """The rule of `repetitions: {until: {ratio_interval}}`: look after each block from the fifth on, stop when narrow.

    What is looked at is the width, never the verdict, so arms that do not differ stay undecided nearly as often.
    """
    generator = np.random.default_rng(13)
    runs, wrong, early = 200, 0, 0
    for _ in range(runs):
        a, b = np.exp(generator.normal(0, 0.03, (2, 20)))
        for n in range(5, 21):
            found = paired_ratio(a[:n], b[:n])
            if found.high / found.low - 1 < 0.05:
                break
        early += n < 20
        wrong += verdict(found) != "undecided"
    assert early > runs / 4  # the rule was at work
    assert wrong / runs < 0.11  # 5 % of a fixed number, somewhat more when narrow by luck


def test_effect_by_its_definition() -> None:
    # Hedges' correction of four degrees of freedom is 0.7979; the ends are those of scipy's noncentral t.
    logs = np.array([-1.0, 0.0, 0.5, 1.0, 2.0]) / np.std([-1.0, 0.0, 0.5, 1.0, 2.0], ddof=1)
    found = paired_effect(np.exp(logs), np.ones(5))
    assert found.size == pytest.approx(0.797885 * logs.mean(), rel=1e-5)
    from scipy.stats import nct

    t = np.sqrt(5) * logs.mean()
    for end, share in ((found.low, 0.975), (found.high, 0.025)):
        assert nct.cdf(t, 4, np.sqrt(5) * end / 0.797885) == pytest.approx(share, abs=1e-4)
    assert (found.higher_in, found.n) == (3, 5)


def test_effect_turns_its_sign_with_the_sides_and_needs_scatter() -> None:
    one, other = np.array([10.0, 12.0, 11.0, 14.0]), np.array([9.0, 12.5, 10.0, 10.0])
    here, there = paired_effect(one, other), paired_effect(other, one)
    assert (there.size, there.low, there.high) == pytest.approx((-here.size, -here.high, -here.low), abs=1e-6)
    assert (here.higher_in, there.higher_in) == (3, 1)
    assert np.isnan(paired_effect([2.0, 4.0, 6.0], [1.0, 2.0, 3.0]).size)
    assert np.isnan(paired_effect([2.0, 4.0], [1.0, 2.5]).size)
    assert paired_effect([], []).n == 0
    assert np.isfinite(paired_effect(np.exp(np.sin(np.arange(1000))), np.ones(1000)).size)


def test_trend_against_scipy() -> None:
    from scipy.stats import kendalltau, theilslopes

    generator = np.random.default_rng(14)
    when = np.sort(generator.random(30))
    what = 2 * when + generator.normal(0, 0.3, 30)
    found, slopes = trend(when, what, np.zeros(30)), theilslopes(what, when)
    assert found.slope == pytest.approx(slopes.slope)
    assert found.low == pytest.approx(slopes.low_slope, rel=0.02)
    assert found.high == pytest.approx(slopes.high_slope, rel=0.02)
    assert found.p == pytest.approx(kendalltau(when, what, method="asymptotic").pvalue, abs=0.002)
    assert found.direction == "rising"


def test_trend_does_not_compare_one_level_with_another() -> None:
    """A slow level measured later than a fast one is no drift; a drift within both is."""
    when, level = np.arange(20.0), np.repeat([0, 1], 10)
    flat = np.where(level == 0, 5.0, 1.0) + 0.01 * np.array([0, 1, 0, -1, 0] * 4)
    assert trend(when, flat, level).direction == "none shown"
    falling = trend(when, flat - 0.05 * when, level)
    assert falling.direction == "falling"
    assert falling.slope == pytest.approx(-0.05, abs=0.01)


@pytest.mark.parametrize("n", [0, 1, 3, 4])
def test_few_values_have_no_trend(n: int) -> None:
    found = trend(np.arange(n), np.arange(n), np.zeros(n))
    assert found.direction == "too few"
    assert np.isnan(found.slope)


def test_values_at_one_time_have_no_trend() -> None:
    assert trend(np.zeros(9), np.arange(9), np.zeros(9)).direction == "too few"


def test_trend_is_seen_by_chance_in_one_run_of_twenty_at_most() -> None:
    generator = np.random.default_rng(15)
    draws = [trend(np.arange(8), generator.normal(0, 1, 8), np.zeros(8)) for _ in range(400)]
    assert np.mean([found.direction != "none shown" for found in draws]) < 0.08


def test_unpaired_ratio_against_scipy() -> None:
    from scipy.stats import ttest_ind

    generator = np.random.default_rng(16)
    one, other = np.exp(generator.normal(0.1, 0.02, 5)), np.exp(generator.normal(0, 0.06, 9))
    found = unpaired_ratio(one, other)
    welch = ttest_ind(np.log(one), np.log(other), equal_var=False).confidence_interval(0.95)
    assert found.median == pytest.approx(np.median(one) / np.median(other))
    assert found.low <= np.exp(welch.low) * (1 + 1e-12)
    assert found.high >= np.exp(welch.high) * (1 - 1e-12)
    assert found.n == 5


@pytest.mark.parametrize(("n", "m"), [(3, 3), (3, 10), (8, 8)])
def test_unpaired_interval_holds_the_ratio(n: int, m: int) -> None:
    generator = np.random.default_rng(17)
    draws = [
        unpaired_ratio(1.3 * np.exp(generator.normal(0, 0.05, n)), np.exp(generator.normal(0, 0.02, m)))
        for _ in range(300)
    ]
    assert np.mean([found.low <= 1.3 <= found.high for found in draws]) > 0.92


def test_two_blocks_of_one_side_give_no_unpaired_interval() -> None:
    found = unpaired_ratio([2.0, 4.0], [1.0, 1.0, 1.0])
    assert (found.median, found.n) == (3.0, 2)
    assert np.isnan(found.low)
    assert np.isnan(unpaired_ratio([], [1.0, 1.0, 1.0]).median)
    assert unpaired_ratio([2.0] * 3, [1.0] * 3).high == pytest.approx(2.0)
