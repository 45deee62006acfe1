"""What this machine can do: findings with what to do about each "no", and the single answers that a run needs.

Nothing is changed and nothing outside is asked: a lab is tried in a sandbox of its own, ab and the others are asked for
their versions and limits. `examine()` takes well under three seconds.
"""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bmtlib.errors import MachineError
from bmtlib.hosts.netns import environment
from bmtlib.setup.haproxy import largest_maxconn
from bmtlib.testbeds.trial import advice, refusals, try_lab

_TABLE = Path(__file__).with_name("programs.tsv")
_UNLIMITED_FILES = 1_048_576  # fs.nr_open's default: what "unlimited" comes to
_MANY_FILES = 65_536
_SMALL_MEMORY_GIB = 2


@dataclass(frozen=True, kw_only=True)
class Check:
    """One finding. `ok` None: neither good nor bad, or not known without trying. `todo` is for the reader of a "no"."""

    name: str
    ok: bool | None
    value: str
    todo: str = ""


@dataclass(frozen=True, kw_only=True)
class Program:
    """A row of programs.tsv. `debian`, `rpm`: package names; `prints`: a word that its version must hold, or "-"."""

    name: str
    debian: str
    rpm: str
    version_option: str
    prints: str


@cache
def programs() -> tuple[Program, ...]:
    """The programs that measuring needs, in the order of programs.tsv."""
    rows = [line.split("\t") for line in _TABLE.read_text().splitlines() if not line.startswith("#")]
    return tuple(Program(name=n, debian=d, rpm=r, version_option=v, prints=p) for n, d, r, v, p in rows)


def _which(name: str) -> str | None:
    return shutil.which(name, path=environment()["PATH"])


def _output(command: Sequence[str], *, stdin: str = "", timeout_s: float = 5) -> tuple[int, str]:
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


# --- Programs -----------------------------------------------------------------------------------------------------


def version_in(text: str) -> str | None:
    """The version in what a program prints about itself; None when there is none.

    >>> [version_in(t) for t in ("ip utility, iproute2-6.1.0, libbpf 1.1.2", "arping from iputils 20221126", "no")]
    ['6.1.0', '20221126', None]
    >>> version_in("HAProxy version 2.6.12-1+deb12u1 2023/12/16 - https://haproxy.org/")
    '2.6.12-1+deb12u1'
    """
    match = re.search(r"\d+(?:\.\d+)+(?:[-+~]?\w+)*|\d{6,8}", text)
    return match[0] if match else None


def _versions() -> dict[str, str | None]:
    """What each installed program prints as its version; None for one that is absent or another one of that name."""
    found: dict[str, str | None] = {}
    for program in programs():
        path = _which(program.name)
        rc, text = _output([path, program.version_option]) if path else (127, "")
        right = path and (program.prints == "-" or program.prints in text)
        found[program.name] = ((version_in(text) if rc == 0 else None) or "unknown") if right else None
    return found


def program_versions() -> dict[str, str]:
    """Version by program, of those that are installed; "unknown" where one does not say (ipvsadm without ip_vs)."""
    return {name: version for name, version in _versions().items() if version is not None}


def missing_programs() -> list[str]:
    """Names of the programs that are absent, in the order of programs.tsv."""
    return [name for name, version in _versions().items() if version is None]


def install_command(names: Iterable[str]) -> str:
    """What to type to get `names` (programs of programs.tsv) on this machine."""
    wanted = [program for program in programs() if program.name in set(names)]
    sudo = "" if os.geteuid() == 0 else "sudo "
    if _which("apt-get"):
        return f"{sudo}apt-get install --no-install-recommends {' '.join(dict.fromkeys(p.debian for p in wanted))}"
    if _which("dnf"):
        return f"{sudo}dnf install {' '.join(dict.fromkeys(p.rpm for p in wanted))}"
    return f"install with this system's package manager: {' '.join(p.name for p in wanted)}"


# --- Limits -------------------------------------------------------------------------------------------------------


def nofile_limit() -> int:
    """The hard limit of open files per process: what a run raises its own limit to. Source: getrlimit(2)."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return _UNLIMITED_FILES if hard == resource.RLIM_INFINITY else hard


def ab_concurrency_limit() -> int:
    """ab's largest `-c`; it differs between builds. ab names it when asked for too many, and sends nothing."""
    path = _which("ab")
    if path is None:
        raise MachineError("ab (Apache Bench) is missing", todo=install_command(["ab"]))
    said = _output([path, "-n", "99999999", "-c", "99999999", "http://127.0.0.1/"])[1]
    match = re.search(r"Invalid Concurrency \[Range \d+\.\.(\d+)\]", said)
    if match is None:
        raise MachineError("ab does not tell its largest concurrency", where=f"{path} said: {said[:200]}")
    return int(match[1])


# --- The lab ------------------------------------------------------------------------------------------------------


def ip_vs_loaded() -> bool:
    """Whether the running kernel has LVS, as a loaded module or built in."""
    return Path("/proc/net/ip_vs").exists()


def _lab_check(name: str, *, rootless: bool) -> tuple[Check, dict[str, str]]:
    """The finding, and the parts that were tried."""
    if absent := [program for program in ("unshare", "ip", "nft") if _which(program) is None]:
        todo = install_command(absent)
        return Check(name=name, ok=False, value=f"not tried: {', '.join(absent)} missing", todo=todo), {}
    parts = try_lab(rootless=rootless)
    if refused := refusals(parts):
        value = "; ".join(f"{part}: {said}" for part, said in refused.items())
        return Check(name=name, ok=False, value=value, todo=advice(refused, rootless=rootless)), parts
    return Check(name=name, ok=True, value="possible (tried)"), parts


