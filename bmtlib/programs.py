"""The programs that measuring needs (programs.tsv): where they are, their versions, what to type for those missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from bmtlib.hosts.host import Host
from bmtlib.hosts.netns import environment

_TABLE = Path(__file__).with_name("programs.tsv")

Purpose = Literal["all", "vm", "load", "test"]


@dataclass(frozen=True, kw_only=True)
class Program:
    """A row of programs.tsv. `places`: names or full paths, of which the first that is there counts.

    `debian`, `rpm`: package names; `prints`: a word that its version must hold, or "-"; `needed_for`: all runs, or
    those with a testbed of kind vm, those whose load engine it is, or the project's own tests.
    """

    name: str
    places: tuple[str, ...]
    debian: str
    rpm: str
    version_option: str
    prints: str
    needed_for: str  # a Purpose


@cache
def programs() -> tuple[Program, ...]:
    """All rows, in the order of programs.tsv."""
    rows = [line.split("\t") for line in _TABLE.read_text().splitlines() if not line.startswith("#")]
    return tuple(
        Program(
            name=places.split("|")[0],
            places=tuple(places.split("|")),
            debian=debian,
            rpm=rpm,
            version_option=option,
            prints=prints,
            needed_for=needed_for,
        )
        for places, debian, rpm, option, prints, needed_for in rows
    )


def which(name: str) -> str | None:
    """Path of a program, also of one that is in the system's folders alone; None where it is absent."""
    return shutil.which(name, path=environment()["PATH"])


def path_of(program: str) -> str | None:
    """Path of a program of programs.tsv, in any of its places."""
    places = next(row.places for row in programs() if row.name == program)
    return next((path for place in places if (path := which(place))), None)


def output(command: Sequence[str], *, stdin: str = "", timeout_s: float = 5) -> tuple[int, str]:
    """Exit code, and what the command wrote to both outputs; 124 when it did not end in time."""
    try:
        done = subprocess.run(
            command,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            env=environment(),
            cwd="/",
        )
    except subprocess.TimeoutExpired:
        return 124, f"no answer after {timeout_s:g} s"
    except OSError as error:
        return 126, str(error)
    return done.returncode, done.stdout


def version_in(text: str) -> str | None:
    """The version in what a program prints about itself; None when there is none.

    >>> [version_in(t) for t in ("ip utility, iproute2-6.1.0, libbpf 1.1.2", "arping from iputils 20221126", "no")]
    ['6.1.0', '20221126', None]
    >>> version_in("HAProxy version 2.6.12-1+deb12u1 2023/12/16 - https://haproxy.org/")
    '2.6.12-1+deb12u1'
    >>> [version_in(t) for t in ("kmod version 30", "OpenSSH_9.2p1 Debian-2+deb12u10, OpenSSL 3.0.19")]
    ['30', '9.2p1']
    """
    match = re.search(r"\d+(?:\.\d+)+(?:[-+~]?\w+)*|\d{6,8}|(?<=version )\d+", text)
    return match[0] if match else None


def versions(purpose: Purpose) -> dict[str, str | None]:
    """What each program for `purpose` prints as its version; None for one that is absent or another one of that name.

    "vm" needs what all need, and more. "unknown" where a program does not say (ipvsadm without ip_vs).
    """
    found: dict[str, str | None] = {}
    for program in programs():
        if program.needed_for not in ("all", purpose):
            continue
        path = path_of(program.name)
        rc, text = output([path, program.version_option]) if path else (127, "")
        named = program.prints != "-" and program.prints in text  # then what it says is to be trusted: sshd -V fails
        right = path and (program.prints == "-" or named)
        found[program.name] = ((version_in(text) if rc == 0 or named else None) or "unknown") if right else None
    return found


def program_versions() -> dict[str, str]:
    """Version by program, of all that are installed."""
    found = {**versions("vm"), **versions("load")}
    return {name: version for name, version in found.items() if version is not None}


# $1 name, $2 option, and so on. What each says of itself, after a line with its name.
_ASK = """\
while [ $# -gt 1 ]; do
  if command -v "$1" >/dev/null; then echo "### $1"; "$1" "$2" 2>&1 </dev/null | head -n 4; fi
  shift 2
done
"""


def versions_on(host: Host) -> dict[str, str]:
    """Version by program, of those that a run needs and that another host has."""
    words = [word for row in programs() if row.needed_for == "all" for word in (row.name, row.version_option)]
    said = host.run(["sh", "-c", _ASK, "sh", *words]).stdout
    parts = (part.partition("\n") for part in said.split("### ")[1:])
    return {name: version_in(text) or "unknown" for name, _, text in parts}


def missing_programs(purpose: Purpose = "all") -> list[str]:
    """Names of the programs that a run needs and that are absent, in the order of programs.tsv."""
    return [name for name, version in versions(purpose).items() if version is None]


def install_command(names: Iterable[str]) -> str:
    """What to type to get `names` (programs of programs.tsv) on this machine."""
    wanted = [program for program in programs() if program.name in set(names)]
    sudo = "" if os.geteuid() == 0 else "sudo "
    if which("apt-get"):
        return f"{sudo}apt-get install --no-install-recommends {' '.join(dict.fromkeys(p.debian for p in wanted))}"
    if which("dnf"):
        return f"{sudo}dnf install {' '.join(dict.fromkeys(p.rpm for p in wanted))}"
    return f"install with this system's package manager: {' '.join(p.name for p in wanted)}"
