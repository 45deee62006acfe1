"""The knee: up to which load an arm keeps what is asked of it (`bmt knee`)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bmtlib.params.units import Breach, Params, Share, rules_broken

_Level = Annotated[int, Field(ge=1, le=10_000_000)]


class Objective(Params):
    """What a case has to keep. Every limit given counts."""

    wait_p50_ms: float | None = Field(default=None, gt=0, description="Median wait, at most.")
    wait_p99_ms: float | None = Field(default=None, gt=0, description="99th percentile of the wait, at most.")
    failed_share: float = Field(
        default=0.001, ge=0, le=0.5, description="Failed requests, as a share of those that ended, at most."
    )
    sent_share: float = Field(
        default=0.99,
        gt=0,
        le=1,
        description="Of the offered requests (rate x seconds), the share that was sent, at least. Rates only.",
    )

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if self.wait_p50_ms is None and self.wait_p99_ms is None:
            raise rules_broken([(("wait_p99_ms",), "an objective needs a limit of the wait: wait_p99_ms, wait_p50_ms")])
        return self


class Knee(Params):
    """What is searched, between which levels, and how exactly."""

    vary: Literal["rate", "concurrency"] = Field(
        description="What is raised: load.rate (an engine with an open loop) or load.concurrency (a closed one)."
    )
    lowest: _Level = Field(description="First level; an arm that does not keep the objective here has no knee.")
    highest: _Level = Field(description="No level above it is tried.")
    objective: Objective = Field(description="What has to be kept.")
    confirm: int = Field(default=3, ge=1, le=20, description="Cases per level; most of them decide.")
    precision: Share = Field(
        default=0.1, description="The search ends when the two ends of the interval differ by less: 10%."
    )
    shares: tuple[Annotated[int, Field(ge=1, le=100)], ...] = Field(
        default=(25, 50, 75, 90),
        strict=False,
        description="Per cent of the knee at which waits are measured afterwards, the same load for all arms.",
    )

    @model_validator(mode="after")
    def _rules(self) -> Self:
        breaches: list[Breach] = []
        if self.highest <= self.lowest:
            breaches.append((("highest",), f"{self.highest} is not above the lowest level, {self.lowest}"))
        if len(set(self.shares)) < len(self.shares):
            breaches.append((("shares",), "a share stands twice"))
        if breaches:
            raise rules_broken(breaches)
        return self


def breaches(
    objective: Objective,
    *,
    waits_ms: dict[str, float],
    failed_share: float | None,
    sent_share: float | None,
) -> list[str]:
    """What a case did not keep, in words; empty when it kept everything.

    `waits_ms`: wait_p50_ms and wait_p99_ms, as far as they were measured. What is asked for and was not measured was
    not kept. `sent_share` None: there is no offered rate.

    >>> objective = Objective(wait_p99_ms=50)
    >>> breaches(objective, waits_ms={"wait_p99_ms": 80.2}, failed_share=0.0, sent_share=None)
    ['wait_p99_ms 80.2 is above 50']
    """
    found = []
    for name in ("wait_p50_ms", "wait_p99_ms"):
        limit, value = getattr(objective, name), waits_ms.get(name)
        if limit is not None and (value is None or not value <= limit):
            found.append(f"{name} was not measured" if value is None else f"{name} {value:,.4g} is above {limit:g}")
    if failed_share is None or not failed_share <= objective.failed_share:
        text = "no request ended" if failed_share is None else f"failed_share {failed_share:.4g} is above"
        found.append(text if failed_share is None else f"{text} {objective.failed_share:g}")
    if sent_share is not None and not sent_share >= objective.sent_share:
        found.append(f"sent_share {sent_share:.4g} is below {objective.sent_share:g}")
    return found
