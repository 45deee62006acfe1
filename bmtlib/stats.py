"""What a handful of blocks can say: a median, an interval around it, and whether it decides anything.

Blocks are the unit of repetition: requests within a case share its luck (placement, caches, a busy neighbour), so
thousands of them are still one observation.

The interval is the wider of two, end by end:

- the percentile bootstrap of the median, resampling whole blocks (Efron and Tibshirani, *An Introduction to the
  Bootstrap*, 1993, ch. 13). It assumes little, but it cannot reach beyond the blocks that were measured: of three
  blocks it is the range from lowest to highest, which misses the true median in one run out of four;
- Student's t of the mean, of logarithms where all values are positive. It knows how little n values tell: with three,
  it spans five times their standard deviation (Georges, Buytaert and Eeckhout, "Statistically rigorous Java
  performance evaluation", OOPSLA 2007, sec. 3.2, use it below 30 repetitions).

With many blocks the two agree; with three the second one rules, and keeps the promise of 95 % as far as can be.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, fdtri, stdtrit

LEVEL = 0.95
FEWEST_BLOCKS = 3  # below it an interval would be a guess
_RESAMPLES = 4000
_SEED = 2022

Verdict = Literal["higher", "lower", "undecided"]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Median of n blocks, its 95 % interval `low`..`high` (NaN with fewer than three blocks), and their range."""

    median: float
    low: float
    high: float
    min: float
    max: float
    n: int


def estimate(values: npt.ArrayLike) -> Estimate:
    """Median and interval of one value per block; values that are missing (NaN) or infinite are left out.

    Measured quantities are not negative, so the interval does not go below zero.

    >>> found = estimate([100.0, 102.0, 104.0])
    >>> (found.median, round(found.low, 1), round(found.high, 1), found.n)
    (102.0, 97.1, 107.1, 3)
    >>> estimate([100.0, 102.0]).low
    nan
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    if not len(known):
        return Estimate(median=np.nan, low=np.nan, high=np.nan, min=np.nan, max=np.nan, n=0)
    low, high = np.nan, np.nan
    if len(known) >= FEWEST_BLOCKS:
        ends = np.array([bootstrap_interval(known), student_interval(known)])
        low, high = max(0.0, ends[:, 0].min()), ends[:, 1].max()
    return Estimate(
        median=float(np.median(known)),
        low=float(low),
        high=float(high),
        min=float(known.min()),
        max=float(known.max()),
        n=len(known),
    )


def paired_ratio(above: npt.ArrayLike, below: npt.ArrayLike) -> Estimate:
    """Ratio of two arms: of each block, then the estimate over blocks. Entry i of both is block i.

    Pairing within a block takes out what hits both arms alike, such as a machine that slows down over the run.
    Blocks in which one side is missing, or the lower one is zero, are left out.

    >>> paired_ratio([10.0, 20.0, 30.0], [20.0, 40.0, 60.0])
    Estimate(median=0.5, low=0.5, high=0.5, min=0.5, max=0.5, n=3)
    """
    upper, lower = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return estimate(upper / lower)


def spread(values: npt.ArrayLike) -> Estimate:
    """How far blocks lie apart: the standard deviation of their logarithms, which is a share (0.1: about 10 %).

    The interval is that of a standard deviation (chi-square), and honest about how little few blocks tell: of five it
    goes from 0.6 to 2.9 times. min and max are missing, for all blocks make one spread.

    >>> found = spread([100.0, 110.0, 90.0, 105.0, 95.0])
    >>> [round(value, 3) for value in (found.median, found.low, found.high)]
    [0.079, 0.048, 0.228]
    """
    known = _positive(values)
    if len(known) < FEWEST_BLOCKS:
        return Estimate(median=np.nan, low=np.nan, high=np.nan, min=np.nan, max=np.nan, n=len(known))
    found, free, tail = float(np.log(known).std(ddof=1)), len(known) - 1, (1 - LEVEL) / 2
    low, high = (found * float(np.sqrt(free / chdtri(free, share))) for share in (tail, 1 - tail))
    return Estimate(median=found, low=low, high=high, min=np.nan, max=np.nan, n=len(known))


def spread_ratio(above: npt.ArrayLike, below: npt.ArrayLike) -> Estimate:
    """Ratio of the spreads of two arms, with the interval that the F distribution gives; n: blocks of the smaller.

    >>> found = spread_ratio([100.0, 140.0, 60.0, 120.0, 80.0], [100.0, 110.0, 90.0, 105.0, 95.0])
    >>> [round(value, 1) for value in (found.median, found.low, found.high)]
    [4.2, 1.4, 13.1]
    """
    upper, lower = _positive(above), _positive(below)
    n = min(len(upper), len(lower))
    spreads = [float(np.log(part).std(ddof=1)) if len(part) > 1 else 0.0 for part in (upper, lower)]
    if n < FEWEST_BLOCKS or not spreads[1]:
        return Estimate(median=np.nan, low=np.nan, high=np.nan, min=np.nan, max=np.nan, n=n)
    found, tail = spreads[0] / spreads[1], (1 - LEVEL) / 2
    free = (len(upper) - 1, len(lower) - 1)
    low, high = (found / float(np.sqrt(fdtri(*free, share))) for share in (1 - tail, tail))
    return Estimate(median=found, low=low, high=high, min=np.nan, max=np.nan, n=n)


def _positive(values: npt.ArrayLike) -> Values:
    known = np.asarray(values, dtype=np.float64)
    return known[np.isfinite(known) & (known > 0)]


def verdict(ratio: Estimate) -> Verdict:
    """What a ratio decides: "higher" or "lower" than 1 when the whole interval is; else, or without one, "undecided".

    >>> verdict(paired_ratio([10, 20, 30], [20, 40, 60])), verdict(paired_ratio([1, 2, 3], [2, 2, 2]))
    ('lower', 'undecided')
    """
    if ratio.low > 1:
        return "higher"
    if ratio.high < 1:
        return "lower"
    return "undecided"


def bootstrap_interval(values: Values) -> tuple[float, float]:
    """Percentile bootstrap of the median. Seeded: the same values give the same interval."""
    medians = np.median(values[_resamples(len(values))], axis=1)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(medians, [tail, 1 - tail])
    return float(low), float(high)


@lru_cache(maxsize=32)
def _resamples(n: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(_SEED).integers(0, n, size=(_RESAMPLES, n))


def student_interval(values: Values) -> tuple[float, float]:
    """Student's t of the mean; of the geometric mean when all values are positive."""
    positive = bool((values > 0).all())
    scale = np.log(values) if positive else values
    half = stdtrit(len(values) - 1, (1 + LEVEL) / 2) * scale.std(ddof=1) / np.sqrt(len(values))
    low, high = scale.mean() - half, scale.mean() + half
    return (float(np.exp(low)), float(np.exp(high))) if positive else (float(low), float(high))
