"""Packages that a role needs, and their installation as a change: only what is missing, and nothing else is touched.

What came is noted by name on the host, so that undo removes exactly that; packages that others of the host have come to
need meanwhile are not removed, and the undo fails. An installation that would upgrade or remove what is there is
refused: nobody could undo it. Sources: apt-get(8), dpkg-query(1), dnf(8), rpm(8), invoke-rc.d(8) for policy-rc.d.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bmtlib.setup.change import Change, command
from bmtlib.setup.package_scripts import APT, DNF

if TYPE_CHECKING:
    from bmtlib.setup.system import System

_EVERY_ROLE = ("ip", "ss", "nstat", "ethtool", "taskset", "sysctl", "tar")
_BY_ROLE = {"client": ("ab", "curl", "arping"), "web": ("nginx",), "director": ()}
_BY_NEED = {
    "haproxy": ("haproxy", "socat"),
    "haproxy-build": ("socat", "curl"),
    "ipvs": ("ipvsadm", "modprobe"),
    "nft": ("nft",),
    "tls": ("openssl",),
}
# What HAProxy and Lua are built with, and what is in no run's table: asked for beside the programs' packages.
_BUILD = {
    "apt": (
        *("gcc", "make", "libc6-dev", "libssl-dev", "libpcre3-dev", "libpcre2-dev", "zlib1g-dev", "libreadline-dev"),
        "libsystemd-dev",
    ),
    "dnf": (
        "gcc",
        "make",
        "openssl-devel",
        "pcre-devel",
        "pcre2-devel",
        "zlib-devel",
        "readline-devel",
        "systemd-devel",
    ),
}


def _table() -> dict[str, dict[str, str]]:
    """Package by manager, by program: programs.tsv, and what only the user's own hosts are asked for."""
    lines = (Path(__file__).parent.parent / "programs.tsv").read_text().splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    found = {row[0].split("|")[0]: {"apt": row[1], "dnf": row[2]} for row in rows}
    return {**found, "openssl": {"apt": "openssl", "dnf": "openssl"}}


_PACKAGE = _table()
PROGRAMS = tuple(dict.fromkeys([*_EVERY_ROLE, *sum(_BY_ROLE.values(), ()), *sum(_BY_NEED.values(), ())]))
# By manager, all names that System.installed may hold.
NAMES = {
    manager: tuple(dict.fromkeys([*(_PACKAGE[program][manager] for program in PROGRAMS), *_BUILD[manager]]))
    for manager in ("apt", "dnf")
}


def programs_of(role: str, needs: Iterable[str]) -> list[str]:
    """The programs that a host in `role` runs; `needs` is what the scenario's arms want of a director.

    >>> programs_of("web", ())
    ['ip', 'ss', 'nstat', 'ethtool', 'taskset', 'sysctl', 'tar', 'nginx']
    """
    wanted = [program for need in sorted(needs) for program in _BY_NEED.get(need, ())] if role == "director" else []
    return list(dict.fromkeys([*_EVERY_ROLE, *_BY_ROLE[role], *wanted]))


def missing_packages(role: str, needs: Iterable[str], system: System) -> list[str]:
    """Names, for the host's package manager, of what brings the programs that it lacks."""
    lacking = [program for program in programs_of(role, needs) if program not in system.programs]
    return list(dict.fromkeys(_PACKAGE[program][system.manager] for program in lacking))


def package_change(host: str, system: System, names: Sequence[str], reason: str) -> list[Change]:
    """Install those of `names` that are missing; no change where none is. `names` are those of the host's manager.

    No service that comes with them is started or enabled. Undo removes exactly what came, with its configuration.
    """
    missing = [name for name in names if name not in system.installed]
    if not missing:
        return []
    script = {"apt": APT, "dnf": DNF}[system.manager]
    return [
        Change(
            host=host,
            what=f"package {' '.join(missing)}",
            before=None,
            want="installed",
            do=command("sh", "-c", script.do, "sh", *missing),
            undo=command("sh", "-c", script.undo, "sh", *missing),
            check=command("sh", "-c", script.check, "sh", *missing),
            expect="installed",
            reason=reason,
            lasting=True,
            seconds=600,
        )
    ]