def lab_privilege() -> str:
    """ "rootless" or "root": how to make a lab here. Raises MachineError when neither is possible.

    Rootless where the kernel allows, for then the kernel itself keeps the lab from touching the machine. Root where
    ip_vs is loaded, which only real root may drive (GENL_ADMIN_PERM in net/netfilter/ipvs/ip_vs_ctl.c), and where
    rootless is refused.
    """
    ways = ["rootless"]
    if os.geteuid() == 0:
        ways = ["root", "rootless"] if ip_vs_loaded() else ["rootless", "root"]
    for way in ways:
        check, _ = _lab_check(way, rootless=way == "rootless")
        if check.ok:
            return way
    raise MachineError(f"this machine refuses a lab of network namespaces: {check.value}", todo=check.todo)


def _lab() -> list[Check]:
    rootless, parts = _lab_check("rootless lab", rootless=True)
    checks = [rootless]
    if os.geteuid() == 0:
        root, parts = _lab_check("root lab", rootless=False)
        checks.append(root)
    else:
        checks.append(Check(name="root lab", ok=None, value="not tried: you are not root", todo="sudo ./bmt doctor"))
    cpus = len(os.sched_getaffinity(0))
    name = "director on CPUs of its own"
    if cpus == 1:
        value, todo = "one CPU for director, clients and web hosts", "use a machine with two CPUs or more"
        checks.append(Check(name=name, ok=False, value=value, todo=todo))
    elif "rps" not in parts:
        checks.append(Check(name=name, ok=None, value=f"{cpus} CPUs; not tried without a lab"))
    elif parts["rps"]:
        value, todo = f"{cpus} CPUs, but rps cannot be set: {parts['rps']}", "a kernel 6.3 or newer, or run as root"
        checks.append(Check(name=name, ok=False, value=value, todo=todo))
    else:
        checks.append(Check(name=name, ok=True, value=f"{cpus} CPUs"))
    return checks


# --- All findings -------------------------------------------------------------------------------------------------


def _system() -> list[Check]:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = platform.system()
    memory = dict(re.findall(r"^(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE))
    total, free = (int(memory[key]) / 2**20 for key in ("MemTotal", "MemAvailable"))
    return [
        Check(name="system", ok=True, value=f"{name}, kernel {platform.release()}, {platform.machine()}"),
        Check(
            name="memory",
            ok=free >= _SMALL_MEMORY_GIB,
            value=f"{total:.1f} GiB, {free:.1f} GiB available",
            todo=f"free some: a lab under load wants {_SMALL_MEMORY_GIB} GiB",
        ),
        Check(name="python", ok=True, value=platform.python_version()),
    ]


def _limits() -> list[Check]:
    nofile = nofile_limit()
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    most = largest_maxconn(nofile, threads=1, servers=4)
    files = Check(
        name="open files (nofile)",
        ok=True if nofile >= _MANY_FILES else None,
        value=f"soft {soft}, hard {nofile}: HAProxy's maxconn up to {most}, one ab's -c up to {nofile - 20}",
        todo="for more: a line '* hard nofile 1048576' in /etc/security/limits.d/bmt.conf, and log in again",
    )
    try:
        ab = Check(name="ab's largest concurrency", ok=True, value=str(ab_concurrency_limit()))
    except MachineError as error:
        ab = Check(name="ab's largest concurrency", ok=False, value=error.what, todo=error.todo)
    return [files, ab]


def _kernel() -> list[Check]:
    if ip_vs_loaded():
        ip_vs = Check(name="ip_vs", ok=True, value="loaded")
    elif (modprobe := _which("modprobe")) and _output([modprobe, "-n", "-q", "ip_vs"])[0] == 0:
        todo = "sudo modprobe ip_vs, and run as root; until then l2dsr uses the nft engine"
        ip_vs = Check(name="ip_vs", ok=None, value="there as a module, not loaded", todo=todo)
    else:
        todo = "nothing: l2dsr uses the nft engine. For LVS itself: a kernel with ip_vs, and root"
        ip_vs = Check(name="ip_vs", ok=False, value="this kernel has none", todo=todo)
    if not Path("/dev/kvm").exists():
        kvm = Check(
            name="KVM", ok=False, value="absent", todo="only virtual machines want it; they run emulated without"
        )
    elif not os.access("/dev/kvm", os.R_OK | os.W_OK):
        kvm = Check(
            name="KVM", ok=False, value="/dev/kvm is not yours to open", todo="sudo usermod -aG kvm $USER, log in again"
        )
    else:
        kvm = Check(name="KVM", ok=None, value="/dev/kvm is present, not tried")
    return [ip_vs, kvm]


def _installed() -> list[Check]:
    checks = []
    for name, version in _versions().items():
        value = f"{version} ({_which(name)})" if version else "missing"
        checks.append(
            Check(name=name, ok=version is not None, value=value, todo="" if version else install_command([name]))
        )
    browser = _which("chromium") or _which("google-chrome")
    todo = "" if browser else "only the tests of the report's page want it"
    checks.append(Check(name="chromium", ok=True if browser else None, value=browser or "absent", todo=todo))
    return checks


def examine() -> list[Check]:
    """Every finding, in the order of a reader's questions: can I make a lab, how large, with which programs."""
    return [*_system(), *_lab(), *_limits(), *_kernel(), *_installed()]
