"""Claims of a scenario: sentences that may be wrong, each with the rule that decides it once the run is over."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self, get_args

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from bmtlib.params.factors import Combination, Factors, Level, combinations, level_text
from bmtlib.params.units import Breach, Params, parse_size, rules_broken

# What a claim may be about: one value per block, as analysis.claims computes it.
Metric = Literal[
    "requests_per_s",
    "spread_requests_per_s",
    "wait_p50_ms",
    "wait_p99_ms",
    "failed_share",
    "director_cpu_us_per_request",
    "director_bytes_per_request",
    "ipvs_cpu_share",
    "packet_cpu_share",
    "drops_nic",
    "drops_backlog",
    "drops_ip",
    "drops_syn",
    "drops_accept",
    "drops_socket",
    "syn_retransmits",
]
METRICS: tuple[str, ...] = get_args(Metric)


def _levels(value: object) -> object:
    """A file size may be written as under `factors`: 5 KiB."""
    if isinstance(value, dict) and "file_size" in value:
        return {**value, "file_size": parse_size(value["file_size"])}
    return value


class Cases(Params):
    """Which cases a claim is about."""

    arm: str = Field(description="Name of an arm of the scenario.")
    levels: Annotated[dict[str, Level], BeforeValidator(_levels)] = Field(
        default={}, description="Factor -> level, of those under `factors`; a factor that is not named: all its levels."
    )


class Claim(Params):
    """A sentence that may be wrong. Only an interval that lies wholly on one side of `limit` decides it; of `within`,
    one that lies wholly inside of `limit` +- `margin`, or wholly outside: so that "no difference" can be shown too."""

    model_config = ConfigDict(serialize_by_alias=True)  # so that `is` is the key in plan.json too

    text: str = Field(min_length=1, max_length=300, description="The claim, as one sentence that may be wrong.")
    metric: Metric = Field(description="What is looked at: one value per block (data/README.md has the list).")
    of: Cases = Field(description="The cases that the claim is about.")
    over: Cases | None = Field(
        default=None, description="With it: the ratio of / over, paired by block; without: the value itself."
    )
    is_: Literal["above", "below", "within"] = Field(
        alias="is", description="On which side of `limit` the claim says it is; or within `margin` of it."
    )
    limit: float = Field(description="A ratio with `over`, else in the metric's own unit.")
    margin: float | None = Field(
        default=None,
        gt=0,
        description="With `is: within`, and only there: so far from `limit` is no difference.",
    )
    source: str = Field(default="", max_length=300, description="Who says so, or why it is expected.")

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if (self.margin is not None) != (self.is_ == "within"):
            why = "is needed with `is: within`" if self.margin is None else "goes with `is: within` only"
            raise rules_broken([(("margin",), why)])
        return self

    @property
    def inside(self) -> tuple[float, float]:
        """Between which values the claim holds."""
        low = self.limit if self.is_ == "above" else self.limit - (self.margin or math.inf)
        high = self.limit if self.is_ == "below" else self.limit + (self.margin or math.inf)
        return low, high


def claim_breaches(
    claims: Sequence[Claim], kinds: Mapping[str, str], factors: Factors, listed: Sequence[Combination] = ()
) -> list[Breach]:
    """What is wrong with claims beside a scenario's arms (name -> kind) and levels; key paths below `claims`."""
    breaches: list[Breach] = []
    for i, claim in enumerate(claims):
        for side in ("of", "over"):
            cases: Cases | None = getattr(claim, side)
            if cases is not None:
                breaches += [((i, side, *path), why) for path, why in _cases_breaches(cases, kinds, factors, listed)]
        if claim.over is not None and claim.over == claim.of:
            breaches.append(((i, "over"), "is the same cases as `of`: their ratio is always 1"))
    return breaches


def _cases_breaches(
    cases: Cases, kinds: Mapping[str, str], factors: Factors, listed: Sequence[Combination]
) -> list[Breach]:
    if cases.arm not in kinds:
        return [(("arm",), f"the scenario has no arm {cases.arm!r}; it has {', '.join(kinds)}")]
    found = combinations(factors, kinds[cases.arm], listed)
    breaches: list[Breach] = []
    for factor, level in cases.levels.items():
        known = list(dict.fromkeys(choice[factor] for choice in found if factor in choice))
        if not known:
            why = f"the scenario does not vary {factor!r} for the arm {cases.arm!r}"
            breaches.append((("levels", factor), why))
        # True == 1: a level is compared with its type.
        elif (type(level), level) not in {(type(one), one) for one in known}:
            all_levels = ", ".join(level_text(factor, one) for one in known)
            breaches.append((("levels", factor), f"{level!r} is no level of {factor!r}: {all_levels}"))
    return breaches
