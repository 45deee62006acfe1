"""Whether KVM really runs a guest here: tried once with a time limit, then remembered.

/dev/kvm can be there, be ours to open, and still hang each stock kernel before its first line (nested virtualisation).
Only a boot tells.
"""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bmtlib.hosts.netns import environment
from bmtlib.programs import path_of
from bmtlib.testbeds.kernel import Kernel, cache_folder

QEMU = "qemu-system-x86_64"  # as programs.tsv names it
DEVICE = Path("/dev/kvm")

_FIRST_LINE_S, _END_S = 6.0, 20.0  # a machine with KVM needs 0.5 and 2

# Runs QEMU as a child that the kernel kills when we are gone (prctl(2), PR_SET_PDEATHSIG): setpriv of util-linux 2.32
# (EL 8) cannot, and a preexec_fn is not safe beside threads.
_TIED = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execvp(sys.argv[1], sys.argv[1:])"

# A kernel without a root file system: it boots, finds none, panics, and its reboot ends QEMU.
_ARGUMENTS = "console=ttyS0 panic=-1 reboot=t"
_PANIC = b"Kernel panic - not syncing: VFS"


def find_qemu() -> str | None:
    """Path of QEMU for x86-64, None where there is none."""
    return path_of(QEMU)


def kvm_works(qemu: str, kernel: Kernel, *, tell: Callable[[str], None] = lambda _: None) -> tuple[bool, str]:
    """Whether `qemu` runs `kernel` with KVM, and why (not). Takes up to 6 s, the next time none.

    Without KVM the guest is emulated (TCG). An answer is remembered for this CPU, host kernel, QEMU and guest kernel.
    """
    if obstacle := kvm_obstacle():
        return False, obstacle
    try:
        key = _key(qemu, kernel)
    except OSError as error:
        return False, f"{qemu} cannot be started: {error.strerror}"
    if known := _remembered().get(key):
        return known["works"], f"{known['reason']} (tried {known['tried']}, kept in {memory()})"
    tell(f"trying whether KVM runs {kernel.version} (up to {_FIRST_LINE_S:g} s, once)")
    works, reason, lasting = _trial(qemu, kernel)
    if lasting:
        _remember(key, works=works, reason=reason)
    return works, reason


def kvm_obstacle() -> str:
    """What keeps this process from trying KVM at all; "" where nothing does."""
    if not DEVICE.exists():
        return f"there is no {DEVICE}"
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return f"{DEVICE} is not yours to open (group kvm)"
    return ""


def recall(qemu: str, kernel: Kernel) -> tuple[bool, str] | None:
    """What an earlier trial of these two said; None when there was none. Starts no guest."""
    try:
        known = _remembered().get(_key(qemu, kernel))
    except OSError:
        return None
    return (known["works"], f"{known['reason']} (tried {known['tried']})") if known else None


# --- The trial -------------------------------------------------------------------------------------------------------


def _trial(qemu: str, kernel: Kernel) -> tuple[bool, str, bool]:
    """Works, reason, and whether that will last: what QEMU refuses at once may be free tomorrow, and is soon asked."""
    flags = "-accel kvm -cpu host -m 256 -smp 1 -nodefaults -no-user-config -display none -serial stdio -no-reboot"
    command = [qemu, *flags.split(), "-kernel", str(kernel.image), "-append", _ARGUMENTS]
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", _TIED, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(),
        cwd="/",
    )
    try:
        said, took = _listen(process)
    finally:
        process.kill()
        process.wait()
    return _judge(said, took)


def _listen(process: subprocess.Popen[bytes]) -> tuple[bytes, float]:
    """What the guest said until it panicked, ended, or ran out of time; and after how long. Reads only."""
    assert process.stdout is not None
    began, said = time.monotonic(), b""
    while True:
        now = time.monotonic() - began
        left = (_END_S if b"Linux version" in said else _FIRST_LINE_S) - now
        if left <= 0 or _PANIC in said:
            return said, now
        if not select.select([process.stdout], [], [], left)[0]:
            continue
        if not (more := os.read(process.stdout.fileno(), 65536)):
            return said, time.monotonic() - began
        said += more


def _judge(said: bytes, took: float) -> tuple[bool, str, bool]:
    """
    >>> _judge(b"Linux version 6.1\\n...\\nKernel panic - not syncing: VFS: Unable to mount root fs", 1.25)
    (True, 'KVM works: a trial boot took 1.2 s', True)
    >>> _judge(b"", 6.0)
    (False, '/dev/kvm is there, but a trial boot hung for 6 s before its first line', True)
    >>> _judge(b"qemu: failed to initialize kvm: Device or resource busy\\n", 0.1)
    (False, 'QEMU refuses KVM: qemu: failed to initialize kvm: Device or resource busy', False)
    """
    lines = re.sub(rb"\x1b[^A-Za-z]*[A-Za-z]|\r", b"", said).decode(errors="replace").strip().splitlines()
    if _PANIC in said:
        return True, f"KVM works: a trial boot took {took:.1f} s", True
    if b"Linux version" in said:
        return False, f"with KVM a trial boot stopped after {took:.0f} s at: {lines[-1][:120]}", True
    if took >= _FIRST_LINE_S:
        return False, f"{DEVICE} is there, but a trial boot hung for {took:.0f} s before its first line", True
    return False, f"QEMU refuses KVM: {lines[-1][:200] if lines else 'it ended without a word'}", False


# --- The memory ------------------------------------------------------------------------------------------------------


def memory() -> Path:
    """The file of the answers. Without it, KVM is tried anew."""
    return cache_folder() / "kvm.json"


def _key(qemu: str, kernel: Kernel) -> str:
    """What an answer holds for. The CPU is in it because home folders and disk images move between machines."""
    said = subprocess.run(
        [qemu, "--version"], capture_output=True, text=True, errors="replace", check=False, env=environment()
    ).stdout
    cpu = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return " | ".join([cpu[1] if cpu else "", os.uname().release, said.partition("\n")[0], kernel.version])


def _remembered() -> dict[str, dict[str, Any]]:
    """Answers by key; a file that is not ours or damaged counts as none."""
    try:
        kept = json.loads(memory().read_text())
        return {k: v for k, v in kept.items() if {"works", "reason", "tried"} <= v.keys()}
    except (OSError, ValueError, AttributeError):
        return {}


def _remember(key: str, **answer: Any) -> None:
    """A cache that cannot be written costs a trial per run, nothing else."""
    path = memory()
    new = path.with_name(f"{path.name}.{os.getpid()}")
    kept = {**_remembered(), key: {**answer, "tried": f"{datetime.now(UTC):%Y-%m-%d}"}}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps(kept, indent=1) + "\n")
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink()
