"""What a host of the user's own is and has: facts that packages, units, firewalls and kernel arguments depend on."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from bmtlib.errors import ParseError
from bmtlib.setup import system_script
from bmtlib.setup.change import command

PROBE = command("sh", "-s", stdin=system_script.PROBE)

_RELEASES = {"rocky": ("8", "9"), "almalinux": ("8", "9"), "rhel": ("8", "9"), "debian": ("12",), "ubuntu": ("24.04",)}
# Lines that must be there; other keys are left out where the host does not tell.
_NEEDED = ("os", "kernel", "arch", "uid", "nofile", "nr_open", "memory_kib", "end")
_SINGLE = (
    *("kernel", "arch", "uid", "nofile", "nr_open", "memory_kib", "numa_nodes", "virtualization", "cmdline", "manager"),
    *("systemd", "firewall", "default_zone", "selinux", "boot_args", "end"),
)
_SEVERAL = (
    *("os", "free_kib", "installed", "program", "unit", "listen", "running", "process", "zone", "allow", "label"),
    *("port", "module", "boot_tool", "user", "file", "sum"),
)


@dataclass(frozen=True, kw_only=True)
class UnitState:
    """A service that systemd knows: `active` as "active" or "inactive", `enabled` as "enabled", "static", ..."""

    active: str
    enabled: str


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process that listens, or is of ours. `unit` is its service, or ""; `line` its command line, in base64."""

    pid: int
    parent: int
    name: str
    unit: str
    program: str
    line: str

    @property
    def words(self) -> tuple[str, ...]:
        """What would start it again.

        >>> line = base64.b64encode(b"nginx: master process nginx -c /etc/n.conf\\0\\0").decode()
        >>> Process(pid=7, parent=1, name="nginx", unit="", program="/usr/sbin/nginx", line=line).words
        ('/usr/sbin/nginx', '-c', '/etc/n.conf')
        """
        text = _text(self.line).rstrip("\0")
        # nginx writes over its own command line, and keeps it behind these words.
        title = text.removeprefix("nginx: master process ")
        words = text.split("\0") if title == text else title.split()
        return (self.program, *words[1:])


@dataclass(frozen=True, kw_only=True)
class Running:
    """A service of ours at work; `cpus` as pinning.pinned_check expects it: "running on 0-1"."""

    pid: int
    cpus: str


@dataclass(frozen=True, kw_only=True)
class Zone:
    """A zone of firewalld: its interfaces, and the ports ("80/tcp") and services ("http") that are let in."""

    interfaces: frozenset[str] = frozenset()
    ports: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class System:
    """One host before any change.

    `nofile`: hard limit of open files of a session; `nr_open`: what root may raise it to. `manager`: apt, dnf or "".
    `installed`: packages, of those that a role may need; `programs` likewise. `listeners`: (address, port, pid).
    `firewall`: firewalld, ufw, nftables or iptables (rules that neither of these keeps), or ""; `allowed`: what ufw
    lets in. `selinux`: enforcing, permissive or ""; `ports`: the types that the host's owner gave to TCP ports, by
    number or range; `labels`: types of folders of ours. `modules`: loaded, available, absent, or unknown where the
    kernel's modules are not to be seen. `boot_args`: the kernel's arguments at the next boot, where they can be told.
    `users`: accounts that nginx may run as, of those that are there. `files`: those of ours; `sums`: hashes of the
    static files, by name.
    """

    host: str
    os: str
    like: tuple[str, ...]
    version: str
    name: str
    kernel: str
    arch: str
    uid: int
    nofile: int
    nr_open: int
    memory_kib: int
    free_kib: dict[str, int]
    numa_nodes: int
    virtualization: str
    cmdline: tuple[str, ...]
    manager: str
    installed: frozenset[str]
    programs: frozenset[str]
    systemd: bool
    units: dict[str, UnitState]
    listeners: tuple[tuple[str, int, int], ...]
    processes: dict[int, Process]
    running: dict[str, Running]
    firewall: str
    default_zone: str
    zones: dict[str, Zone]
    allowed: frozenset[str]
    selinux: str
    ports: dict[str, str]
    labels: dict[str, str]
    modules: dict[str, str]
    boot_tools: tuple[str, ...]
    boot_args: tuple[str, ...] | None
    users: frozenset[str]
    files: dict[str, str]
    sums: dict[str, str]

    @property
    def service_nofile(self) -> int:
        """Open files that a service may be given: a unit's limit is systemd's to raise, a session's is not."""
        return self.nr_open if self.systemd else self.nofile


def unsupported(system: System) -> str | None:
    """Why the host cannot be set up; None when it can.

    The systems whose packages, paths and tools are known: Rocky, Alma and RHEL 8 and 9, Debian 12, Ubuntu 24.04.
    """
    versions = _RELEASES.get(system.os, ())
    release = system.version if system.os == "ubuntu" else system.version.partition(".")[0]
    if release not in versions:
        return f"{system.name or system.os or 'an unknown system'} is not supported"
    if not system.manager:
        return f"{system.name} without its package manager is not supported"
    return None


def parse(host: str, text: str) -> System:
    """What PROBE printed. Raises ParseError for what it cannot have printed, and when it was cut off."""
    try:
        return _system(host, _lines(text))
    except (ValueError, LookupError, TypeError) as error:
        raise ParseError("system probe", 1, text[-200:], f"not as the probe prints it: {error}") from error


