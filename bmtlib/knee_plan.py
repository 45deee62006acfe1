"""The plan of a knee search. It grows: which load a case has hangs on what came of those before."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from bmtlib.errors import InputError
from bmtlib.params.factors import slug
from bmtlib.params.knee import Knee
from bmtlib.params.scenario import Scenario
from bmtlib.params.testbed import Testbed
from bmtlib.plan import Case, Plan, case_at, make_plan
from bmtlib.search import Bracket, Limits, bracket, decided, next_level

Tries = dict[int, list[bool | None]]  # of one arm: level -> whether each of its cases kept the objective


def make_knee_plan(scenario: Scenario, testbed: Testbed) -> Plan:
    """A plan without cases yet. InputError when the scenario does not say what to search."""
    if scenario.knee is None:
        raise InputError(
            "the scenario has no `knee`: nothing says what to search",
            where=scenario.title,
            todo="bmt knee knee, or give the scenario a `knee` as in params/scenarios/knee.yml",
        )
    return replace(make_plan(scenario, testbed), cases=(), search="knee")


def at_the_cap(plan: Plan) -> Plan:
    """The plan with one case per arm, at the highest level of the search: what limits have to allow."""
    knee = wish(plan)
    cases = [_case(plan, arm, knee.highest, f"cap-{arm}", 1, i) for i, arm in enumerate(plan.scenario.arms)]
    return replace(plan, cases=tuple(cases))


def wish(plan: Plan) -> Knee:
    assert plan.scenario.knee is not None
    return plan.scenario.knee


def limits(knee: Knee) -> Limits:
    return Limits(lowest=knee.lowest, highest=knee.highest, precision=knee.precision)


class Search:
    """All arms' searches side by side. `rounds` hands out cases, `add` takes what came of each."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.knee = plan, wish(plan)
        self.limits = limits(self.knee)
        self.tries: dict[str, Tries] = {arm: {} for arm in plan.scenario.arms}
        self._shuffle = random.Random(plan.scenario.seed)
        self._count = 0
        self._round = 0

    def add(self, arm: str, level: int, kept: bool | None) -> None:
        self.tries[arm].setdefault(level, []).append(kept)

    def found(self, arm: str) -> Bracket:
        """Where the search of an arm stands."""
        return bracket(self._decided(arm), self.limits)

    def rounds(self) -> Iterator[list[Case]]:
        """The next cases to be run, one for each arm that still searches, in an order of their own.

        In a step each arm has a level, and is tried there until most of its tries decide: arms in turns, so that a slow
        moment of the machine does not hit one alone.
        """
        step = 0
        while levels := self._next_levels():
            step, repeat = step + 1, 0
            while todo := [arm for arm, level in levels.items() if self._open(arm, level)]:
                repeat += 1
                yield self._cases(todo, levels, f"k{step:02d}", repeat)

    def rounds_at_shares(self) -> Iterator[tuple[int, list[Case]]]:
        """After the search: per cent, and cases at that share of the lowest knee, the same load for all arms.

        Waits can be compared where arms get the same load; at shares of its own knee each would get another. The arm
        direct has no director, so its knee is not asked.
        """
        level = self.base()
        if level is None:
            return
        lowest = self.plan.scenario.clients if self.knee.vary == "concurrency" else 1
        for percent in self.knee.shares:
            load = max(lowest, round(level * percent / 100))
            for repeat in range(1, self.knee.confirm + 1):
                arms = list(self.plan.scenario.arms)
                yield percent, self._cases(arms, dict.fromkeys(arms, load), f"w{percent}", repeat)

    def base(self) -> int | None:
        """The lowest knee of the arms that have one (of arms that pass the director, if there are any)."""
        arms = self.plan.scenario.arms
        passing = [arm for arm, settings in arms.items() if settings.kind != "direct"] or list(arms)
        return min((kept for arm in passing if (kept := self.found(arm).kept) is not None), default=None)

    def most_cases(self) -> int:
        """Cases that the search takes at most: doublings, halvings, and what comes after, in all arms."""
        knee = self.knee
        steps = 1 + math.ceil(math.log2(knee.highest / knee.lowest))
        steps += math.ceil(math.log2(max(1.0, math.log(2) / math.log1p(knee.precision)))) + len(knee.shares)
        return steps * knee.confirm * len(self.tries)

    def _next_levels(self) -> dict[str, int]:
        wanted = {arm: next_level(self._decided(arm), self.limits) for arm in self.tries}
        return {arm: level for arm, level in wanted.items() if level is not None}

    def _open(self, arm: str, level: int) -> bool:
        return decided(self.tries[arm].get(level, ()), self.knee.confirm) is None

    def _decided(self, arm: str) -> dict[int, bool]:
        found = {level: decided(tries, self.knee.confirm) for level, tries in self.tries[arm].items()}
        return {level: kept for level, kept in found.items() if kept is not None}

    def _cases(self, arms: Sequence[str], levels: Mapping[str, int], step: str, repeat: int) -> list[Case]:
        self._round += 1
        order = sorted(arms, key=lambda _: self._shuffle.random())
        cases = []
        for arm in order:
            name = f"{step}-{slug(arm, {self.knee.vary: levels[arm]})}-r{repeat}"
            cases.append(_case(self.plan, arm, levels[arm], name, self._round, self._count))
            self._count += 1
        return cases


def _case(plan: Plan, arm: str, level: int, name: str, block: int, index: int) -> Case:
    return replace(case_at(plan, block, index, arm, {wish(plan).vary: level}), id=name)
