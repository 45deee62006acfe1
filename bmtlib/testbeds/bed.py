"""What every testbed is once it is up: hosts by role, and what may be asked of which."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from bmtlib.hosts.host import Host
from bmtlib.params.testbed import Network
from bmtlib.testbeds.placement import Placement


class Bed(ABC):
    """Running hosts. A context manager; `close()` ends what was brought up, and the connections to what was not.

    `hosts` is in the order director, web hosts, clients. `rps`: whether receive processing is pinned to each host's
    CPUs; where hosts share a machine, the director's cost is not separable without it. `placement`: the director's
    CPUs, and those that the controller must keep to (none: it shares no machine with them).
    """

    network: Network
    placement: Placement
    hosts: dict[str, Host]
    fidelity: str
    rps: bool
    about: dict[str, object] | None = None  # of a virtual machine, where there is one
    queues: int | None = None  # of the director's interfaces, where these can be chosen

    def role(self, role: str) -> list[Host]:
        return [host for host in self.hosts.values() if host.role == role]

    @property
    def director(self) -> Host:
        return self.role("director")[0]

    def speaks_for_machine(self, host: Host) -> bool:
        """Whether what is the machine's and no namespace's own is read on this host: one host for each kernel."""
        if host.machine == self.director.machine:
            return host is self.director
        return host is next(other for other in self.hosts.values() if other.machine == host.machine)

    @abstractmethod
    def observer_cpus(self, host: Host) -> frozenset[int] | None:
        """Where to run what looks at `host`; None: on any CPU that it has."""

    def trouble(self) -> list[str]:
        """Lines in which a director of its own kernel told of trouble."""
        return []

    def clocks(self) -> dict[str, dict[str, float]]:
        """By how much each host's clock is off, and how sure that is, in milliseconds; set on the hosts as well.

        Empty where all have one clock.
        """
        return {}

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
