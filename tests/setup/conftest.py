"""A host with four real cards, as tests/golden/hardware/guest.txt has it, and one in a lab."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bmtlib.params.profile import HostTuning
from bmtlib.setup.change import Change
from bmtlib.setup.hardware import hardware_changes
from bmtlib.setup.hardware_facts import HardwareFacts, parse_facts
from bmtlib.setup.sysctl import NotApplied

GOLDEN = Path(__file__).parents[1] / "golden" / "hardware"
Tune = Callable[..., tuple[list[Change], list[NotApplied]]]


@pytest.fixture(scope="session")
def guest() -> HardwareFacts:
    """Three CPUs; eth0 and eth1 virtio-net with three queues (eth1 with RSS), eth2 e1000e, eth3 vmxnet3."""
    return parse_facts("director", (GOLDEN / "guest.txt").read_text())


@pytest.fixture(scope="session")
def veth() -> HardwareFacts:
    return parse_facts("director", (GOLDEN / "veth.txt").read_text())


@pytest.fixture
def tune(guest: HardwareFacts) -> Tune:
    """`tune({"nic": {...}})`: changes and what was not applied, for eth0 of the guest unless said otherwise."""

    def make(
        wish: dict[str, Any] | HostTuning,
        *,
        facts: HardwareFacts = guest,
        interfaces: Sequence[str] = ("eth0",),
        cpus: Sequence[int] = (0, 1, 2),
        proxy: Sequence[int] = (2,),
        namespace: bool = False,
    ) -> tuple[list[Change], list[NotApplied]]:
        return hardware_changes(
            facts.host,
            wish if isinstance(wish, HostTuning) else HostTuning.model_validate(wish),
            facts,
            interfaces=interfaces,
            cpus=frozenset(cpus),
            proxy_cpus=frozenset(proxy),
            namespace=namespace,
        )

    return make
