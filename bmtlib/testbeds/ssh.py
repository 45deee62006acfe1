"""The user's own machines as a testbed: reached, recognised, put in their places. Nothing is changed here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from bmtlib.errors import MachineError
from bmtlib.hosts import sudo
from bmtlib.hosts.clock import ClockOffset, measure_offset
from bmtlib.hosts.connect import Roads, connect
from bmtlib.hosts.every import every, good
from bmtlib.hosts.identity import identify
from bmtlib.hosts.ssh import SshHost
from bmtlib.params.fleet import Login
from bmtlib.params.testbed import Network, Testbed
from bmtlib.testbeds.bed import Bed
from bmtlib.testbeds.inventory import find_logins
from bmtlib.testbeds.placement import Placement
from bmtlib.testbeds.seats import seats

STATE = "/var/lib/bmt"  # journal and kept files: they outlive a reboot
Secret = Callable[[Sequence[str]], str]

_BACK_AGAIN_S = 300.0  # a host may be rebooting
_CLOCKS_AT_ONCE = 2  # more would wait for our own CPU, and not for their hosts (30 hosts: 0.3 ms off, and 2 ms with 8)


class Company:
    """Hosts that were reached, and why the others were not. `close()` ends all connections."""

    def __init__(self, logins: Sequence[Login], secret: Secret) -> None:
        """`secret` is asked once at the most, with the names of all hosts whose sudo wants a password."""
        self.roads = Roads()
        self.hosts: dict[str, SshHost] = {}
        self.refused: dict[str, BaseException] = {}
        self._asking: set[str] = set()
        try:
            for name, found in every(logins, self._open).items():
                if isinstance(found, BaseException):
                    self.refused[name] = found
                else:
                    self.hosts[name] = found
            self._ask(secret)
        except BaseException:
            self.close()
            raise

    def _open(self, login: Login) -> SshHost:
        host = SshHost(
            name=login.name,
            role=login.role,
            machine=login.name,
            addresses={},
            interfaces={},
            cpus=frozenset(),
            state=STATE,
            connection=connect(login, self.roads),
            open_again=partial(connect, login, self.roads),
        )
        try:
            way = sudo.look(host, login.become)
        except BaseException:
            host.connection.close()
            raise
        host.become = way != "root"
        if way == "asks":
            self._asking.add(host.name)
        return host

    def _ask(self, secret: Secret) -> None:
        asking = [host for host in self.hosts.values() if host.name in self._asking]
        if not asking:
            return
        password = secret([host.name for host in asking])
        for host in asking:
            host.password = password
        for name, found in every(asking, sudo.accept).items():
            if isinstance(found, BaseException):
                self.refused[name] = found
                self.hosts.pop(name).connection.close()

    def close(self) -> None:
        for host in self.hosts.values():
            with suppress(Exception):
                host.connection.close()
        self.roads.close()


class Fleet(Bed):
    """The testbed of kind ssh. `offsets`: how far each host's clock is off, by name."""

    def __init__(
        self, network: Network, logins: Sequence[Login], *, clock_limit_ms: float | None, secret: Secret
    ) -> None:
        """Raises one error for all hosts that cannot be reached, have not the wanted interfaces, or a wrong clock."""
        self.network = network
        self.company = Company(logins, secret)
        try:
            good({**self.company.hosts, **self.company.refused})
            self.hosts = {login.name: self.company.hosts[login.name] for login in logins}
            self.identities = good(every(self.company.hosts.values(), identify))
            self._place(logins)
            self.offsets = self._measure_clocks(self.company.hosts.values())
            _check_clocks(self.offsets, clock_limit_ms)
        except BaseException:
            self.close()
            raise

    def _place(self, logins: Sequence[Login]) -> None:
        """Interfaces, addresses and CPUs of every host; which of them share a machine."""
        found = seats(self.network, logins, self.identities)
        boots = [identity.boot for identity in self.identities.values()]
        for name, seat in found.items():
            host, identity = self.hosts[name], self.identities[name]
            host.interfaces, host.addresses, host.cpus = seat.interfaces, seat.addresses, seat.cpus
            host.namespace = identity.container or boots.count(identity.boot) > 1
            host.machine = f"machine-{boots.index(identity.boot) + 1}" if host.namespace else name
        own = self.identities[self.director.name]
        self.fidelity = "namespace" if self.director.namespace else "virtual" if own.virtual else "physical"
        here = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        with_us = own.boot == here and self.director.namespace
        others = own.cpus - self.director.cpus if with_us else frozenset()
        self.placement = Placement(director=self.director.cpus, others=others)
        self.rps = not self.director.namespace or self._rps_keeps()

    def _rps_keeps(self) -> bool:
        """Whether a director that shares its kernel has its packets handled on its own CPUs alone."""
        for interface in set(self.director.interfaces.values()):
            masks = self.director.run(["sh", "-c", 'cat /sys/class/net/"$1"/queues/rx-*/rps_cpus', "sh", interface])
            for mask in masks.stdout.split():
                bits = int(mask.replace(",", ""), 16)
                if {cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1} != self.director.cpus:
                    return False
        return True

    def observer_cpus(self, host: SshHost) -> frozenset[int] | None:  # type: ignore[override]
        return self.placement.others or None if host is self.director and host.namespace else None

    # --- clocks ----------------------------------------------------------------------------------------------------

    def _measure_clocks(self, some: Iterable[SshHost]) -> dict[str, ClockOffset]:
        hosts = list(some)
        found: dict[str, ClockOffset] = {}
        for first in range(0, len(hosts), _CLOCKS_AT_ONCE):
            found |= good(every(hosts[first : first + _CLOCKS_AT_ONCE], measure_offset))
        for host in hosts:
            host.clock_offset_s = found[host.name].offset_s
        return found

    def clocks(self) -> dict[str, dict[str, float]]:
        """As Bed has it: of clients measured anew, as their start is to be one instant; of the others as at first."""
        self.offsets |= self._measure_clocks(host for host in self.company.hosts.values() if host.role == "client")
        return {
            name: {"offset_ms": round(it.offset_s * 1e3, 3), "uncertainty_ms": round(it.uncertainty_s * 1e3, 3)}
            for name, it in self.offsets.items()
        }

    # --- hosts that went away --------------------------------------------------------------------------------------

    def reconnect(self) -> None:
        """Bring back hosts whose connection broke; a rebooting one has some minutes. MachineError lists the rest."""
        lost = [host for host in self.company.hosts.values() if host.lost() is not None]
        good(every(lost, _bring_back))

    def trouble(self) -> list[str]:
        reasons = ((host.name, host.lost()) for host in self.company.hosts.values())
        return [f"{name}: {why}" for name, why in reasons if why is not None]

    def close(self) -> None:
        self.company.close()


