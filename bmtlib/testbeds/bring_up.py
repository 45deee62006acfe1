"""From a testbed's description to running hosts."""

from __future__ import annotations

from bmtlib.params.testbed import Testbed
from bmtlib.testbeds.bed import Bed
from bmtlib.testbeds.netns import Lab
from bmtlib.testbeds.placement import Placement
from bmtlib.testbeds.vm import VmLab


def vcpus_of(testbed: Testbed, placement: Placement, wanted: int) -> int | None:
    """CPUs of a virtual director: what the testbed says, else those it runs on and at least `wanted`. None without."""
    if testbed.kind != "vm":
        return None
    return max(len(placement.director), wanted) if testbed.vm.vcpus == "auto" else testbed.vm.vcpus


def bring_up(
    testbed: Testbed,
    *,
    webs: int,
    clients: int,
    placement: Placement,
    rootless: bool,
    vcpus: int | None = None,
) -> Bed:
    """All hosts of a testbed, up and joined; close() ends them. MachineError where this machine cannot do it."""
    if testbed.kind == "vm":
        assert vcpus is not None
        return VmLab(
            testbed.network,
            testbed.vm,
            vcpus=vcpus,
            webs=webs,
            clients=clients,
            placement=placement,
            rootless=rootless,
        )
    return Lab(testbed.network, webs=webs, clients=clients, placement=placement, rootless=rootless)
