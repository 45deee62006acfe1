"""The search on response curves that are known: steps, slopes, noise, none."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from bmtlib.search import Bracket, Limits, bracket, decided, next_level

LOWEST, HIGHEST, PRECISION = 100, 20_000, 0.1
LIMITS = Limits(lowest=LOWEST, highest=HIGHEST, precision=PRECISION)


def search(kept: Callable[[int], bool], *, confirm: int = 1) -> tuple[Bracket, int]:
    """Search as a run does; the answer, and how many cases it took."""
    results: dict[int, bool] = {}
    cases = 0
    while (level := next_level(results, LIMITS)) is not None:
        assert level not in results
        assert LOWEST <= level <= HIGHEST
        tries: list[bool] = []
        while (found := decided(tries, confirm)) is None:
            tries.append(kept(level))
            cases += 1
        results[level] = found
        assert len(results) < 60
    return bracket(results, LIMITS), cases


@pytest.mark.parametrize("knee", [100, 101, 150, 999, 1000, 7_777, 19_999])
def test_a_step_is_enclosed(knee: int) -> None:
    found, cases = search(lambda level: level <= knee)
    assert found.ending == "found"
    assert found.kept is not None
    assert found.broke is not None
    assert found.kept <= knee < found.broke
    assert found.broke <= found.kept * (1 + PRECISION) or found.broke == found.kept + 1
    assert cases <= 14  # doublings, and four or five halvings
    assert found.odd == ()


def test_small_numbers_end_at_neighbours() -> None:
    found = bracket({1: True, 2: False}, Limits(lowest=1, highest=100, precision=0.1))
    assert (found.kept, found.broke, found.ending) == (1, 2, "found")


def test_an_objective_that_cannot_be_met() -> None:
    found, cases = search(lambda level: False, confirm=3)
    assert found == Bracket(kept=None, broke=LOWEST, ending="never kept")
    assert cases == 2  # two of three decide


def test_an_objective_that_is_never_broken() -> None:
    found, _ = search(lambda level: True)
    assert found == Bracket(kept=HIGHEST, broke=None, ending="never broken")


@pytest.mark.parametrize("seed", range(30))
def test_noise_moves_the_answer_but_little(seed: int) -> None:
    """Near the knee of 2,000 a case is a matter of luck: with a spread of 5 % the answer stays within 20 %."""
    chance = random.Random(seed)
    found, _ = search(lambda level: level * chance.gauss(1, 0.05) <= 2000, confirm=5)
    assert found.kept is not None
    assert found.broke is not None
    assert 2000 / 1.2 < found.kept < 2000 * 1.2
    assert 2000 / 1.2 < found.broke < 2000 * 1.25


def test_a_curve_with_a_hole_ends_below_it() -> None:
    """Kept again above the hole: the knee is where it first broke on the way up."""
    found, _ = search(lambda level: level < 350 or level > 450)
    assert found.kept is not None
    assert found.kept < 400
    assert found.ending == "found"


def test_what_was_kept_above_the_knee_is_said() -> None:
    results = {100: True, 200: False, 400: True}
    found = bracket(results, LIMITS)
    assert (found.kept, found.broke, found.odd, found.ending) == (100, 200, (400,), None)
    assert next_level(results, LIMITS) == 141


@pytest.mark.parametrize(
    ("tries", "confirm", "kept"),
    [
        ([], 1, None),
        ([True], 1, True),
        ([False], 1, False),
        ([True, False, True], 3, True),
        ([True, False, False], 3, False),
        ([True, True], 4, None),
        ([True, True, False, False], 4, False),
        ([True, True, True], 5, True),
        ([None, True, None, True], 3, True),
        ([True, None, None, None], 3, None),
        ([True, None, None, None, None, None], 3, False),
    ],
)
def test_most_tries_decide(tries: list[bool | None], confirm: int, kept: bool | None) -> None:
    assert decided(tries, confirm) is kept
