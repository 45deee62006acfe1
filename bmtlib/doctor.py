"""What this machine can do: findings with what to do about each "no", and the single answers that a run needs.

Nothing is changed and nothing outside is asked: a lab is tried in a sandbox of its own, ab and the others are asked for
their versions and limits. `examine()` takes well under three seconds.
"""

from __future__ import annotations

import os
import platform
import re
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bmtlib import programs
from bmtlib.errors import MachineError
from bmtlib.programs import install_command as install_command
from bmtlib.programs import missing_programs as missing_programs
from bmtlib.programs import output, path_of, versions, which
from bmtlib.programs import program_versions as program_versions
from bmtlib.setup.haproxy import largest_maxconn
from bmtlib.testbeds import kernel as kernels
from bmtlib.testbeds import kvm
from bmtlib.testbeds.trial import advice, refusals, try_lab

_UNLIMITED_FILES = 1_048_576  # fs.nr_open's default: what "unlimited" comes to
_MANY_FILES = 65_536
_SMALL_MEMORY_GIB = 2
# What `needed_for` of a program that not every run needs means.
_OPTIONAL = {
    "vm": "only the testbed vm wants it, and `./bmt run quick --testbed vm` installs it",
    "load": "only a scenario with this load engine wants it",
}


@dataclass(frozen=True, kw_only=True)
class Check:
    """One finding. `ok` None: neither good nor bad, or not known without trying. `todo` is for the reader of a "no"."""

    name: str
    ok: bool | None
    value: str
    todo: str = ""


# --- Limits -------------------------------------------------------------------------------------------------------


def nofile_limit() -> int:
    """The hard limit of open files per process: what a run raises its own limit to. Source: getrlimit(2)."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return _UNLIMITED_FILES if hard == resource.RLIM_INFINITY else hard


def ab_concurrency_limit() -> int:
    """ab's largest `-c`; it differs between builds. ab names it when asked for too many, and sends nothing."""
    path = which("ab")
    if path is None:
        raise MachineError("ab (Apache Bench) is missing", todo=install_command(["ab"]))
    said = output([path, "-n", "99999999", "-c", "99999999", "http://127.0.0.1/"])[1]
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
    if absent := [program for program in ("unshare", "ip", "nft") if which(program) is None]:
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


def _kernel() -> Check:
    if ip_vs_loaded():
        return Check(name="ip_vs", ok=True, value="loaded")
    if (modprobe := which("modprobe")) and output([modprobe, "-n", "-q", "ip_vs"])[0] == 0:
        todo = "sudo modprobe ip_vs, and run as root; until then l2dsr uses the nft engine, or a virtual director"
        return Check(name="ip_vs", ok=None, value="there as a module, not loaded", todo=todo)
    todo = "nothing: l2dsr uses the nft engine. For LVS itself: the testbed vm, or a kernel with ip_vs, and root"
    return Check(name="ip_vs", ok=False, value="this kernel has none", todo=todo)


def _installed() -> list[Check]:
    found = {**versions("vm"), **versions("load")}
    checks = []
    for program in (row for row in programs.programs() if row.needed_for != "test"):
        name, version = program.name, found[program.name]
        if version:
            checks.append(Check(name=name, ok=True, value=f"{version} ({path_of(name)})"))
        elif program.needed_for in _OPTIONAL:
            todo = f"{install_command([name])}   ({_OPTIONAL[program.needed_for]})"
            checks.append(Check(name=name, ok=None, value="missing", todo=todo))
        else:
            checks.append(Check(name=name, ok=False, value="missing", todo=install_command([name])))
    browser = which("chromium") or which("google-chrome")
    todo = "" if browser else "only the tests of the report's page want it"
    checks.append(Check(name="chromium", ok=True if browser else None, value=browser or "absent", todo=todo))
    return checks


# --- The virtual director -----------------------------------------------------------------------------------------


def choose_testbed(*, fetch: bool = True, tell: Callable[[str], None] = lambda _: None) -> tuple[str, str]:
    """What the testbed "auto" is on this machine, "netns" or "vm", and why.

    Namespaces where the machine's own kernel has LVS and we may drive it; else a virtual director where there is QEMU
    and a kernel for it; else namespaces, and nftables does what LVS would. Installs nothing. `fetch`: download the
    guest's kernel, so that "vm" is certain; without, one that could be downloaded counts as there.
    """
    if ip_vs_loaded() and os.geteuid() == 0:
        return "netns", "this machine's kernel has LVS (ip_vs), and root may drive it"
    why = "no ip_vs in this machine's kernel" if not ip_vs_loaded() else "only root may drive this kernel's ip_vs"
    absent = [row.name for row in programs.programs() if row.needed_for == "vm" and path_of(row.name) is None]
    if absent:
        return "netns", f"{why}, and no virtual machine ({', '.join(absent)} missing): l2dsr is driven by nftables"
    try:
        kernel = _guest_kernel(fetch=fetch, tell=tell)
    except MachineError as error:
        return "netns", f"{why}, and {error.what}: l2dsr is driven by nftables"
    return "vm", f"{why}; a virtual director has it (its kernel: {kernel})"


def _guest_kernel(*, fetch: bool, tell: Callable[[str], None] = lambda _: None) -> str:
    """Which kernel a virtual director would boot, for people. Raises MachineError where none is to be had."""
    try:
        kernel = kernels.find_kernel(fetch=fetch, tell=tell)
    except MachineError:
        if fetch or not (which("apt-get") or which("dnf")):
            raise
        return "to be downloaded, 100 MB"
    place = "this machine's own" if kernel.modules == Path("/") else f"in {kernel.modules}"
    return f"{kernel.version}, {place}"


def _virtual() -> list[Check]:
    try:
        guest = Check(name="guest kernel", ok=True, value=_guest_kernel(fetch=False))
    except MachineError as error:
        guest = Check(name="guest kernel", ok=False, value=error.what, todo=error.todo)
    name, reason = choose_testbed(fetch=False)
    return [guest, _kvm(), Check(name="testbed auto", ok=True, value=f"{name}: {reason}")]


def _kvm() -> Check:
    """From what an earlier run has found out: a trial takes seconds where KVM hangs."""
    emulated = "nothing: a virtual director is emulated then, which is slower and says so in the report"
    if obstacle := kvm.kvm_obstacle():
        todo = "sudo usermod -aG kvm $USER, and log in again" if kvm.DEVICE.exists() else emulated
        return Check(name="KVM", ok=False, value=obstacle, todo=todo)
    qemu = kvm.find_qemu()
    try:
        known = kvm.recall(qemu, kernels.find_kernel(fetch=False)) if qemu else None
    except MachineError:
        known = None
    if known is None:
        todo = "the first run with the testbed vm tries it"
        return Check(name="KVM", ok=None, value=f"{kvm.DEVICE} is there, not tried", todo=todo)
    works, reason = known
    todo = "" if works else f"{emulated}. To have it tried again: rm {kvm.memory()}"
    return Check(name="KVM", ok=works, value=reason, todo=todo)


# --- All findings -------------------------------------------------------------------------------------------------


def examine() -> list[Check]:
    """Every finding, in the order of a reader's questions: can I make a lab, how large, with which programs."""
    return [*_system(), *_lab(), *_limits(), _kernel(), *_virtual(), *_installed()]
