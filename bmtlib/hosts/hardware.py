"""A host's CPUs, cards and interrupts, read in one round trip before anything is changed."""

from __future__ import annotations

from collections.abc import Iterable

from bmtlib.hosts.host import Host
from bmtlib.params.profile import HostTuning
from bmtlib.setup.hardware_facts import HardwareFacts, parse_facts, probe

# Some thirty commands, each of which is slow on an emulated processor.
_LONGEST_S = 90


def gather_hardware(
    host: Host, interfaces: Iterable[str] | None = None, *, wish: HostTuning | None = None
) -> HardwareFacts:
    """Facts of `host` and of `interfaces`: those that carry the test's traffic unless said otherwise.

    With `wish` only what it needs is asked for: all of it takes an emulated machine some seconds.
    """
    wanted = sorted(set(host.interfaces.values() if interfaces is None else interfaces))
    look = probe(wanted, wish)
    return parse_facts(host.name, host.run(look.argv, stdin=look.stdin, timeout_s=_LONGEST_S).stdout)
