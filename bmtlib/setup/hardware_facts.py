"""What a host's CPUs, cards and interrupts are, from what hardware_script.FACTS printed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bmtlib.cpus import parse_list
from bmtlib.errors import ParseError
from bmtlib.params.profile import HostTuning, hardware_keys
from bmtlib.parsers import ethtool, ethtool_flows, hardware
from bmtlib.parsers.hardware import SectionRow
from bmtlib.setup.change import Command, command
from bmtlib.setup.hardware_script import FACTS


@dataclass(frozen=True, kw_only=True)
class QueueIrq:
    """One interrupt of a card. `queue` is None for one that serves no queue; `cpus` is a list such as "0-2"."""

    irq: int
    name: str
    queue: int | None
    cpus: str


@dataclass(frozen=True, kw_only=True)
class Range:
    """A ring's size or a number of queues: now, and the most the card can have. None: the card has no such thing."""

    now: int | None
    maximum: int | None


@dataclass(frozen=True, kw_only=True)
class Feature:
    """An offload, or a heading over several (`parent`). `wanted`: what was asked of the kernel, if it could or not."""

    parent: str | None
    on: bool
    wanted: bool
    fixed: bool


@dataclass(frozen=True, kw_only=True)
class NicFacts:
    """One interface. What was not asked for is empty, and what its driver does not tell; `refused` has its words then,
    by ethtool's option.

    `masks` holds rps_cpus, rps_flow_cnt and xps_cpus as the kernel prints them, by file ("rx-0/rps_cpus").
    """

    driver: str
    txqueuelen: int
    numa_node: int | None
    channels: dict[str, Range]
    rings: dict[str, Range]
    coalesce: dict[str, int | bool | None]
    features: dict[str, Feature]
    indirection: tuple[int, ...]
    flow_hash: dict[str, str]
    irqs: tuple[QueueIrq, ...]
    masks: dict[str, str]
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def queues(self) -> int:
        """Receive queues in use."""
        return sum(name.endswith("/rps_cpus") for name in self.masks) or 1


@dataclass(frozen=True, kw_only=True)
class HardwareFacts:
    """One host. CPUs are lists such as "0-2".

    `irqbalance` is process id -> command line in base64; `boot_tools` are the programs that change the kernel's
    arguments; `controllers` are those of cgroup v2 at the root that we see, "" without; `cgroup_root` says whether
    that is the machine's own root.
    """

    host: str
    cpus: str
    isolated: str
    nodes: dict[int, str]
    governors: dict[int, str]
    governors_available: tuple[str, ...]
    cpusets: tuple[str, ...]
    controllers: str
    cgroup_root: bool
    systemd: bool
    irqbalance: dict[int, str]
    irqbalance_unit: bool
    rfs_entries: int | None
    boot_tools: tuple[str, ...]
    nics: dict[str, NicFacts]

    def node_cpus(self, interface: str) -> frozenset[int]:
        """CPUs of the card's NUMA node: all, where it is not known."""
        node = self.nics[interface].numa_node
        return parse_list(self.nodes[node] if node is not None and node in self.nodes else self.cpus)


# Letters of the script's parts -> wishes (beginnings of their keys) that need them.
_NEEDED_FOR = {
    "l": ("nic.channels",),
    "x": ("nic.channels", "nic.indirection"),
    "g": ("nic.ring",),
    "c": ("nic.coalesce",),
    "k": ("nic.features",),
    "n": ("nic.rx_flow_hash",),
    "I": ("irq", "nic.channels"),
    "G": ("cpu.governor",),
    "C": ("cpu.isolate",),
}


def probe(interfaces: Sequence[str], wish: HostTuning | None = None) -> Command:
    """The command whose output `parse_facts` reads; with `wish` it asks only for what that needs.

    >>> probe(["eth0"], HostTuning.model_validate({"irq": {"cpus": "all"}})).argv
    ('sh', '-s', '--', 'iI', 'eth0')
    """
    keys = () if wish is None else tuple(hardware_keys(wish))
    parts = "".join(part for part, starts in _NEEDED_FOR.items() if any(key.startswith(starts) for key in keys))
    return command("sh", "-s", "--", "" if wish is None else f"i{parts}", *interfaces, stdin=FACTS)


