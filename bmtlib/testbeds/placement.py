"""Which CPUs the director gets, and which are left for everybody else."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from bmtlib.cpus import parse_list, to_list
from bmtlib.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Placement:
    """CPU numbers. When both sets are equal (one CPU, or the user's wish) the director's cost cannot be told apart."""

    director: frozenset[int]
    others: frozenset[int]

    @property
    def separate(self) -> bool:
        return not self.director & self.others

    def of(self, role: str) -> frozenset[int]:
        return self.director if role == "director" else self.others


def place(wish: str, available: frozenset[int] | None = None, *, at_least: int = 1) -> Placement:
    """Placement for `wish`: "auto" or a CPU list such as "2-3".

    auto: the last quarter of the CPUs, and `at_least` so many as far as there are; where that is all of them, the
    others share them. `available` defaults to the CPUs this process may use. InputError for a CPU that is not there.

    >>> place("auto", frozenset(range(8))).director == {6, 7}
    True
    >>> place("auto", frozenset(range(4)), at_least=2).director == {2, 3}
    True
    >>> place("auto", frozenset({0, 1}), at_least=2).separate
    False
    >>> place("0-1", frozenset({0, 1})).separate
    False
    """
    cpus = sorted(os.sched_getaffinity(0) if available is None else available)
    if wish == "auto":
        director = frozenset(cpus[-max(at_least, len(cpus) // 4) :])
    else:
        director = frozenset(parse_list(wish))
        if missing := director - set(cpus):
            raise InputError(
                f"the director cannot have CPU {to_list(missing)}: this machine offers {to_list(cpus)}",
                where="testbed placement.director_cpus",
                todo="use `auto`, or a list of CPUs that exist (--set testbed.placement.director_cpus=1)",
            )
    others = frozenset(cpus) - director
    return Placement(director=director, others=others or director)


def pin_process(cpus: Iterable[int]) -> None:
    """Keep every thread of this process, and those they start, on `cpus`. (The system call alone moves one thread.)"""
    wanted = set(cpus)
    for thread in os.listdir("/proc/self/task"):
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread), wanted)
