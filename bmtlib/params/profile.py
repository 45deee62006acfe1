"""What can be tuned on a host: kernel, NIC, IRQs, CPUs; and a profile, which has a role's settings with their reasons.

Profiles are params/profiles/<set>-<role>.yml; a scenario's levers have the same keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from bmtlib.params.cpu_lists import IrqCpus, IsolatedCpus, KernelArgument, RpsCpus
from bmtlib.params.units import Breach, Duration, Params, rules_broken

_KEY = re.compile(r"(net|kernel|vm|fs)(\.[A-Za-z0-9_-]+)+", re.ASCII)
_VALUE = re.compile(r"[A-Za-z0-9_.,:/+-]+( [A-Za-z0-9_.,:/+-]+)*", re.ASCII)


def _check_key(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError("not a sysctl key such as 'net.core.somaxconn'")
    return key


def _number_as_text(value: object) -> object:
    """sysctl knows texts only; YAML makes a number of most of them."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _check_value(value: str) -> str:
    if not _VALUE.fullmatch(value):
        raise ValueError(f"{value!r} is not a sysctl value: words of letters and digits, one space between them")
    return value


SysctlKey = Annotated[str, AfterValidator(_check_key)]
SysctlValue = Annotated[
    str,
    BeforeValidator(_number_as_text),
    AfterValidator(_check_value),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string", "pattern": f"^{_VALUE.pattern}$"}]}),
]


class SysctlSetting(Params):
    """One kernel setting."""

    value: SysctlValue = Field(description="The value, as sysctl(8) takes it.")
    reason: str = Field(min_length=1, description="Why it is set, or why it does not hold.")
    source: str = Field(default="", description="Where this can be read.")
    holds: bool = Field(
        default=True,
        description="false: on today's kernels, in this role, it does not do what it was set for (unknown key, no "
        "effect, or harm). It stays in the profile only so that the study can be repeated.",
    )


CoalesceKey = Literal["rx-usecs", "rx-frames", "tx-usecs", "tx-frames", "adaptive-rx", "adaptive-tx"]
FlowType = Literal["tcp4", "udp4"]
Feature = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]

_FLOW_LETTERS = "mvtsdfnr"
_U32_MAX = 2**32 - 1


def _check_flow_fields(text: str) -> str:
    if not text or len(set(text)) != len(text) or not set(text) <= set(_FLOW_LETTERS):
        raise ValueError(
            f"{text!r} does not name header fields: different letters of '{_FLOW_LETTERS}' (man ethtool, "
            "rx-flow-hash), such as 'sdfn' for both addresses and both ports"
        )
    return text


def _check_governor(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z_]{0,15}", text, re.ASCII):
        raise ValueError(f"{text!r} is not a CPU frequency governor such as 'performance'")
    return text


FlowFields = Annotated[
    str,
    AfterValidator(_check_flow_fields),
    WithJsonSchema({"type": "string", "pattern": f"^[{_FLOW_LETTERS}]{{1,{len(_FLOW_LETTERS)}}}$"}),
]
Governor = Annotated[str, AfterValidator(_check_governor), WithJsonSchema({"type": "string", "pattern": "^[a-z_]+$"})]
_Descriptors = Annotated[int, Field(ge=1, le=65_536)] | Literal["max"] | None
_Queues = Annotated[int, Field(ge=1, le=4096)]


