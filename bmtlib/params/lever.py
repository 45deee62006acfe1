"""Levers: what a scenario does to its director in some cases and not in others, to see what it changes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Self

from pydantic import Field, model_validator

from bmtlib.cpus import to_list
from bmtlib.params.profile import HostTuning, Irq, Nic, merged
from bmtlib.params.units import rules_broken


class Lever(HostTuning):
    """Settings of the director for the cases of one level of the factor `lever`, over the scenario's `tuning`.

    One without a setting is the control: the director as it is.
    """

    text: str = Field(min_length=1, max_length=200, description="What it does, and why, in one line.")

    @model_validator(mode="after")
    def _within_a_case(self) -> Self:
        if self.cpu.kernel_args is not None:
            raise rules_broken([(("cpu", "kernel_args"), "counts from the next boot on: no lever of a case")])
        return self


def director_tuning(lever: Lever | None, queues: int | None) -> HostTuning:
    """What one case does to the director: its lever and its number of queues, nothing else.

    The queues' interrupts go round the director's CPUs, unless the lever sends them elsewhere.

    >>> wish = director_tuning(None, 2)
    >>> wish.nic.channels, wish.irq.cpus
    (2, 'all')
    """
    wish = HostTuning()
    if queues is not None:
        wish = HostTuning(nic=Nic(channels=queues), irq=Irq(cpus="all"))
    if lever is not None:
        wish = merged(wish, HostTuning(**{name: getattr(lever, name) for name in HostTuning.model_fields}))
    return wish


def rps_instead(wish: HostTuning, queues: int, cpus: Collection[int]) -> HostTuning:
    """`wish` for an interface whose queues cannot be chosen: RPS gives packets to the first `queues` of `cpus`.

    >>> rps_instead(director_tuning(None, 2), 2, {4, 5, 6}).steering.rps_cpus
    '4-5'
    """
    first = to_list(frozenset(sorted(cpus)[:queues]))
    return wish.model_copy(
        update={
            "nic": wish.nic.model_copy(update={"channels": None}),
            "irq": Irq() if wish.irq.cpus == "all" else wish.irq,
            "steering": wish.steering.model_copy(update={"rps_cpus": first}),
        }
    )