def _bring_back(host: SshHost) -> None:
    deadline = time.monotonic() + _BACK_AGAIN_S
    while True:
        try:
            host.reconnect()
            return
        except MachineError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def _check_clocks(offsets: dict[str, ClockOffset], limit_ms: float | None) -> None:
    if limit_ms is None:
        return
    off = [it for it in offsets.values() if abs(it.offset_s) * 1e3 > limit_ms + it.uncertainty_s * 1e3]
    if off:
        lines = "\n    ".join(
            f"{it.host}: {it.offset_s * 1e3:+.1f} ms (to within {it.uncertainty_s * 1e3:.1f})" for it in off
        )
        raise MachineError(
            f"clocks that are more than {limit_ms:g} ms off this machine's:\n    {lines}",
            where="testbed ssh.clock_limit_ms",
            todo="set them by NTP (chronyc makestep); or accept it: --set testbed.ssh.clock_limit_ms=null",
        )


def open_fleet(
    testbed: Testbed, *, webs: int, clients: int, secret: Secret, tell: Callable[[str], None] = lambda _: None
) -> Fleet:
    """The hosts of a testbed of kind ssh that a scenario needs, connected."""
    logins = find_logins(testbed, webs=webs, clients=clients, tell=tell)
    return Fleet(testbed.network, logins, clock_limit_ms=testbed.ssh.clock_limit_ms, secret=secret)
