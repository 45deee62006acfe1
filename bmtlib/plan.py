"""Scenario x testbed -> plan: every case in the order in which it will be measured, and what names the whole."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from bmtlib.errors import InputError
from bmtlib.params.factors import DIRECTOR_FACTORS, Level, combinations, level_text, slug
from bmtlib.params.lever import director_tuning
from bmtlib.params.load_yaml import load_profile_set
from bmtlib.params.profile import ROLES, HostTuning
from bmtlib.params.repetitions import most_blocks
from bmtlib.params.resolve import resolve
from bmtlib.params.scenario import Arm, Kind, Load, ProxyArm, Scenario
from bmtlib.params.testbed import Testbed, address_plan
from bmtlib.params.units import Params


@dataclass(frozen=True, kw_only=True)
class Case:
    """One arm at one choice of levels in one block; everything resolved, nothing inherited.

    `id` names the case's folder; it starts with the block (from 1). `index` is its place in the plan (from 0).
    `engine` is `none` for the arm direct, and may be `auto`: which engine there is shows on the director.
    `tuning`: the set of profiles that all hosts are tuned to; `director` is what the case's lever and queues do to the
    director over it. `digest` (SHA-256) is of all that
    decides what is measured, the content of the profiles too; equal ones in other blocks are repetitions.
    """

    __pydantic_config__ = Params.model_config

    id: str
    block: int
    index: int
    arm: str
    kind: Kind
    engine: str
    levels: dict[str, Level]
    load: Load
    settings: Annotated[Arm, Field(discriminator="kind")]
    tuning: str
    queues: int | None = None
    lever: str | None = None
    director: HostTuning = field(default_factory=HostTuning)
    digest: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All cases in order. `digest` (SHA-256, hexadecimal) is of scenario, testbed, profiles: equal, so equal plans.

    Of a `search` cases are those decided on so far.
    """

    __pydantic_config__ = Params.model_config

    scenario: Scenario
    testbed: Testbed
    cases: tuple[Case, ...]
    seed: int
    digest: str
    search: Literal["knee"] | None = None

    def to_json(self) -> str:
        """The text of plan.json; `plan_from_json` reads it back."""
        return _PLAN.dump_json(self, indent=1).decode() + "\n"


_PLAN = TypeAdapter(Plan)
_CASE = TypeAdapter(Case)
_WHEN = ("id", "block", "index", "digest")


def plan_from_json(text: str) -> Plan:
    """The plan in a plan.json. Raises InputError when the text is truncated or something else."""
    try:
        return _PLAN.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "plan.json"
        why = f"not a plan: {where}: {first['msg']}"
        raise InputError(why, todo="plan.json is truncated, or of another version of bmtlib") from None


def make_plan(scenario: Scenario, testbed: Testbed) -> Plan:
    """The plan of a scenario on a testbed. The same input gives the same plan, on every machine.

    Raises InputError when the testbed's networks have no room for the hosts.
    """
    if testbed.kind != "ssh":
        address_plan(testbed.network, clients=scenario.clients, webs=scenario.webs)
    listed = [
        (arm, levels)
        for arm, settings in scenario.arms.items()
        for levels in combinations(scenario.factors, settings.kind, scenario.combinations)
    ]
    shuffle = random.Random(scenario.seed)
    cases: list[Case] = []
    for block in range(1, most_blocks(scenario.repetitions) + 1):
        # Of random's methods only random() promises the same numbers in every version of Python; so no shuffle().
        order = sorted(listed, key=lambda _: shuffle.random()) if scenario.order == "shuffled" else listed
        cases += [_case(scenario, block, len(cases) + i, arm, levels) for i, (arm, levels) in enumerate(order)]
    both = {"scenario": scenario.model_dump(mode="json"), "testbed": testbed.model_dump(mode="json")}
    profiles = {tuning: _profiles(tuning) for tuning in dict.fromkeys(case.tuning for case in cases)}
    return Plan(
        scenario=scenario,
        testbed=testbed,
        cases=tuple(replace(case, digest=_case_digest(case, both, profiles[case.tuning])) for case in cases),
        seed=scenario.seed,
        digest=_sha256({**both, "profiles": profiles}),
    )


def rows(plan: Plan) -> list[dict[str, str]]:
    """The table of a dry run: one row per case, in order; every value as people read it."""
    varied = plan.scenario.factors
    return [
        {
            "case": case.id,
            "block": str(case.block),
            "arm": case.arm,
            "engine": case.engine,
            "threads": str(case.settings.threads) if isinstance(case.settings, ProxyArm) else "",
            **{name: str(case.levels.get(name, "")) for name in (*DIRECTOR_FACTORS, "tuning") if name in varied},
            **({"requests/s": str(case.load.rate)} if case.load.rate is not None else {}),
            "concurrency": str(case.load.concurrency),
            "ends after": f"{case.load.requests} requests" if case.load.requests else f"{case.load.seconds} s",
            "file size": level_text("file_size", case.load.file_size),
            "keep-alive": level_text("keepalive", case.load.keepalive),
            "warm-up": f"{case.load.warmup_seconds} s",
        }
        for case in plan.cases
    ]


def case_at(plan: Plan, block: int, index: int, arm: str, levels: dict[str, Level]) -> Case:
    """A case of the plan's scenario that is not among its cases: an arm at levels of one's own."""
    return _case(plan.scenario, block, index, arm, levels)


def _case(scenario: Scenario, block: int, index: int, arm: str, levels: dict[str, Level]) -> Case:
    load, settings = resolve(scenario.load, scenario.arms[arm], levels)
    queues = int(levels["queues"]) if "queues" in levels else None
    lever = str(levels["lever"]) if "lever" in levels else None
    return Case(
        id=f"b{block}-{slug(arm, levels)}",
        block=block,
        index=index,
        arm=arm,
        kind=settings.kind,
        engine="none" if settings.kind == "direct" else settings.engine,
        levels=levels,
        load=load,
        settings=settings,
        tuning=str(levels.get("tuning", scenario.tuning)),
        queues=queues,
        lever=lever,
        director=director_tuning(scenario.levers[lever] if lever is not None else None, queues),
    )


def _profiles(tuning: str) -> dict[str, Any]:
    """What a set of profiles says, by role: its name alone would not tell that a profile was edited."""
    found = {role: load_profile_set(tuning, role) for role in ROLES}
    return {role: profile.model_dump(mode="json") for role, profile in found.items() if profile is not None}


def _case_digest(case: Case, both: dict[str, dict[str, Any]], profiles: dict[str, Any]) -> str:
    """Not of its block and place: those say when, and not what."""
    content = {key: value for key, value in _CASE.dump_python(case, mode="json").items() if key not in _WHEN}
    around = {key: both["scenario"][key] for key in ("webs", "clients", "probes", "director_cpus")}
    return _sha256({"case": content, "around": around, "testbed": both["testbed"], "profiles": profiles})


def _sha256(content: dict[str, Any]) -> str:
    """Keys stand in the order of the types, arms in the order of the file: that order is part of what is done."""
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()
