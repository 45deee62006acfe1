"""When enough blocks were measured: after each block the paired ratios are looked at, and narrow intervals end the run.

The intervals are the plain ones that the report shows. Looking more than once makes them hold a little less often than
they say: a run ends the sooner where chance made its blocks agree. A `min` of five or more blunts that (data/README.md
has figures).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from bmtlib.params.arms import LvsArm
from bmtlib.params.repetitions import Repetitions, Until
from bmtlib.plan import Case, Plan
from bmtlib.stats import paired_ratio

Record = Mapping[str, Any]


def _per_s(count: float | None, record: Record) -> float | None:
    return count / record["window_s"] if count is not None and record["window_s"] else None


# Metric -> one value of a case, from its record; None where it was not measured.
METRICS: dict[str, Callable[[Record], float | None]] = {
    "requests_per_s": lambda record: _per_s(record["requests"]["completed"], record),
    "connections_per_s": lambda record: _per_s(record["requests"]["opened"], record),
}


@dataclass(frozen=True, kw_only=True)
class Look:
    """The widest of the ratios after a block. The ratio is None with fewer than three pairs.

    `half_width` is half the interval as a share of the ratio; `n`: blocks in which both sides are done; `pairs`: of how
    many ratios this one is the widest.
    """

    block: int
    arm: str
    against: str
    levels: dict[str, Any]
    ratio: float | None
    low: float | None
    high: float | None
    half_width: float | None
    n: int
    pairs: int


class Stopping:
    """The rule of one run, fed with the records of its cases. Keeps one number per case that is done."""

    def __init__(self, plan: Plan, rule: Repetitions, left_out: Iterable[str] = ()) -> None:
        self.rule = rule
        self.pairs = pairs_of(plan, rule.until, set(left_out))
        self._values: dict[str, dict[int, float]] = {}

    def add(self, record: Record) -> None:
        """A case that has ended. One that is not done makes no pair."""
        value = METRICS[self.rule.until.metric](record) if record["status"] == "done" else None
        if value is not None:
            self._values.setdefault(_setting(record["id"]), {})[record["block"]] = value

    def look(self, block: int) -> Look | None:
        """The widest ratio of the blocks up to `block`; None where there is no pair to look at."""
        looks = [self._look(block, one, other) for one, other in self.pairs]
        return max(looks, key=_width, default=None)

    def reason(self, look: Look | None, block: int) -> str | None:
        """Why the run ends after this block, in words; None when it goes on."""
        rule, goal = self.rule, self.rule.until.ratio_interval
        if look is None:
            at = "no two arms of this plan can be compared, so no interval can become narrow"
            return f"after {block} blocks: {at}" if block >= rule.min else None
        # Of every pair as many blocks as the rule's least: a case that was rejected is no block of its pair.
        if look.half_width is not None and look.half_width <= goal and look.n >= rule.min and block >= rule.min:
            return f"after {block} blocks the widest interval, {_said(look)}, is within ±{goal * 100:.3g} %"
        if block < rule.max:
            return None
        return f"after {block} blocks, which are the most: {_said(look)} is not within ±{goal * 100:.3g} %"

    def _look(self, block: int, one: Case, other: Case) -> Look:
        above, below = (self._values.get(_setting(case.id), {}) for case in (one, other))
        blocks = [i for i in range(1, block + 1) if i in above and i in below]
        found = paired_ratio([above[i] for i in blocks], [below[i] for i in blocks])
        known = math.isfinite(found.low) and math.isfinite(found.high) and found.median > 0
        return Look(
            block=block,
            arm=one.arm,
            against=other.arm,
            levels={**other.levels, **one.levels},
            ratio=round(found.median, 6) if known else None,
            low=round(found.low, 6) if known else None,
            high=round(found.high, 6) if known else None,
            half_width=round((found.high - found.low) / 2 / found.median, 6) if known else None,
            n=found.n,
            pairs=len(self.pairs),
        )


def _width(look: Look) -> tuple[float, int]:
    """By interval; of those without one, the fewest blocks are the widest."""
    return (math.inf if look.half_width is None else look.half_width, -look.n)


def _said(look: Look) -> str:
    at = "".join(f", {name} {level}" for name, level in look.levels.items())
    if look.half_width is None:
        return f"{look.arm} / {look.against}{at}, with {look.n} pairs has no interval and"
    return f"{look.arm} / {look.against}{at}: {look.ratio:.3f} ({look.low:.3f} to {look.high:.3f}, {look.n} pairs)"


def _setting(case_id: str) -> str:
    """The case's name without its block."""
    return case_id.partition("-")[2]


def pairs_of(plan: Plan, until: Until, left_out: set[str]) -> list[tuple[Case, Case]]:
    """Cases of the first block that are compared, as in analysis.compare.df_ratio, or as `until` names their arms."""
    cases = [case for case in plan.cases if case.block == 1 and case.id not in left_out]
    if until.of is not None:
        chosen = [pair for pair in product(cases, cases) if (pair[0].arm, pair[1].arm) == (until.of, until.over)]
    else:
        chosen = [
            (one, other)
            for one, other in product(cases, cases)
            if isinstance(one.settings, LvsArm) and other.kind == "proxy"
        ]
        if not chosen and cases:
            arms = list(plan.scenario.arms)
            first = min(cases, key=lambda case: (_ORDER.index(case.kind), arms.index(case.arm))).arm
            chosen = [pair for pair in product(cases, cases) if pair[1].arm == first != pair[0].arm]
    return [(one, other) for one, other in chosen if _same(one, other)]


# In which arms stand in the report: the first is what others are compared with where no LVS arm meets a proxy.
_ORDER = ("direct", "proxy", "nat", "l3dsr", "l2dsr")


def _same(one: Case, other: Case) -> bool:
    shared = one.levels.keys() & other.levels.keys()
    return all(one.levels[name] == other.levels[name] for name in shared)
