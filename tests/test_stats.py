"""Intervals and verdicts: known sets, and what the interval promises."""

from __future__ import annotations

import numpy as np
import pytest

from bmtlib.stats import bootstrap_interval, estimate, paired_ratio, student_interval, verdict


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
