"""What the hosts of a fleet can do, host by host: for `bmt doctor --testbed`. Nothing is changed on any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bmtlib.cpus import to_list
from bmtlib.doctor import Check
from bmtlib.errors import BmtError, InputError
from bmtlib.hosts.clock import ClockOffset, measure_offset
from bmtlib.hosts.every import every
from bmtlib.hosts.host import Host
from bmtlib.hosts.identity import Identity, identify
from bmtlib.hosts.links import Link, read_links
from bmtlib.hosts.ssh import SshHost
from bmtlib.params.fleet import Login
from bmtlib.params.profile import Role
from bmtlib.params.testbed import Network, Testbed
from bmtlib.setup import system as systems
from bmtlib.setup.packages import missing_packages
from bmtlib.setup.system import System
from bmtlib.testbeds.inventory import all_logins
from bmtlib.testbeds.seats import Seat, seats
from bmtlib.testbeds.ssh import Company, Secret

_LITTLE_MIB = 500  # packages of a role take some 200 MiB, and their logs and journals some more
_ASIDE = {"nginx", "haproxy"}  # services of the distribution that a run puts aside, and starts again
_SIDES: dict[Role, tuple[str, ...]] = {"director": ("front", "back"), "web": ("back",), "client": ("front",)}
_NO_LVS = {
    "absent": "nothing: nftables drives l2dsr. For LVS itself: a kernel with ip_vs (RHEL: kernel-modules)",
    "unknown": "modprobe ip_vs shows whether this kernel has it; without, nftables drives l2dsr",
}
_CLOCKS_AT_ONCE = 8  # more would wait for our own CPU, and not for their hosts


@dataclass(frozen=True, kw_only=True)
class HostReport:
    """A host of a fleet: `checks` in the order of a reader's questions; the first says whether it can be reached."""

    host: str
    role: Role
    target: str
    checks: tuple[Check, ...]

    @property
    def serves(self) -> bool:
        """Whether it can do what its role asks for."""
        return all(check.ok is not False for check in self.checks)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was read from a host."""

    identity: Identity
    links: dict[str, Link]
    system: System


def examine_fleet(
    testbed: Testbed, *, secret: Secret, tell: Callable[[str], None] = lambda _: None
) -> list[HostReport]:
    """Every host of the testbed, those that cannot be reached too. Raises InputError when the testbed has no hosts.

    `secret` is asked once at the most, for the hosts whose sudo wants a password.
    """
    if testbed.kind != "ssh":
        raise InputError(
            f"a testbed of kind {testbed.kind} is made on this machine", where="testbed: kind", todo="bmt doctor"
        )
    logins = all_logins(testbed, tell=tell)
    tell(f"reaching {len(logins)} hosts over SSH")
    company = Company(logins, secret)
    try:
        reached = list(company.hosts.values())
        found = every(reached, _look)
        clocks: dict[str, ClockOffset | BaseException] = {}
        for first in range(0, len(reached), _CLOCKS_AT_ONCE):
            clocks |= every(reached[first : first + _CLOCKS_AT_ONCE], measure_offset)
        twins = _twins(found)
        reports = []
        for login in logins:
            checks = [_reach(login, company.hosts.get(login.name), company.refused.get(login.name))]
            if login.name in found:
                checks += judge(login, testbed, found[login.name], clocks[login.name], twins.get(login.name))
            reports.append(HostReport(host=login.name, role=login.role, target=login.target, checks=tuple(checks)))
        return reports
    finally:
        company.close()


def _look(host: Host) -> Findings:
    probe = systems.PROBE
    system = systems.parse(host.name, host.run(probe.argv, stdin=probe.stdin).stdout)
    return Findings(identity=identify(host), links=read_links(host), system=system)


def _twins(found: Mapping[str, Findings | BaseException]) -> dict[str, str]:
    """Name of a host -> another name in the testbed for the same one."""
    first: dict[tuple[str, str], str] = {}
    twins = {}
    for name, findings in found.items():
        if isinstance(findings, Findings):
            other = first.setdefault((findings.identity.boot, findings.identity.netns), name)
            if other != name:
                twins[name] = other
    return twins


def _reach(login: Login, host: SshHost | None, refused: BaseException | None) -> Check:
    if host is None:
        return _failed("reach", refused)
    way = "as root" if not host.become else "sudo" if host.password is None else "sudo with a password"
    user = f"{login.user}@" if login.user else ""
    return Check(name="reach", ok=True, value=f"{user}{login.target}, {way}")


def _failed(name: str, error: BaseException | None) -> Check:
    what, todo = (error.what, error.todo) if isinstance(error, BmtError) else (str(error), "")
    return Check(name=name, ok=False, value=what, todo=todo)


def judge(
    login: Login,
    testbed: Testbed,
    found: Findings | BaseException,
    clock: ClockOffset | BaseException,
    twin: str | None = None,
) -> Iterator[Check]:
    """All that is to be said of a host that was reached. `twin`: another name for the same host."""
    if isinstance(found, BaseException):
        yield _failed("answers", found)
        return
    if twin is not None:
        todo = "each host once: take one of them out of the testbed"
        yield Check(name="identity", ok=False, value=f"the same host as {twin}", todo=todo)
    yield from _system(login, found.system)
    yield from _seat(login, testbed.network, found)
    yield _port(login, testbed.network.port, found.system)
    yield _clock(clock, testbed.ssh.clock_limit_ms)
    yield _space(found.system)
    yield from _programs(login, found.system)


def _system(login: Login, system: System) -> Iterator[Check]:
    strange = systems.unsupported(system)
    todo = "Rocky, Alma or RHEL 8-9, Debian 12, Ubuntu 24.04" if strange else ""
    yield Check(name="system", ok=strange is None, value=strange or f"{system.name}, {system.arch}", todo=todo)
    yield Check(name="kernel", ok=True, value=system.kernel)
    lvs = system.modules.get("ip_vs", "unknown")
    there = lvs in ("loaded", "available")
    todo = "" if there or login.role != "director" else _NO_LVS.get(lvs, _NO_LVS["unknown"])
    yield Check(name="ip_vs", ok=True if there else None, value=lvs, todo=todo)


def _seat(login: Login, network: Network, found: Findings) -> Iterator[Check]:
    """The interfaces and CPUs that the role gets there, or why it cannot."""
    try:
        seat: Seat = seats(network, [login], {login.name: found.identity})[login.name]
    except InputError as error:
        yield Check(name="place", ok=False, value=error.what.splitlines()[-1].strip(), todo=error.todo)
        return
    for side in _SIDES[login.role]:
        link = found.links[seat.interfaces[side]]
        value = f"{link}, {seat.addresses[side]}"
        if link.up:
            yield Check(name=side, ok=True, value=value)
        else:
            yield Check(name=side, ok=False, value=f"{value}: down", todo=f"ip link set {link.name} up, and its cable")
    cpus, nodes = found.identity.cpus, found.system.numa_nodes
    value = f"{len(cpus)} ({to_list(cpus)}), {nodes} NUMA node{'s' * (nodes != 1)}"
    used = f"; used: {to_list(seat.cpus)}" if seat.cpus != cpus else ""
    yield Check(name="CPUs", ok=True, value=value + used)


def _port(login: Login, port: int, system: System) -> Check:
    if login.role == "client":
        return Check(name="port", ok=True, value="none needed")
    owners = [system.processes.get(pid) for _, number, pid in system.listeners if number == port]
    if not owners:
        return Check(name="port", ok=True, value=f"{port} is free")
    names = list(dict.fromkeys(owner.name if owner else "a program" for owner in owners))
    value = f"{', '.join(names)} listens on {port}"
    if set(names) <= _ASIDE:
        return Check(name="port", ok=None, value=f"{value}; a run puts it aside, and starts it again")
    return Check(name="port", ok=False, value=value, todo="stop it, or --set testbed.network.port=...")


def _clock(clock: ClockOffset | BaseException, limit_ms: float | None) -> Check:
    if isinstance(clock, BaseException):
        return _failed("clock", clock)
    ms, doubt = clock.offset_s * 1e3, clock.uncertainty_s * 1e3
    value = f"{ms:+.1f} ms (to within {doubt:.1f})"
    if limit_ms is None or abs(ms) <= limit_ms + doubt:
        return Check(name="clock", ok=True, value=value)
    todo = "set it by NTP (chronyc makestep); or accept it: --set testbed.ssh.clock_limit_ms=null"
    return Check(name="clock", ok=False, value=f"{value}, more than {limit_ms:g} ms", todo=todo)


def _space(system: System) -> Check:
    free = {place: kib / 1024 for place, kib in system.free_kib.items()}
    value = ", ".join(f"{place} {mib / 1024:.1f} GiB free" for place, mib in free.items()) or "unknown"
    full = [place for place, mib in free.items() if mib < _LITTLE_MIB]
    if full:
        return Check(name="space", ok=False, value=value, todo=f"free {_LITTLE_MIB} MiB on {', '.join(full)}")
    return Check(name="space", ok=True if free else None, value=value)


def _programs(login: Login, system: System) -> Iterator[Check]:
    """What the role runs, and on a director what any arm may want of it."""
    if systems.unsupported(system) is not None:
        return
    engine = "nft" if system.modules.get("ip_vs") == "absent" else "ipvs"
    missing: Sequence[str] = missing_packages(login.role, ["haproxy", engine], system)
    if not missing:
        yield Check(name="programs", ok=True, value="all there")
        return
    todo = "nothing: `bmt run` and `bmt apply` install them, and rolling back removes them"
    yield Check(name="programs", ok=None, value=f"missing: {', '.join(missing)}", todo=todo)
