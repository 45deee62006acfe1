"""What the testbed "auto" is on a machine, and what the doctor says about virtual machines there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from kernel_doubles import calls, tree

from bmtlib import doctor
from bmtlib.testbeds import kvm

VM = ("qemu-system-x86_64", "sshd", "modprobe", "depmod", "tar")
VERSION = "6.1.0-56-amd64"


@pytest.fixture
def machine(
    tmp_path: Path, cache: Path, machine_with: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """A machine with or without LVS in its kernel, root, programs for virtual machines; the shelf of its packages."""

    def make(*names: str, ip_vs: bool = False, root: bool = False) -> Path:
        shelf = machine_with(*(name for name in names if name not in VM))
        for name in names:
            if name in VM:
                (tmp_path / "bin" / name).symlink_to(shutil.which("true") or "true")
        monkeypatch.setattr(doctor, "ip_vs_loaded", lambda: ip_vs)
        monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
        return shelf

    return make


def test_lvs_of_the_machines_own_kernel_comes_first(machine: Callable[..., Path], cache: Path) -> None:
    tree(cache / "kernels/6.1.0", "6.1.0")
    machine(*VM, ip_vs=True, root=True)
    assert doctor.choose_testbed() == ("netns", "this machine's kernel has LVS (ip_vs), and root may drive it")


@pytest.mark.parametrize(
    ("ip_vs", "root", "why"),
    [
        (False, True, "no ip_vs in this machine's kernel"),
        (False, False, "no ip_vs in this machine's kernel"),
        (True, False, "only root may drive this kernel's ip_vs"),
    ],
)
def test_else_a_virtual_director(machine: Callable[..., Path], cache: Path, ip_vs: bool, root: bool, why: str) -> None:
    tree(cache / "kernels/6.1.0", "6.1.0")
    machine(*VM, ip_vs=ip_vs, root=root)
    name, reason = doctor.choose_testbed()
    assert (name, reason.partition(";")[0]) == ("vm", why)
    assert f"6.1.0, in {cache}/kernels/6.1.0" in reason


def test_else_namespaces_and_nftables(machine: Callable[..., Path], cache: Path) -> None:
    tree(cache / "kernels/6.1.0", "6.1.0")
    machine(*VM[1:])
    name, reason = doctor.choose_testbed()
    assert name == "netns"
    assert "(qemu-system-x86_64 missing): l2dsr is driven by nftables" in reason


def test_the_kernel_is_downloaded_only_with_leave(machine: Callable[..., Path], cache: Path) -> None:
    shelf = machine(*VM[:3], "tar", "apt-get", "apt-cache", "dpkg-deb", "depmod")
    name, reason = doctor.choose_testbed(fetch=False)
    assert (name, calls(shelf)) == ("vm", [])
    assert "to be downloaded" in reason
    name, reason = doctor.choose_testbed()  # there is no package: then it is not the end of the run
    assert name == "netns"
    assert "and no kernel package: apt-cache knows neither" in reason


def test_what_the_doctor_says(machine: Callable[..., Path], cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found() -> dict[str, doctor.Check]:
        return {check.name: check for check in doctor._virtual()}

    monkeypatch.setattr(kvm, "DEVICE", cache.parent / "kvm")
    machine(*VM)
    checks = found()
    assert (checks["guest kernel"].ok, checks["KVM"].ok) == (False, False)
    assert checks["guest kernel"].todo.startswith("`./bmt run quick --testbed vm` downloads one")
    assert checks["KVM"].todo.startswith("nothing: a virtual director is emulated")
    assert checks["testbed auto"].value.startswith("netns: ")
    tree(cache / f"kernels/{VERSION}", VERSION)
    kvm.DEVICE.touch()
    checks = found()
    assert (checks["guest kernel"].ok, checks["KVM"].ok) == (True, None)
    assert checks["guest kernel"].value == f"{VERSION}, in {cache}/kernels/{VERSION}"
    qemu = kvm.find_qemu()
    assert qemu
    kvm._remember(kvm._key(qemu, doctor.kernels.find_kernel()), works=False, reason="it hung")
    check = found()["KVM"]
    assert (check.ok, check.value[:17]) == (False, "it hung (tried 20")
    assert check.todo.endswith(f"To have it tried again: rm {cache}/kvm.json")
