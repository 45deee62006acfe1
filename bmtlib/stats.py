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
from scipy.special import chdtri, fdtri, gammaln, nctdtrinc, ndtr, ndtri, stdtrit

LEVEL = 0.95
_TAIL = (1 - LEVEL) / 2
FEWEST_BLOCKS = 3  # below it an interval would be a guess
_RESAMPLES = 4000
_SEED = 2022
_MOST_BLOCKS = 1000

Verdict = Literal["higher", "lower", "undecided"]
Direction = Literal["rising", "falling", "none shown", "too few"]
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


def unpaired_ratio(above: npt.ArrayLike, below: npt.ArrayLike) -> Estimate:
    """Ratio of the medians of two sets of blocks that have nothing in common, as those of two runs; n: the fewer.

    Nothing that hits both alike is taken out. Interval: both sides resampled by themselves, and Welch's t of the
    logarithms, end by end the wider. It knows how blocks differ within each run, not how one run differs from the next.

    >>> found = unpaired_ratio([110.0, 112.0, 108.0], [100.0, 102.0, 98.0])
    >>> [round(value, 2) for value in (found.median, found.low, found.high)], found.n
    ([1.1, 1.05, 1.15], 3)
    """
    upper, lower = _positive(above), _positive(below)
    n = min(len(upper), len(lower))
    low, high = np.nan, np.nan
    if n >= FEWEST_BLOCKS:
        drawn = [np.median(part[_resamples(len(part), side)], axis=1) for side, part in enumerate((upper, lower))]
        drawn_low, drawn_high = np.quantile(drawn[0] / drawn[1], [_TAIL, 1 - _TAIL])
        welch_low, welch_high = _welch_interval(np.log(upper), np.log(lower))
        low, high = min(drawn_low, welch_low), max(drawn_high, welch_high)
    middle = float(np.median(upper) / np.median(lower)) if n else np.nan
    return Estimate(median=middle, low=float(low), high=float(high), min=np.nan, max=np.nan, n=n)


def _welch_interval(one: Values, other: Values) -> tuple[float, float]:
    """exp() of the difference of the means, by Welch's t, which lets both scatter as they do."""
    parts = np.array([part.var(ddof=1) / len(part) for part in (one, other)])
    difference, error = float(one.mean() - other.mean()), float(np.sqrt(parts.sum()))
    if error:  # all equal on both sides: no width
        free = parts.sum() ** 2 / (parts**2 / [len(one) - 1, len(other) - 1]).sum()
        error *= float(stdtrit(free, (1 + LEVEL) / 2))
    return float(np.exp(difference - error)), float(np.exp(difference + error))


@dataclass(frozen=True, kw_only=True)
class Effect:
    """How large a difference is beside the chance of single blocks; see `paired_effect`."""

    size: float
    low: float
    high: float
    higher_in: int
    n: int


def paired_effect(above: npt.ArrayLike, below: npt.ArrayLike) -> Effect:
    """How far two arms lie apart, in units of how much their ratio differs from block to block.

    size: Hedges' g of the logarithms of the ratios: their mean / their standard deviation, corrected for few blocks.
        Of 0.5 two single blocks often point to different sides, of 3 hardly ever; negative when the first is lower
    low, high: its 95 % interval, by the noncentral t distribution (Cumming and Finch, 2001); missing below three blocks
    higher_in: of the n blocks, those in which the first was the higher one

    >>> found = paired_effect([11.0, 12.0, 10.8, 11.5], [10.0, 10.0, 10.0, 10.0])
    >>> [round(value, 1) for value in (found.size, found.low, found.high)], found.higher_in, found.n
    ([1.9, 0.3, 3.5], 4, 4)
    """
    upper, lower = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = _positive(upper / lower)
    logs, n = np.log(ratios), len(ratios)
    higher = int((logs > 0).sum())
    scatter = float(logs.std(ddof=1)) if n > 1 else 0.0
    if n < FEWEST_BLOCKS or scatter < 1e-12:  # equal ratios differ by rounding only
        return Effect(size=np.nan, low=np.nan, high=np.nan, higher_in=higher, n=n)
    free, size, root = n - 1, float(logs.mean()) / scatter, float(np.sqrt(n))
    # nctdtrinc: the noncentrality with which t or less has this probability.
    low, high = (float(nctdtrinc(free, share, size * root)) / root for share in (1 - _TAIL, _TAIL))
    correction = float(np.exp(gammaln(free / 2) - gammaln((free - 1) / 2)) / np.sqrt(free / 2))
    return Effect(size=correction * size, low=correction * low, high=correction * high, higher_in=higher, n=n)


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
    found, free = float(np.log(known).std(ddof=1)), len(known) - 1
    low, high = (found * float(np.sqrt(free / chdtri(free, share))) for share in (_TAIL, 1 - _TAIL))
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
    found = spreads[0] / spreads[1]
    free = (len(upper) - 1, len(lower) - 1)
    low, high = (found / float(np.sqrt(fdtri(*free, share))) for share in (1 - _TAIL, _TAIL))
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