class Nic(Params):
    """The network interfaces that carry the test's traffic. null, or a key left out: as it is."""

    channels: _Queues | Literal["auto"] | None = Field(
        default=None,
        description="Queues (ethtool -L combined); auto: as many as the card can have, at most one per CPU of its NUMA "
        "node.",
    )
    ring_rx: _Descriptors = Field(default=None, description="Receive ring, packets per queue (ethtool -G rx), or max.")
    ring_tx: _Descriptors = Field(default=None, description="Transmit ring, packets per queue (ethtool -G tx), or max.")
    coalesce: dict[CoalesceKey, Annotated[int, Field(ge=0, le=_U32_MAX)] | bool] = Field(
        default={},
        description="When the card raises an IRQ (ethtool -C): microseconds, packets; adaptive-*: true, false.",
    )
    features: dict[Feature, bool] = Field(default={}, description="Offloads (ethtool -K), e.g. gro: false.")
    rx_flow_hash: dict[FlowType, FlowFields] = Field(
        default={},
        description="Header fields that choose the receive queue (ethtool -N rx-flow-hash), e.g. tcp4: sdfn.",
    )
    indirection: _Queues | None = Field(
        default=None, description="Spread flows evenly over the first so many queues (ethtool -X equal)."
    )
    txqueuelen: int | None = Field(
        default=None, ge=0, le=_U32_MAX, description="Packets that wait before the transmit ring (ip link, txqueuelen)."
    )

    @model_validator(mode="after")
    def _rules(self) -> Self:
        breaches: list[Breach] = [
            (("coalesce", key), "needs true or false" if "adaptive" in key else "needs a number")
            for key, value in self.coalesce.items()
            if isinstance(value, bool) != key.startswith("adaptive")
        ]
        if isinstance(self.channels, int) and self.indirection is not None and self.indirection > self.channels:
            breaches.append(
                (("indirection",), f"{self.indirection} queues, and channels gives the card {self.channels}")
            )
        if breaches:
            raise rules_broken(breaches)
        return self


class Irq(Params):
    """The interrupts of the interfaces' queues."""

    cpus: IrqCpus | None = Field(
        default=None,
        description="Queue i's IRQ goes to the i-th of these CPUs, in turn. all: the host's CPUs for the test; proxy: "
        "those that the proxy's threads are pinned to; others: all but these; or a list such as '2-3'. irqbalance is "
        "stopped meanwhile.",
    )


class Steering(Params):
    """Spreading packets over CPUs by software, where the queues are fewer than the CPUs."""

    rps_cpus: RpsCpus | None = Field(
        default=None, description="CPUs that take packets from every receive queue (RPS): all, none or a list."
    )
    rfs_entries: int | None = Field(
        default=None,
        ge=0,
        le=2**29,
        description="Flows that are kept on the CPU of their program (RFS): a power of two, or 0 for none.",
    )
    xps: Literal["spread", "none"] | None = Field(
        default=None, description="spread: each CPU sends by a queue of its own (XPS); none: the driver chooses."
    )

    @model_validator(mode="after")
    def _rules(self) -> Self:
        entries = self.rfs_entries
        if entries and entries & (entries - 1):
            why = f"{entries} is no power of two: the kernel would take {1 << entries.bit_length()}"
            raise rules_broken([(("rfs_entries",), why)])
        return self


class Cpu(Params):
    """The CPUs themselves."""

    governor: Governor | None = Field(default=None, description="CPU frequency governor, e.g. performance.")
    isolate: IsolatedCpus | None = Field(
        default=None,
        description="Everything of the host leaves these CPUs (cgroup cpuset, at run time) but what is pinned to them: "
        "proxy, or a list.",
    )

    kernel_args: Annotated[tuple[KernelArgument, ...], Field(strict=False)] | None = Field(
        default=None,
        description="Arguments of the kernel, e.g. [isolcpus=1-3]. Only `bmt apply` sets them, on hosts of your own; "
        "they count from the next boot on.",
    )


class Reason(Params):
    """Why a NIC, IRQ, steering or CPU key is set; a sysctl says it itself."""

    reason: str = Field(min_length=1, description="Why it is set, or why it does not hold.")
    source: str = Field(default="", description="Where this can be read.")
    holds: bool = Field(default=True, description="false: it does not do what it was set for, as with sysctl.")


