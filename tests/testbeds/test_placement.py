"""Which CPUs the director gets."""

from __future__ import annotations

import os
import threading

import pytest

from bmtlib.errors import InputError
from bmtlib.testbeds.placement import Placement, pin_process, place


def cpus(*numbers: int) -> frozenset[int]:
    return frozenset(numbers)


@pytest.mark.parametrize(
    ("available", "director"),
    [
        (cpus(0, 1), cpus(1)),
        (cpus(0, 1, 2), cpus(2)),
        (cpus(*range(4)), cpus(3)),
        (cpus(*range(7)), cpus(6)),
        (cpus(*range(8)), cpus(6, 7)),
        (cpus(*range(64)), cpus(*range(48, 64))),
        (cpus(2, 5, 9), cpus(9)),
    ],
)
def test_auto_gives_the_last_quarter(available: frozenset[int], director: frozenset[int]) -> None:
    found = place("auto", available)
    assert found.director == director
    assert found.others == available - director
    assert found.separate


def test_one_cpu_is_shared() -> None:
    found = place("auto", cpus(3))
    assert (found.director, found.others, found.separate) == (cpus(3), cpus(3), False)


def test_a_wish() -> None:
    assert place("0", cpus(0, 1)) == Placement(director=cpus(0), others=cpus(1))
    assert place("1-2,5", cpus(*range(8))) == Placement(director=cpus(1, 2, 5), others=cpus(0, 3, 4, 6, 7))


def test_a_wish_for_all_cpus_is_shared() -> None:
    found = place("0-1", cpus(0, 1))
    assert (found.director, found.others, found.separate) == (cpus(0, 1), cpus(0, 1), False)


@pytest.mark.parametrize(("wish", "missing"), [("2", "2"), ("1-4", "2-4"), ("0-1,8,9", "8-9")])
def test_a_wish_for_a_cpu_that_is_not_there(wish: str, missing: str) -> None:
    with pytest.raises(InputError, match=f"the director cannot have CPU {missing}: this machine offers 0-1") as caught:
        place(wish, cpus(0, 1))
    assert "director_cpus" in caught.value.where
    assert caught.value.todo


def test_roles() -> None:
    found = place("auto", cpus(0, 1))
    assert found.of("director") == cpus(1)
    assert found.of("client") == found.of("web") == cpus(0)


def test_by_default_the_cpus_that_this_process_may_use() -> None:
    found = place("auto")
    assert found.director | found.others == os.sched_getaffinity(0)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_every_thread_is_pinned_and_those_that_start_later_too() -> None:
    """A notebook's kernel has threads of its own, which would work on the director's CPUs."""
    before, one = os.sched_getaffinity(0), {min(os.sched_getaffinity(0))}
    ready, go, seen = threading.Barrier(2), threading.Event(), []

    def work(begins: bool) -> None:
        if begins:
            ready.wait(5)
            go.wait(5)
        seen.append(os.sched_getaffinity(0))

    running = threading.Thread(target=work, args=(True,))
    running.start()
    ready.wait(5)
    try:
        pin_process(frozenset(one))
        later = threading.Thread(target=work, args=(False,))
        later.start()
        later.join()
        go.set()
        running.join()
        assert seen == [one, one]
    finally:
        go.set()
        pin_process(before)
    assert os.sched_getaffinity(0) == before
