"""How many CPUs a virtual director gets."""

from __future__ import annotations

import pytest

from bmtlib.params.testbed import Testbed, Vm
from bmtlib.testbeds.bring_up import vcpus_of
from bmtlib.testbeds.placement import Placement


@pytest.mark.parametrize(
    ("testbed", "director", "wanted", "vcpus"),
    [
        (Testbed(), {3}, 4, None),
        (Testbed(kind="vm"), {3}, 1, 1),
        (Testbed(kind="vm"), {2, 3}, 1, 2),
        (Testbed(kind="vm"), {3}, 2, 2),  # the scenario's question needs two
        (Testbed(kind="vm", vm=Vm(vcpus=1)), {2, 3}, 4, 1),  # the user has said it
    ],
)
def test_vcpus(testbed: Testbed, director: set[int], wanted: int, vcpus: int | None) -> None:
    placement = Placement(director=frozenset(director), others=frozenset({0}))
    assert vcpus_of(testbed, placement, wanted) == vcpus
