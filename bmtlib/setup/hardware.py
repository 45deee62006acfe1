"""A tuning's wishes for cards, interrupts, steering and CPUs -> changes of one host, in the order they need.

Sysctls are setup/sysctl.py's. A change of queues makes the driver forget IRQs' CPUs and masks, so those come after it.
"""

from __future__ import annotations

from collections.abc import Sequence

from bmtlib.cpus import parse_list, to_list
from bmtlib.params.profile import HostTuning, Profile, hardware_keys
from bmtlib.setup.change import Change, command
from bmtlib.setup.hardware_facts import HardwareFacts
from bmtlib.setup.hardware_script import DUMP
from bmtlib.setup.irq import irq_changes, irqbalance_changes
from bmtlib.setup.isolation import isolation_changes
from bmtlib.setup.ledger import Ledger
from bmtlib.setup.nic import nic_changes
from bmtlib.setup.steering import rfs_changes, rfs_entries_change, rps_changes, xps_changes
from bmtlib.setup.sysctl import NotApplied

_OF_THE_MACHINE = "belongs to the whole machine; a lab leaves it alone"


def dump_script() -> str:
    """Shell that prints every setting that this module can change, and the network's sysctls, in a stable order.

    What it prints before changes and after their undo is the same, byte for byte. parsers/hardware.py reads it.
    """
    return DUMP


def hardware_changes(
    host: str,
    wish: HostTuning,
    facts: HardwareFacts,
    *,
    interfaces: Sequence[str],
    cpus: frozenset[int],
    proxy_cpus: frozenset[int],
    namespace: bool,
) -> tuple[list[Change], list[NotApplied]]:
    """Changes that bring `host` to `wish`, and what it cannot have, with the reason.

    `cpus` are the role's; `proxy_cpus` those that a proxy's threads are pinned to. With `namespace` nothing is touched
    but the host's own interfaces. InputError: a number or CPU beyond what the host has. Not so for a profile, whose
    numbers were made for another machine, nor in a lab: there it is reported.
    """
    strict = not isinstance(wish, Profile) and not namespace
    ledger = Ledger(host=host, strict=strict, reasons=wish.reasons)
    words = _Words(ledger=ledger, facts=facts, cpus=cpus, proxy=proxy_cpus)
    if namespace:
        for key in ("irq.cpus", "cpu.governor", "cpu.isolate", "steering.rfs_entries"):
            if key in hardware_keys(wish):
                ledger.cannot(key.replace(".", " "), hardware_keys(wish)[key], None, _OF_THE_MACHINE)
    present = [name for name in dict.fromkeys(interfaces) if name in facts.nics]
    queues, irq_cpus = {}, {}
    if not namespace:
        irq_cpus = {name: words.resolve("irq.cpus", f"irq {name}", wish.irq.cpus, name) for name in present}
    if any(irq_cpus.values()):
        irqbalance_changes(ledger, facts)
    for name in present:
        near = facts.node_cpus(name) & cpus or cpus
        queues[name] = nic_changes(ledger, name, wish.nic, facts.nics[name], near=len(near))
    for name, order in irq_cpus.items():
        if order:
            irq_changes(ledger, name, order, facts.nics[name], queues=queues[name])
    entries = wish.steering.rfs_entries if not namespace else None
    if entries is not None:
        rfs_entries_change(ledger, entries, facts)
    for name in present:
        nic, count = facts.nics[name], queues[name]
        if wish.steering.rps_cpus == "none":
            rps_changes(ledger, name, (), nic, queues=count)
        elif order := words.resolve("steering.rps_cpus", f"steering {name} rps_cpus", wish.steering.rps_cpus, name):
            rps_changes(ledger, name, order, nic, queues=count)
        if entries is not None and facts.rfs_entries is not None:
            rfs_changes(ledger, name, entries, nic, queues=count)
        if wish.steering.xps is not None:
            xps_changes(ledger, name, wish.steering.xps, facts, queues=count)
    if not namespace:
        if wish.cpu.governor is not None:
            _governor(ledger, wish.cpu.governor, facts)
        if aside := words.resolve("cpu.isolate", "cpu isolate", wish.cpu.isolate, None):
            isolation_changes(ledger, frozenset(aside), facts, proxy_cpus=proxy_cpus)
    return ledger.changes, ledger.not_applied


class _Words:
    """CPUs behind the words of a wish."""

    def __init__(self, *, ledger: Ledger, facts: HardwareFacts, cpus: frozenset[int], proxy: frozenset[int]) -> None:
        self.ledger, self.facts, self.cpus, self.proxy = ledger, facts, cpus, proxy

    def resolve(self, key: str, what: str, wish: str | None, interface: str | None) -> list[int]:
        """CPUs in the order of their turns: those of the card's NUMA node first; none, when there is nothing to do."""
        if wish is None:
            return []
        if wish == "proxy" and not self.proxy:
            self.ledger.cannot(what, wish, None, "no proxy has CPUs of its own in this case")
            return []
        named = {"all": self.cpus, "proxy": self.proxy, "others": self.cpus - self.proxy}
        found = named[wish] if wish in named else parse_list(wish)
        online = parse_list(self.facts.cpus)
        if not found:
            why = f"the proxy has all CPUs of this host ({to_list(self.cpus)})"
            self.ledger.beyond(key, what, wish, None, why, todo="fewer threads, or more CPUs for the host")
            return []
        if missing := found - online:
            why = f"it has no CPU {to_list(missing)}, but {self.facts.cpus}"
            self.ledger.beyond(key, what, wish, None, why, todo=f"CPUs among {self.facts.cpus}, or a word for them")
            return []
        near = self.facts.node_cpus(interface) if interface is not None else online
        return [*sorted(found & near), *sorted(found - near)]


def _governor(ledger: Ledger, want: str, facts: HardwareFacts) -> None:
    what, now = "cpu governor", sorted(set(facts.governors.values()))
    if not now:
        ledger.cannot(what, want, None, "the kernel scales no CPU frequency here")
    elif facts.governors_available and want not in facts.governors_available:
        ledger.cannot(what, want, " ".join(now), f"the kernel has only {', '.join(facts.governors_available)}")
    elif now != [want]:
        place = "/sys/devices/system/cpu/cpu"
        each = f'for f in {place}[0-9]*/cpufreq/scaling_governor; do echo "$1" > "$f" || exit 1; done'
        # A CPU that is offline by now has no governor to put back.
        write = f'f={place}$cpu/cpufreq/scaling_governor; [ ! -e "$f" ] || echo "$old" > "$f" || exit 1'
        back = f"while read -r cpu old; do {write}; done"
        ledger.change(
            "cpu.governor",
            what,
            before=" ".join(now),
            want=want,
            do=command("sh", "-c", each, "sh", want),
            undo=command("sh", "-c", back, stdin="".join(f"{cpu} {old}\n" for cpu, old in facts.governors.items())),
            check=command("sh", "-c", f"cat {place}[0-9]*/cpufreq/scaling_governor | sort -u"),
            expect=want,
            scope="machine",
        )
