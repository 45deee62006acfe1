"""Whether KVM works is found out by a boot with a time limit, remembered, and leaves no QEMU behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bmtlib.errors import MachineError
from bmtlib.testbeds import kvm
from bmtlib.testbeds.kernel import Kernel, find_kernel
from bmtlib.testbeds.kvm import find_qemu, kvm_works, recall

KERNEL = Kernel(version="6.1.0", image=Path("/k/vmlinuz"), modules=Path("/k"))
BOOTS = "echo Linux version 6.1.0; echo 'Kernel panic - not syncing: VFS: Unable to mount root fs'"
HANGS = "exec sleep 60"


@pytest.fixture
def qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Make a QEMU that is a shell script, and a KVM device that is ours; trials are written down in tmp_path/trials."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kvm, "DEVICE", tmp_path / "kvm")
    monkeypatch.setattr(kvm, "_FIRST_LINE_S", 0.5)
    monkeypatch.setattr(kvm, "_END_S", 1.0)
    (tmp_path / "kvm").touch()

    def make(script: str, version: str = "7.2") -> str:
        path = tmp_path / "qemu"
        version_line = f"if [ $1 = --version ]; then echo QEMU emulator version {version}; exit; fi"
        path.write_text(f'#!/bin/sh\n{version_line}\necho "$$ $*" >> {tmp_path}/trials\n{script}\n')
        path.chmod(0o755)
        return str(path)

    return make


def trials(tmp_path: Path) -> list[str]:
    return (tmp_path / "trials").read_text().splitlines() if (tmp_path / "trials").exists() else []


def ended(pid: int) -> bool:
    """Whether a process is gone; waits up to 5 s."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def test_a_boot_is_tried_once(tmp_path: Path, qemu: Callable[..., str]) -> None:
    path, told = qemu(BOOTS), []
    assert recall(path, KERNEL) is None
    works, reason = kvm_works(path, KERNEL, tell=told.append)
    assert (works, reason[:30]) == (True, "KVM works: a trial boot took 0")
    assert told == ["trying whether KVM runs 6.1.0 (up to 0.5 s, once)"]
    arguments = trials(tmp_path)[0]
    assert " -accel kvm -cpu host " in arguments
    assert arguments.endswith(" -kernel /k/vmlinuz -append console=ttyS0 panic=-1 reboot=t")
    again = kvm_works(path, KERNEL, tell=told.append)
    assert (again[0], len(trials(tmp_path)), len(told)) == (True, 1, 1)
    assert f"(tried {time.strftime('%Y-%m', time.gmtime())}" in again[1]
    assert recall(path, KERNEL) == (True, again[1].partition(", kept")[0] + ")")


def test_one_that_hangs_is_ended_and_remembered(tmp_path: Path, qemu: Callable[..., str]) -> None:
    path = qemu(HANGS)
    began = time.monotonic()
    works, reason = kvm_works(path, KERNEL)
    assert time.monotonic() - began < 3
    assert not works
    assert re.fullmatch(r".*/kvm is there, but a trial boot hung for \d s before its first line", reason)
    assert ended(int(trials(tmp_path)[0].split()[0]))
    assert kvm_works(path, KERNEL)[0] is False
    assert len(trials(tmp_path)) == 1


def test_what_an_answer_holds_for(tmp_path: Path, qemu: Callable[..., str]) -> None:
    kvm_works(qemu(HANGS), KERNEL)
    assert kvm_works(qemu(BOOTS, version="8.0"), KERNEL)[0] is True
    assert kvm_works(qemu(BOOTS), replace(KERNEL, version="6.2.0"))[0] is True
    assert kvm_works(qemu(BOOTS), KERNEL)[0] is False
    assert len(json.loads(kvm.memory().read_text())) == 3


@pytest.mark.parametrize(
    ("script", "why", "lasts"),
    [
        ("echo Linux version 6.1.0; echo x86: stuck; exec sleep 60", r"stopped after \d s at: x86: stuck", True),
        ("echo Linux version 6.1.0; echo rebooting", r"stopped after \d s at: rebooting", True),
        ("echo 'KVM_CREATE_VM: Device or resource busy' >&2; exit 1", "QEMU refuses KVM: KVM_CREATE_VM", False),
        ("exit 1", "QEMU refuses KVM: it ended without a word", False),
    ],
)
def test_a_boot_that_fails(tmp_path: Path, qemu: Callable[..., str], script: str, why: str, lasts: bool) -> None:
    path = qemu(script)
    works, reason = kvm_works(path, KERNEL)
    assert not works
    assert re.search(why, reason)
    assert (recall(path, KERNEL) is not None) is lasts


def test_what_need_not_be_tried(tmp_path: Path, qemu: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    path = qemu(BOOTS)
    assert kvm_works(str(tmp_path / "absent"), KERNEL) == (
        False,
        f"{tmp_path}/absent cannot be started: No such file or directory",
    )
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert kvm_works(path, KERNEL) == (False, f"{tmp_path}/kvm is not yours to open (group kvm)")
    kvm.DEVICE.unlink()
    assert kvm_works(path, KERNEL) == (False, f"there is no {tmp_path}/kvm")
    assert trials(tmp_path) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"x": 1}', '{"x": {"works": true}}', "\xff"])
def test_a_damaged_memory_is_none(tmp_path: Path, qemu: Callable[..., str], text: str) -> None:
    path = qemu(BOOTS)
    kvm.memory().parent.mkdir(parents=True)
    kvm.memory().write_text(text, encoding="latin-1")
    assert kvm_works(path, KERNEL)[0] is True
    assert recall(path, KERNEL) is not None


def test_without_a_cache_each_run_tries(tmp_path: Path, qemu: Callable[..., str]) -> None:
    (tmp_path / "cache").touch()
    path = qemu(BOOTS)
    assert [kvm_works(path, KERNEL)[0] for _ in range(2)] == [True, True]
    assert len(trials(tmp_path)) == 2


def test_a_trial_does_not_outlive_us(tmp_path: Path, qemu: Callable[..., str]) -> None:
    path = qemu(HANGS)
    script = (
        "from pathlib import Path; from bmtlib.testbeds import kvm; from bmtlib.testbeds.kernel import Kernel;"
        f"kvm.DEVICE = Path({str(kvm.DEVICE)!r});"
        f"kvm.kvm_works({path!r}, Kernel(version='1', image=Path('/k'), modules=Path('/k')))"
    )
    us = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 10
    while not trials(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.01)
    us.send_signal(signal.SIGKILL)
    us.wait()
    assert ended(int(trials(tmp_path)[0].split()[0]))


def test_a_real_kernel_passes_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With emulation in the place of KVM: what the trial waits for is what a kernel really says."""
    real = find_qemu()
    try:
        kernel = find_kernel(fetch=False)
    except MachineError as error:
        pytest.skip(str(error))
    if real is None:
        pytest.skip("no QEMU")
    monkeypatch.setattr(kvm, "_FIRST_LINE_S", 60)
    monkeypatch.setattr(kvm, "_END_S", 60)
    path = tmp_path / "qemu"
    words = 'case $word in kvm) word=tcg ;; host) word=max ;; esac; set -- "$@" "$word"; shift'
    path.write_text(f'#!/bin/sh\nfor word; do {words}; done\nexec {real} "$@"\n')
    path.chmod(0o755)
    works, reason, lasting = kvm._trial(str(path), kernel)
    assert (works, lasting) == (True, True), reason
