"""Clocks by round trips: the estimate on made-up ways, there and back."""

from __future__ import annotations

import random

import pytest

from bmtlib.hosts.clock import Sample, estimate


def trips(offset: float, rng: random.Random, *, start: float = 0.0005, count: int = 8) -> list[Sample]:
    """Round trips to a clock that is off: way there, two starts of `date`, way back; each with waiting of its own."""
    samples = []
    now = 1.8e9
    for _ in range(count):
        there, back = (0.0002 + rng.expovariate(1 / 0.002) for _ in range(2))
        samples.append(Sample(sent=now, there=now + there + start + offset, back=now + there + 2 * start + back))
        now += 0.01
    return samples


@pytest.mark.parametrize("offset", [-3600.0, -0.08, 0.0, 0.0049, 12.5])
def test_the_offset_lies_within_what_is_said(offset: float) -> None:
    rng = random.Random(7)
    errors = []
    for _ in range(300):
        found = estimate("web01", trips(offset, rng))
        assert abs(found.offset_s - offset) <= found.uncertainty_s + 1e-6
        errors.append(abs(found.offset_s - offset))
    assert sorted(errors)[150] < 0.0008, "the shortest of eight is much better than the middle one"


def test_one_slow_way_is_told_as_uncertain() -> None:
    """All the waiting on the way there: no round trip can see that."""
    found = estimate("web01", [Sample(sent=10.0, there=10.1, back=10.1)])
    assert (found.offset_s, found.uncertainty_s) == (0.05, 0.05)