def parse_facts(host: str, text: str) -> HardwareFacts:
    """The facts. Raises ParseError for what our own script cannot have printed."""
    sections = _Sections((row["title"], row) for row in hardware.parse(text))
    cpus = _pairs(sections["cpus"])
    machine = _words(sections["machine"])
    names = [title.split()[1] for title in sections if title.startswith("link ")]
    return HardwareFacts(
        host=host,
        cpus=cpus["online"],
        isolated=cpus.get("isolated", ""),
        nodes={_number(file): value for file, value in _pairs(sections["nodes"]).items()},
        governors={_number(file): value for file, value in _pairs(sections["governors"]).items()},
        governors_available=tuple(word for value in machine.get("governors", []) for word in value.split()),
        cpusets=() if sections["cpusets"]["exit_code"] else tuple(sections["cpusets"]["text"].splitlines()),
        controllers=" ".join(machine.get("controllers", [])),
        cgroup_root="cgroup_root" in machine,
        systemd="systemd" in machine,
        irqbalance={int(line.split()[0]): line.split()[1] for line in machine.get("irqbalance", [])},
        irqbalance_unit="irqbalance_unit" in machine,
        rfs_entries=int(machine["rfs_entries"][0]) if "rfs_entries" in machine else None,
        boot_tools=tuple(machine.get("boot_tool", [])),
        nics={name: _nic(name, sections) for name in names},
    )


class _Sections(dict[str, SectionRow]):
    """By title; one that was not asked for is empty."""

    def __missing__(self, title: str) -> SectionRow:
        return SectionRow(title=title, exit_code=0, text="")


def _nic(name: str, sections: _Sections) -> NicFacts:
    refused: dict[str, str] = {}

    def rows(option: str, parse: Callable[[str], Sequence[Any]]) -> Sequence[Any]:
        """What ethtool said; nothing, with the reason kept, when the driver lacks it or our parser does not know it."""
        words = option.split()
        section = sections[" ".join(["ethtool", words[0], name, *words[1:]])]
        if not section["text"]:
            return []
        if section["exit_code"]:
            refused[option] = " ".join(section["text"].split())
            return []
        try:
            return parse(section["text"])
        except ParseError as error:
            refused[option] = f"its answer is not understood: {error.why}: {error.line!r}"
            return []

    link = {key: values[0] for key, values in _words(sections[f"link {name}"]).items()}
    node = int(link.get("numa_node", -1))
    driver = rows("-i", ethtool.parse_driver)
    flows = [row for flow in ("tcp4", "udp4") for row in rows(f"-n rx-flow-hash {flow}", ethtool_flows.parse_flow_hash)]
    return NicFacts(
        driver=driver[0]["driver"] if driver else "",
        txqueuelen=int(link["txqueuelen"]),
        numa_node=node if node >= 0 else None,
        channels=_ranges(rows("-l", ethtool.parse_channels)),
        rings=_ranges(rows("-g", ethtool.parse_ring)),
        coalesce={
            row["setting"]: row["value"] if row["on"] is None else row["on"]
            for row in rows("-c", ethtool_flows.parse_coalesce)
        },
        features={
            row["feature"]: Feature(
                parent=row["parent"],
                on=row["on"],
                fixed=row["fixed"],
                wanted=row["on"] if row["requested"] is None else row["requested"],
            )
            for row in rows("-k", ethtool.parse_features)
        },
        indirection=tuple(row["queue"] for row in rows("-x", ethtool_flows.parse_rxfh)),
        flow_hash={row["flow"]: row["fields"] for row in flows},
        irqs=_irqs(sections[f"queue_irqs {name}"]),
        masks=_pairs(sections[f"masks {name}"]),
        refused=refused,
    )


def _ranges(rows: Sequence[Any]) -> dict[str, Range]:
    return {row["setting"]: Range(now=row["current"], maximum=row["maximum"]) for row in rows}


def _irqs(section: SectionRow) -> tuple[QueueIrq, ...]:
    found = []
    for line in section["text"].splitlines():
        queue, irq, cpus, name = line.split(" ", 3)
        number = int(queue) if queue.isdigit() else None
        found.append(QueueIrq(irq=int(irq), name=name, queue=number, cpus=cpus))
    return tuple(found)


def _pairs(section: SectionRow) -> dict[str, str]:
    """Lines `file:content` as `grep -s ''` prints them."""
    pairs = (line.partition(":") for line in section["text"].splitlines())
    return {file: value.strip() for file, _, value in pairs}


def _words(section: SectionRow) -> dict[str, list[str]]:
    """Lines `key value`; a key may stand several times."""
    found: dict[str, list[str]] = {}
    for line in section["text"].splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key, []).append(value)
    return found


def _number(file: str) -> int:
    """The number in `node0/cpulist` or `cpu3/cpufreq/scaling_governor`."""
    match = re.match(r"[a-z]+(\d+)/", file)
    if match is None:
        raise ParseError("hardware", 1, file, "expected the file of a node or CPU")
    return int(match[1])
