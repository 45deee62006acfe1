"""Which level to try next: doubling until the objective breaks, then halving the gap. Pure: results in, decision out.

Levels are whole numbers (requests/s, connections). What was found is an interval: the highest level that was kept, and
the lowest that was not. The answer to "where is the knee" lies between them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Ending = Literal["found", "never kept", "never broken"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Between which levels is searched, and by which share the ends of the interval may differ."""

    lowest: int
    highest: int
    precision: float


@dataclass(frozen=True, kw_only=True)
class Bracket:
    """Where a search stands: `kept`, the highest level that was kept below `broke`, the lowest that was not.

    `ending`: found; never kept: not even at the lowest level; never broken: not even at the highest; None: it goes on
    `odd`: levels above `broke` that were kept all the same: noise, or no single knee
    """

    kept: int | None
    broke: int | None
    ending: Ending | None
    odd: tuple[int, ...] = ()


def decided(tries: Iterable[bool | None], confirm: int) -> bool | None:
    """Whether a level was kept, by most of `confirm` tries; None while the outstanding ones could turn it.

    Half of them is not most: a level that breaks as often as not is not kept. A try that is None says nothing about the
    level and is made again; after `confirm` of them each more counts as not kept, so that every search ends.

    >>> decided([True, True], 3), decided([True, False], 3), decided([False, False], 3), decided([True, False], 2)
    (True, None, False, False)
    >>> decided([None, True, True], 3), decided([None] * 3, 3), decided([None] * 5, 3)
    (True, None, False)
    """
    found = list(tries)
    known = [it for it in found if it is not None]
    known += [False] * max(0, len(found) - len(known) - confirm)
    if 2 * sum(known) > confirm:
        return True
    return False if 2 * (len(known) - sum(known)) >= confirm else None


def bracket(results: Mapping[int, bool], limits: Limits) -> Bracket:
    """What decided levels (level -> kept) say.

    >>> limits = Limits(lowest=100, highest=1000, precision=0.5)
    >>> bracket({100: True, 200: True, 400: False, 283: False}, limits)
    Bracket(kept=200, broke=283, ending='found', odd=())
    """
    broke = min((level for level, kept in results.items() if not kept), default=None)
    kept = max((level for level, it in results.items() if it and (broke is None or level < broke)), default=None)
    odd = tuple(sorted(level for level, it in results.items() if it and broke is not None and level > broke))
    ending: Ending | None = None
    if broke is not None and broke <= limits.lowest:
        ending = "never kept"
    elif broke is None and kept is not None and kept >= limits.highest:
        ending = "never broken"
    elif broke is not None and kept is not None and _close(kept, broke, limits.precision):
        ending = "found"
    return Bracket(kept=kept, broke=broke, ending=ending, odd=odd)


def next_level(results: Mapping[int, bool], limits: Limits) -> int | None:
    """The level to decide next; None when the search has ended.

    >>> limits = Limits(lowest=100, highest=1000, precision=0.1)
    >>> [next_level(results, limits)
    ...  for results in ({}, {100: True}, {100: True, 200: True, 400: False}, {100: False})]
    [100, 200, 283, None]
    """
    found = bracket(results, limits)
    if found.ending is not None:
        return None
    if found.kept is None:
        return limits.lowest
    if found.broke is None:
        return min(2 * found.kept, limits.highest)
    # In the middle by ratio, for precision is one; and between the two in any case.
    return min(max(round(math.sqrt(found.kept * found.broke)), found.kept + 1), found.broke - 1)


def _close(kept: int, broke: int, precision: float) -> bool:
    return broke - kept <= 1 or broke <= kept * (1 + precision)
