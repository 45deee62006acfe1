"""A scenario: a question, the arms that it compares, what it varies, and the load (params/scenarios/*.yml)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from bmtlib.params.arms import KINDS, AnyLvsArm, Arm, DirectArm, Kind, L2dsrArm, L3dsrArm, LvsArm, NatArm, ProxyArm
from bmtlib.params.claim import Claim, claim_breaches
from bmtlib.params.document import closest
from bmtlib.params.factors import Combination, Factors, Slug, combinations, slug, varies
from bmtlib.params.knee import Knee
from bmtlib.params.lever import Lever, director_tuning
from bmtlib.params.load import Load
from bmtlib.params.repetitions import Repetitions, Wish, most_blocks
from bmtlib.params.resolve import misfits, resolve
from bmtlib.params.units import Breach, Params, rules_broken

__all__ = [
    "KINDS",
    "AnyLvsArm",
    "Arm",
    "DirectArm",
    "Kind",
    "L2dsrArm",
    "L3dsrArm",
    "Load",
    "LvsArm",
    "NatArm",
    "ProxyArm",
    "Scenario",
]

# A run of so many cases takes days: rather a typing error in a list of levels than a wish.
_MOST_CASES = 10_000
_INT_MAX = 2**31 - 1


_ARM_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.ASCII)


def _check_arm_name(name: str) -> str:
    if not _ARM_NAME.fullmatch(name):
        raise ValueError(
            "an arm's name becomes part of folder names: lower-case letters, digits, '-', '_'; a letter first"
        )
    return name


ArmName = Annotated[str, AfterValidator(_check_arm_name)]


class Scenario(Params):
    """A question with its arms, factors and load. Rules over several keys wait until each key is right."""

    title: str = Field(min_length=1, max_length=200, description="One line, for tables and the report's head.")
    question: str = Field(min_length=1, max_length=2000, description="What the scenario shall find out.")
    expect: str = Field(
        default="", max_length=2000, description="What you expect to see, written down before measuring."
    )
    arms: dict[ArmName, Annotated[Arm, Field(discriminator="kind")]] = Field(
        min_length=1,
        description="What is compared: name -> settings. Named as a kind (direct, proxy, l2dsr, l3dsr, nat) an "
        "arm needs no `kind`, and none of its settings; other names (to compare two settings of one kind) need one.",
    )
    webs: int = Field(default=4, ge=1, le=60, description="Web hosts.")
    clients: int = Field(default=4, ge=1, le=200, description="Client hosts, each with one load generator.")
    load: Load = Field(description="What the clients ask for.")
    factors: Factors = Field(
        default=Factors(), description="What is varied: factor -> levels; all combinations are measured."
    )
    combinations: Annotated[tuple[Combination, ...], Field(strict=False)] = Field(
        default=(),
        description="Chosen combinations of levels instead of all, e.g. [{file_size: 1 KiB, concurrency: 50}, ...]; "
        "each names the same factors. With `factors` beside it, each is measured at all combinations of those.",
    )
    levers: dict[Slug, Lever] = Field(
        default={}, description="Settings of the director that the factor `lever` chooses from: name -> settings."
    )
    repetitions: Wish = Field(
        default=3,
        description="Blocks; each holds every case once. A number, or {min: 5, max: 20, until: {ratio_interval: 5%}}: "
        "as many as the paired ratio's interval needs.",
    )
    order: Literal["shuffled", "listed"] = Field(
        default="shuffled", description="Order within a block; shuffled, a drift of the machine hits all arms alike."
    )
    seed: int = Field(
        default=2022, ge=0, le=_INT_MAX, description="Seed of the shuffling: the same seed gives the same order."
    )
    probes: Literal["all"] | Annotated[tuple[Slug, ...], Field(strict=False)] = Field(
        default="all", description="Which probes are taken around and during the load: all, or a list of names."
    )
    tuning: Slug = Field(
        default="recommended", description="Kernel and nginx settings (params/profiles): recommended, seed or none."
    )

    director_cpus: int = Field(
        default=1,
        ge=1,
        le=256,
        description="CPUs that the director needs for the question; a virtual one gets so many, where there are some.",
    )
    claims: Annotated[tuple[Claim, ...], Field(strict=False)] = Field(
        default=(), description="Sentences that the run may prove wrong, each with its rule."
    )
    knee: Knee | None = Field(
        default=None, description="What `bmt knee` searches: up to which load each arm keeps an objective."
    )

    @field_validator("arms", mode="before")
    @classmethod
    def _kind_from_name(cls, arms: object) -> object:
        if not isinstance(arms, dict):
            return arms
        filled: dict[Any, Any] = {}
        for name, arm in arms.items():
            filled[name] = {} if arm is None else arm
            if name in KINDS and isinstance(filled[name], dict):
                filled[name] = {"kind": name, **filled[name]}
        return filled

    @model_validator(mode="after")
    def _rules(self) -> Self:
        breaches: list[Breach] = [
            (("arms", name, "kind"), f"an arm named {name!r} must be of kind {name!r}, found {arm.kind!r}")
            for name, arm in self.arms.items()
            if name in KINDS and arm.kind != name
        ]
        breaches += [(("load", "concurrency"), why) for why in misfits(self.load, self.load.concurrency, self.clients)]
        breaches += [
            (("arms", name, "weights"), f"needs one for each of the {self.webs} web hosts, found {len(arm.weights)}")
            for name, arm in self.arms.items()
            if isinstance(arm, LvsArm) and arm.weights is not None and len(arm.weights) != self.webs
        ]
        breaches += self._factor_breaches()
        breaches += self._combination_breaches()
        breaches += self._lever_breaches()
        breaches += self._repetition_breaches()
        breaches += self._knee_breaches()
        kinds = {name: arm.kind for name, arm in self.arms.items()}
        of_claims = claim_breaches(self.claims, kinds, self.factors, self.combinations)
        breaches += [(("claims", *path), why) for path, why in of_claims]
        if not breaches:
            breaches = self._case_breaches()
        if breaches:
            raise rules_broken(breaches)
        return self

    def _factor_breaches(self) -> list[Breach]:
        """Each level must give a valid load and valid arms. No rule joins two factors, so one at a time is enough."""
        breaches: list[Breach] = []
        levels: Mapping[str, Any] = self.factors
        for factor, values in levels.items():
            arms = [arm for arm in self.arms.values() if varies(factor, arm.kind)]
            breaches += [(("factors", factor), why) for why in self._of_no_arm(factor)]
            for i, level in enumerate(values):
                why: list[str] = []
                for arm in arms:
                    try:
                        resolve(self.load, arm, {factor: level})
                    except ValidationError as error:
                        why += [detail["msg"] for detail in error.errors()]
                if factor == "concurrency":
                    why += misfits(self.load, level, self.clients)
                breaches += [(("factors", factor, i), text) for text in dict.fromkeys(why)]
        return breaches

    def _of_no_arm(self, factor: str) -> list[str]:
        if any(varies(factor, arm.kind) for arm in self.arms.values()):
            return []
        what = "the threads of a proxy" if factor == "threads" else "the director"
        which = "of kind proxy" if factor == "threads" else "of another kind than direct"
        return [f"varies {what}, and no arm is {which}"]

    def _combination_breaches(self) -> list[Breach]:
        """Each one must be possible as a whole, and name what the others name."""
        breaches: list[Breach] = []
        for i, chosen in enumerate(self.combinations):
            levels: dict[str, Any] = {**chosen}
            first: dict[str, Any] = {**self.combinations[0]}
            why = ["names no factor"] if not levels else []
            if levels and set(levels) != set(first):
                why.append(
                    f"names {', '.join(levels)}; the first one {', '.join(first)}: all must name the same factors"
                )
            if chosen in self.combinations[:i]:
                why.append("stands twice")
            for factor in levels:
                why += [f"{factor!r} is varied under `factors`, too"] if factor in self.factors else []
                why += [f"{factor} {text}" for text in self._of_no_arm(factor)]
            for arm in self.arms.values():
                try:
                    resolve(self.load, arm, {name: level for name, level in levels.items() if varies(name, arm.kind)})
                except ValidationError as error:
                    why += [detail["msg"] for detail in error.errors()]
            if "concurrency" in levels:
                why += misfits(self.load, levels["concurrency"], self.clients)
            breaches += [(("combinations", i), text) for text in dict.fromkeys(why)]
        return breaches

    def _repetition_breaches(self) -> list[Breach]:
        if not isinstance(self.repetitions, Repetitions):
            return []
        until = self.repetitions.until
        breaches: list[Breach] = [
            (("repetitions", "until", key), f"the scenario has no arm {name!r}; {closest(name, self.arms)}")
            for key, name in (("of", until.of), ("over", until.over))
            if name is not None and name not in self.arms
        ]
        if len(self.arms) < 2:
            breaches.append((("repetitions", "until"), "a ratio needs two arms, and the scenario has one"))
        return breaches

    def _lever_breaches(self) -> list[Breach]:
        """Levels of `lever` are names under `levers`; a lever and a number of queues must go together."""
        breaches: list[Breach] = []
        queues_of = tuple(chosen["queues"] for chosen in self.combinations if "queues" in chosen)
        named: list[tuple[tuple[str | int, ...], str, tuple[int, ...]]] = [
            (("factors", "lever", i), name, self.factors.get("queues", queues_of))
            for i, name in enumerate(self.factors.get("lever", ()))
        ]
        for i, chosen in enumerate(self.combinations):
            if "lever" in chosen:
                beside = (chosen["queues"],) if "queues" in chosen else self.factors.get("queues", ())
                named.append((("combinations", i, "lever"), chosen["lever"], beside))
        for path, name, all_queues in named:
            if (lever := self.levers.get(name)) is None:
                breaches.append((path, f"no lever is named {name!r}; {closest(name, self.levers)}"))
                continue
            if all_queues and lever.nic.channels is not None:
                why = "is what the factor `queues` varies; only one of both can"
                breaches.append((("levers", name, "nic", "channels"), why))
                continue
            for queues in all_queues:
                try:
                    director_tuning(lever, queues)
                except ValidationError as error:
                    text = f"with {queues} queues (factors.queues): {error.errors()[0]['msg']}"
                    breaches.append((("levers", name, "nic"), text))
        return breaches

    def _knee_breaches(self) -> list[Breach]:
        """A search takes the place of factors and raises the load itself, for a time at each level."""
        if self.knee is None:
            return []
        found: list[Breach] = []
        if self.factors or self.combinations:
            found.append((("knee",), "a search varies the load by itself: leave out `factors` and `combinations`"))
        if self.load.seconds is None:
            found.append((("knee",), "needs a load that ends after a time: `load.seconds`"))
        if self.knee.vary == "concurrency":
            found += [(("knee", "lowest"), why) for why in misfits(self.load, self.knee.lowest, self.clients)]
        if (self.knee.vary == "rate") != (self.load.loop == "open"):
            loop = "an open loop (load.engine: open_loop)" if self.knee.vary == "rate" else "a closed loop (ab, wrk)"
            return [*found, (("knee", "vary"), f"needs a load with {loop}, found {self.load.engine}")]
        for key in ("lowest", "highest"):
            try:
                resolve(self.load, next(iter(self.arms.values())), {self.knee.vary: getattr(self.knee, key)})
            except ValidationError as error:
                found += [(("knee", key), detail["msg"]) for detail in error.errors()]
        return found

    @property
    def tunings(self) -> tuple[str, ...]:
        """The sets of profiles that its cases need."""
        chosen = [levels["tuning"] for levels in self.combinations if "tuning" in levels]
        return tuple(dict.fromkeys((*self.factors.get("tuning", ()), *chosen))) or (self.tuning,)

    def _case_breaches(self) -> list[Breach]:
        levels: Mapping[str, Any] = self.factors
        product = math.prod(len(values) for values in levels.values()) * max(1, len(self.combinations))
        count = len(self.arms) * product * most_blocks(self.repetitions)
        if count > _MOST_CASES:
            return [(("factors",), f"{count} cases (arms x levels x repetitions) are too many: {_MOST_CASES} at most")]
        owner: dict[str, str] = {}
        for name, arm in self.arms.items():
            for choice in combinations(self.factors, arm.kind, self.combinations):
                other = owner.setdefault(slug(name, choice), name)
                if other != name:
                    return [(("arms", name), f"its cases would be named as those of {other!r}: {slug(name, choice)!r}")]
        return []