class _Lines(dict[str, list[str]]):
    """What stands behind each key, in order; a key that is not there has nothing."""

    def __missing__(self, key: str) -> list[str]:
        return []

    def one(self, key: str) -> str:
        return self[key][0] if self[key] else ""

    def number(self, key: str, *, unlimited: int = 0) -> int:
        return unlimited if self[key] == ["unlimited"] else int(self.one(key) if self[key] else 0)

    def pairs(self, key: str) -> list[tuple[str, str]]:
        """Of each line the first word, and the rest."""
        return [(first, rest) for first, _, rest in (line.partition(" ") for line in self[key])]


def _lines(text: str) -> _Lines:
    found = _Lines()
    for number, line in enumerate(text.splitlines(), 1):
        key, _, rest = line.partition(" ")
        if key not in _SEVERAL and (key not in _SINGLE or key in found):
            raise ParseError("system probe", number, line, "unknown key, or one that stands twice")
        found.setdefault(key, []).append(rest.rstrip() if key != "zone" else rest)
    if absent := [key for key in _NEEDED if key not in found]:
        raise ParseError("system probe", text.count("\n"), text[-200:], f"nothing about {', '.join(absent)}")
    return found


def _system(host: str, lines: _Lines) -> System:
    release = {key: " ".join(shlex.split(value)) for key, _, value in (line.partition("=") for line in lines["os"])}
    processes = dict(map(_process, lines["process"]))
    nr_open = lines.number("nr_open")
    return System(
        host=host,
        os=release.get("ID", ""),
        like=tuple(release.get("ID_LIKE", "").split()),
        version=release.get("VERSION_ID", ""),
        name=release.get("PRETTY_NAME", ""),
        kernel=lines.one("kernel"),
        arch=lines.one("arch"),
        uid=lines.number("uid"),
        nofile=lines.number("nofile", unlimited=nr_open),
        nr_open=nr_open,
        memory_kib=lines.number("memory_kib"),
        free_kib={place: int(free) for place, free in lines.pairs("free_kib")},
        numa_nodes=max(1, lines.number("numa_nodes")),
        virtualization=lines.one("virtualization"),
        cmdline=tuple(lines.one("cmdline").split()),
        manager=lines.one("manager"),
        installed=frozenset(lines["installed"]),
        programs=frozenset(lines["program"]),
        systemd=lines.one("systemd") == "yes",
        units=_units(lines["unit"]),
        listeners=tuple(sorted(set(map(_listener, lines["listen"])))),
        processes=processes,
        running={name: _running(rest) for name, rest in lines.pairs("running")},
        firewall=lines.one("firewall"),
        default_zone=lines.one("default_zone"),
        zones=_zones(lines["zone"]),
        allowed=frozenset(lines["allow"]),
        selinux=lines.one("selinux"),
        ports={ports: kind for _, ports, kind in (line.split() for line in lines["port"])},
        labels={path: label.split(":")[2] for path, label in lines.pairs("label")},
        modules=dict(map(_module, lines.pairs("module"))),
        boot_tools=tuple(lines["boot_tool"]),
        boot_args=tuple(lines.one("boot_args").split()) if lines["boot_args"] else None,
        users=frozenset(lines["user"]),
        files={path: _text(content) for path, content in lines.pairs("file")},
        sums={name: digest for digest, name in (rest.split("  ", 1) for rest in lines["sum"])},
    )


def _text(base: str) -> str:
    return base64.b64decode(base, validate=True).decode(errors="replace")


def _module(pair: tuple[str, str]) -> tuple[str, str]:
    if pair[1] not in ("loaded", "available", "absent", "unknown"):
        raise ValueError(f"module {pair[0]} is {pair[1]!r}")
    return pair


def _listener(rest: str) -> tuple[str, int, int]:
    local, pid = rest.split(" ")
    address, _, port = local.rpartition(":")
    return address, int(port), int(pid)


def _running(rest: str) -> Running:
    pid, _, cpus = rest.partition(" ")
    return Running(pid=int(pid), cpus=f"running on {cpus}")


def _process(rest: str) -> tuple[int, Process]:
    pid, parent, unit, program, line, name = rest.split(" ", 5)
    return int(pid), Process(
        pid=int(pid),
        parent=int(parent),
        name=name,
        unit="" if unit == "-" else unit,
        program=_text(program).removesuffix(" (deleted)"),
        line=line,
    )


def _units(lines: Sequence[str]) -> dict[str, UnitState]:
    """Blocks of `systemctl show`, parted by an empty line; units that do not exist are left out."""
    found = {}
    for block in "\n".join(lines).split("\n\n"):
        words = dict(line.split("=", 1) for line in block.splitlines())
        if words.get("LoadState") not in (None, "not-found"):
            found[words["Id"]] = UnitState(active=words["ActiveState"], enabled=words["UnitFileState"])
    return found


def _zones(lines: Sequence[str]) -> dict[str, Zone]:
    """What `firewall-cmd --list-all-zones` says: a zone's name, perhaps with "(active)"; then its rows, set in."""
    zones: dict[str, dict[str, frozenset[str]]] = {}
    for line in lines:
        if not line.startswith(" "):
            zone = zones.setdefault(line.split()[0], {})
        else:
            key, *words = line.split()
            zone[key] = frozenset(words)
    return {name: Zone(**rows) for name, rows in zones.items()}