def blocks_needed(found: Estimate, limit: float) -> int | None:
    """About how many blocks would part `found` from `limit`, if they scatter as those measured do.

    The half width of Student's interval shrinks with the root of n (of logarithms where the interval is above zero).
    None when there is no interval, or when more than a thousand would be needed: it lies at the limit.

    >>> wide = estimate([1.0, 1.2, 1.4])
    >>> blocks_needed(wide, 1.0), blocks_needed(wide, 1.15), blocks_needed(wide, 1.2)
    (6, 66, None)
    """
    if found.n < FEWEST_BLOCKS or not np.isfinite([found.low, found.high]).all():
        return None
    ends = np.array([found.low, found.median, found.high, limit])
    low, middle, high, aim = np.log(ends) if (ends > 0).all() else ends
    # By the wider half: the interval is not always even around the median.
    scatter = max(high - middle, middle - low) * np.sqrt(found.n) / stdtrit(found.n - 1, (1 + LEVEL) / 2)
    counts = np.arange(found.n + 1, _MOST_BLOCKS + 1)
    enough = stdtrit(counts - 1, (1 + LEVEL) / 2) * scatter / np.sqrt(counts) < abs(middle - aim)
    return int(counts[enough][0]) if enough.any() else None


def bootstrap_interval(values: Values) -> tuple[float, float]:
    """Percentile bootstrap of the median. Seeded: the same values give the same interval."""
    medians = np.median(values[_resamples(len(values))], axis=1)
    low, high = np.quantile(medians, [_TAIL, 1 - _TAIL])
    return float(low), float(high)


@lru_cache(maxsize=32)
def _resamples(n: int, side: int = 0) -> npt.NDArray[np.int64]:
    return np.random.default_rng(_SEED + side).integers(0, n, size=(_RESAMPLES, n))


def student_interval(values: Values) -> tuple[float, float]:
    """Student's t of the mean; of the geometric mean when all values are positive."""
    positive = bool((values > 0).all())
    scale = np.log(values) if positive else values
    half = stdtrit(len(values) - 1, (1 + LEVEL) / 2) * scale.std(ddof=1) / np.sqrt(len(values))
    low, high = scale.mean() - half, scale.mean() + half
    return (float(np.exp(low)), float(np.exp(high))) if positive else (float(low), float(high))


@dataclass(frozen=True, kw_only=True)
class Trend:
    """How values change over time: `slope` per unit of time with its 95 % interval, and the test that there is none.

    direction: rising or falling when p is below 0.05; "none shown" else; "too few" when no order of so few could be.
    """

    slope: float
    low: float
    high: float
    p: float
    n: int
    direction: Direction


def trend(times: npt.ArrayLike, values: npt.ArrayLike, groups: npt.ArrayLike) -> Trend:
    """A steady drift, whatever its course: the seasonal Kendall test and Sen's slope.

    Only values of one group are compared with each other (an arm at one choice of levels), and all pairs count. slope:
    median of the slopes of all pairs; it is not moved by single blocks that went wrong. p: that so many pairs rise or
    fall by chance, by the normal approximation with correction for continuity, which for few values errs on the side
    of "none shown" (Hirsch, Slack and Smith, *Water Resources Research* 18, 1982; Gilbert, *Statistical Methods for
    Environmental Pollution Monitoring*, 1987, ch. 16 and 17).

    >>> found = trend([0, 1, 2, 3, 4], [1.0, 1.1, 1.2, 1.4, 1.5], [0] * 5)
    >>> round(found.slope, 3), round(found.p, 3), found.direction
    (0.129, 0.027, 'rising')
    """
    time, value = np.asarray(times, dtype=np.float64), np.asarray(values, dtype=np.float64)
    group = np.asarray(groups)
    known = np.isfinite(time) & np.isfinite(value)
    time, value, group = time[known], value[known], group[known]
    slopes: list[Values] = []
    balance, variance, most = 0.0, 0.0, 0.0
    for name in np.unique(group):
        when, what = time[group == name], value[group == name]
        n = len(when)
        one, other = np.triu_indices(n, 1)
        span, step = when[other] - when[one], what[other] - what[one]
        slopes.append(step[span != 0] / span[span != 0])
        balance += float((np.sign(step) * np.sign(span)).sum())
        variance += n * (n - 1) * (2 * n + 5) / 18
        most += n * (n - 1) / 2
    found = np.sort(np.concatenate(slopes)) if slopes else np.empty(0)
    z = float(ndtri(1 - (1 - LEVEL) / 2))
    if not len(found) or (most - 1) / np.sqrt(variance) < z:
        return Trend(slope=np.nan, low=np.nan, high=np.nan, p=np.nan, n=len(time), direction="too few")
    score = (balance - np.sign(balance)) / np.sqrt(variance)
    p = float(2 * ndtr(-abs(score)))
    half = z * np.sqrt(variance)
    ends = np.clip(np.round([(len(found) - half) / 2, (len(found) + half) / 2 - 1]).astype(int), 0, len(found) - 1)
    direction: Direction = "none shown"
    if p < 1 - LEVEL:
        direction = "rising" if score > 0 else "falling"
    return Trend(
        slope=float(np.median(found)),
        low=float(found[ends[0]]),
        high=float(found[ends[1]]),
        p=p,
        n=len(time),
        direction=direction,
    )
