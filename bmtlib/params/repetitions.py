"""How often every case is measured: a fixed number of blocks, or as many as a ratio's interval needs."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from bmtlib.params.units import Breach, Params, Share, rules_broken
from bmtlib.texts import say

_Blocks = Annotated[int, Field(ge=1, le=1000)]


class Until(Params):
    """What is to be known, and how well, before a run may end."""

    ratio_interval: Share = Field(
        description="Goal for half the width of the 95 % interval, as a share of the ratio: 5% ends at 1.20 +- 0.06."
    )
    metric: Literal["requests_per_s", "connections_per_s"] = Field(
        default="requests_per_s", description="Of what the ratio is: one value per case, from its case.json."
    )
    of: str | None = Field(
        default=None, description="Arm above the line. With `over`; without both: each LVS arm over each proxy arm."
    )
    over: str | None = Field(default=None, description="Arm below the line.")


class Repetitions(Params):
    """Blocks until the widest of the paired ratios is narrow enough: `min` at least, `max` at the most."""

    # Fewer than three blocks have no interval; five and more keep a chance agreement from ending a run.
    min: int = Field(default=5, ge=3, le=1000, description="Blocks before the first look at the interval.")
    max: int = Field(ge=3, le=1000, description="Blocks after which the run ends, whatever the interval.")
    until: Until = Field(description="When fewer than `max` are enough.")

    @model_validator(mode="after")
    def _rules(self) -> Self:
        breaches: list[Breach] = []
        if self.min > self.max:
            breaches.append((("min",), f"{self.min} blocks at least are more than the {self.max} at the most"))
        if (self.until.of is None) != (self.until.over is None):
            breaches.append((("until",), "needs both of 'of' and 'over', or neither"))
        elif self.until.of is not None and self.until.of == self.until.over:
            breaches.append((("until", "over"), "is the same arm as `of`: their ratio is always 1"))
        if breaches:
            raise rules_broken(breaches)
        return self


def _form(value: object) -> str:
    return "goal" if isinstance(value, dict | Repetitions) else "number"


Wish = Annotated[Annotated[_Blocks, Tag("number")] | Annotated[Repetitions, Tag("goal")], Discriminator(_form)]


def most_blocks(wish: int | Repetitions) -> int:
    """Blocks that a plan has to hold.

    >>> most_blocks(3), most_blocks(Repetitions(min=5, max=20, until=Until(ratio_interval="5%")))
    (3, 20)
    """
    return wish.max if isinstance(wish, Repetitions) else wish


def fewest_blocks(wish: int | Repetitions) -> int:
    """Blocks that a run takes at least."""
    return wish.min if isinstance(wish, Repetitions) else wish


def words(wish: int | Repetitions) -> str:
    """The wish for people.

    >>> words(3)
    '3'
    >>> words(Repetitions(min=5, max=20, until=Until(ratio_interval="5%", of="l2dsr", over="proxy")))
    '5 to 20, until the 95 % interval of requests_per_s l2dsr / proxy is within ±5 %'
    """
    if isinstance(wish, int):
        return str(wish)
    until = wish.until
    pair = f"{until.of} / {until.over}" if until.of else say("of every LVS arm / proxy arm")
    return say(
        "{fewest} to {most}, until the 95 % interval of {metric} {pair} is within ±{share} %",
        fewest=wish.min,
        most=wish.max,
        metric=until.metric,
        pair=pair,
        share=f"{until.ratio_interval * 100:.3g}",
    )