class HostTuning(Params):
    """What a profile and a lever have in common. Without a key nothing is touched."""

    sysctl: dict[SysctlKey, SysctlSetting] = Field(default={}, description="Kernel settings: key -> value and reason.")
    nic: Nic = Field(default=Nic(), description="Network interfaces.")
    irq: Irq = Field(default=Irq(), description="Interrupts of their queues.")
    steering: Steering = Field(default=Steering(), description="RPS, RFS, XPS.")
    cpu: Cpu = Field(default=Cpu(), description="Governor and isolation.")
    reasons: dict[str, Reason] = Field(
        default={}, description="Why a key of nic, irq, steering or cpu is set, e.g. nic.ring_rx -> reason."
    )

    @model_validator(mode="after")
    def _reasons_are_of_set_keys(self) -> Self:
        known = hardware_keys(self)
        if wrong := [key for key in self.reasons if key not in known]:
            raise rules_broken([(("reasons", key), "is the reason of a key that is not set") for key in wrong])
        return self


def hardware_keys(wish: HostTuning) -> dict[str, Any]:
    """Every wish that is no sysctl, by dotted key.

    >>> hardware_keys(HostTuning(nic=Nic(ring_rx="max", features={"gro": False}), irq=Irq(cpus="0-1")))
    {'nic.ring_rx': 'max', 'nic.features.gro': False, 'irq.cpus': '0-1'}
    """

    def walk() -> Iterator[tuple[str, Any]]:
        for part in ("nic", "irq", "steering", "cpu"):
            for key, value in getattr(wish, part):
                if isinstance(value, dict):
                    yield from ((f"{part}.{key}.{name}", single) for name, single in value.items())
                elif value is not None:
                    yield f"{part}.{key}", value

    return dict(walk())


def merged(base: HostTuning, over: HostTuning) -> HostTuning:
    """Both; where both speak of one key, `over` has the last word.

    >>> merged(HostTuning(nic=Nic(channels=1, txqueuelen=9)), HostTuning(nic=Nic(channels=2))).nic.channels
    2
    """

    def both(part: str) -> dict[str, Any]:
        old, new = getattr(base, part), getattr(over, part)
        values = dict(old)
        for key, value in new:
            if isinstance(value, dict):
                values[key] = {**values[key], **value}
            elif value is not None:
                values[key] = value
        return values

    return HostTuning(
        sysctl={**base.sysctl, **over.sysctl},
        nic=Nic(**both("nic")),
        irq=Irq(**both("irq")),
        steering=Steering(**both("steering")),
        cpu=Cpu(**both("cpu")),
        # A reason belongs to the value that it was given for.
        reasons={key: base.reasons[key] for key in base.reasons.keys() - hardware_keys(over).keys()} | over.reasons,
    )


class Nginx(Params):
    """nginx on a web host. nofile and connections are cut to what the host allows."""

    worker_processes: int = Field(default=2, ge=1, le=1024, description="Worker processes.")
    worker_connections: int = Field(
        default=16_384, ge=1, le=10_000_000, description="Connections per worker at one time."
    )
    worker_rlimit_nofile: int = Field(default=65_536, ge=1, le=2**30, description="Open files per worker.")
    backlog: int = Field(
        default=511, ge=1, le=2**31 - 1, description="Length of the listen queue; somaxconn bounds it."
    )
    access_log: bool = Field(default=False, description="Write a log line per request.")
    keepalive_timeout: Duration = Field(default="75s", description="How long an idle connection stays open.")
    keepalive_requests: int | None = Field(
        default=None, ge=1, le=2**31 - 1, description="Requests per connection; null: nginx's own default."
    )


class Profile(HostTuning):
    """Settings of one role. Which of them a host can take is found out when they are applied."""

    title: str = Field(min_length=1, description="One line.")
    source: str = Field(min_length=1, description="Where the settings come from.")
    nginx: Nginx | None = Field(default=None, description="nginx settings; only for the role web.")

    @model_validator(mode="after")
    def _every_key_has_its_reason(self) -> Self:
        if bare := [key for key in hardware_keys(self) if key not in self.reasons]:
            raise rules_broken([(tuple(key.split(".")), "has no entry in `reasons`") for key in bare])
        return self


Role = Literal["client", "director", "web"]
ROLES: tuple[Role, ...] = get_args(Role)
