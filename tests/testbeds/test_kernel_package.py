"""A kernel package comes into the cache whole or not at all, from apt-get or dnf, and a failure says what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from kernel_doubles import NEEDED, calls, distribution, image, modules, tree

from bmtlib.errors import MachineError
from bmtlib.testbeds.kernel import find_kernel

APT = ("apt-get", "apt-cache", "dpkg-deb", "depmod")
DNF = ("dnf", "rpm2cpio", "cpio", "depmod")

Machine = Callable[..., Path]


def debian(shelf: Path, version: str = "6.1.0-56-amd64") -> None:
    (shelf / "linux-image-amd64.control").write_text(f"Depends: linux-image-{version} (= 6.1.192-2)\n")
    (shelf / f"linux-image-{version}.control").write_text("Depends: kmod, linux-base (>= 4.3~)\n")
    root = shelf / f"linux-image-{version}_6.1.192-2_amd64.deb"
    tree(root, version, dep=False)
    for folder in ("sound", "drivers/gpu", "drivers/net/wireless", "net/netfilter"):
        path = root / "lib/modules" / version / "kernel" / folder / "some.ko"
        path.parent.mkdir(parents=True)
        path.touch()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_debian(cache: Path, machine_with: Machine) -> None:
    shelf = machine_with(*APT)
    debian(shelf)
    told: list[str] = []
    found = find_kernel(tell=told.append)
    assert (found.version, found.modules) == ("6.1.0-56-amd64", cache / "kernels/6.1.0-56-amd64")
    assert found.image == found.modules / "boot/vmlinuz-6.1.0-56-amd64"
    assert [line.split()[0] for line in told] == ["downloading", "unpacking"]
    download = next(call for call in calls(shelf) if " download " in call)
    assert download.startswith("apt-get -o Acquire::Retries=1 ")
    assert download.endswith(" download linux-image-6.1.0-56-amd64")
    kept = found.modules / "lib/modules/6.1.0-56-amd64/kernel"
    assert (kept / "net/netfilter/some.ko").exists()
    assert not any((kept / gone).exists() for gone in ("sound", "drivers/gpu", "drivers/net/wireless"))
    assert (found.modules / "usr/lib/modules").samefile(found.modules / "lib/modules")
    assert names(cache / "kernels") == ["6.1.0-56-amd64", "lock"]
    before = calls(shelf)
    assert find_kernel() == found
    assert calls(shelf) == before


def test_ubuntu_has_its_modules_in_a_package_of_their_own(cache: Path, machine_with: Machine) -> None:
    shelf = machine_with(*APT)
    version = "6.8.0-31-generic"
    more = "linux-modules-extra-6.8.0-31-generic, linux-firmware, intel-microcode"
    (shelf / "linux-image-generic.control").write_text(f"Depends: linux-image-{version}, {more}\n")
    (shelf / f"linux-image-{version}.control").write_text(f"Depends: kmod, linux-modules-{version}\n")
    boot = shelf / "linux-image.deb/boot"
    boot.mkdir(parents=True)
    (boot / f"vmlinuz-{version}").write_bytes(image(version))
    modules(shelf / f"linux-modules.deb/lib/modules/{version}", *NEEDED, suffix=".ko.zst", dep=False)
    assert find_kernel().version == version
    assert any(call.endswith(f" download linux-image-{version} linux-modules-{version}") for call in calls(shelf))


def test_old_package_lists_are_replaced_by_our_own(cache: Path, machine_with: Machine) -> None:
    shelf = machine_with(*APT)
    debian(shelf)
    (shelf / "stale").touch()
    told: list[str] = []
    assert find_kernel(tell=told.append).version == "6.1.0-56-amd64"
    assert "apt-get update, with package lists of our own" in told
    update = next(call for call in calls(shelf) if call.endswith(" update"))
    assert f"-o Dir::State::lists={cache}/kernels/new/apt/lists" in update
    assert f"-o Dir::Cache={cache}/kernels/new/apt/cache" in update


@pytest.mark.parametrize("folder", ["lib/modules", "usr/lib/modules"])
def test_fedora_and_its_like(cache: Path, machine_with: Machine, folder: str) -> None:
    shelf = machine_with(*DNF)
    version = "5.14.0-503.el9.x86_64"
    for package, name in (("core", "virtio_pci"), ("modules-core", "virtio_net"), ("modules", "ip_vs")):
        modules(shelf / f"kernel-{package}.rpm" / folder / version, name, dep=False)
    (shelf / "kernel-core.rpm" / folder / version / "vmlinuz").write_bytes(image(version))
    found = find_kernel()
    assert (found.version, found.image.name) == (version, "vmlinuz")
    assert (found.modules / "lib/modules" / version / "modules.dep").exists()
    assert (found.modules / "usr/lib/modules" / version / "modules.dep").exists()
    wanted = "kernel-core kernel-modules-core kernel-modules"
    options = f"-q download --setopt=strict=0 --arch=x86_64 --destdir={cache}/kernels/new"
    assert calls(shelf)[0] == f"dnf {options} {wanted}"


# --- Failures ------------------------------------------------------------------------------------------------------


def empty(shelf: Path) -> None:
    pass


def no_network(shelf: Path) -> None:
    debian(shelf)
    text = '#!/bin/sh\ncase "$*" in *update*|*download*) echo "E: Could not resolve host" >&2; exit 100 ;; esac\n'
    (shelf.parent / "bin/apt-get").write_text(text)


def full(shelf: Path) -> None:
    debian(shelf)
    (shelf / "full").touch()


def cloud(shelf: Path) -> None:
    debian(shelf)
    for path in shelf.rglob("ip_vs.ko*"):
        path.unlink()


def without_image(shelf: Path) -> None:
    debian(shelf)
    for path in shelf.rglob("vmlinuz-*"):
        path.unlink()


def no_plugin(shelf: Path) -> None:
    (shelf.parent / "bin/dnf").write_text("#!/bin/sh\necho 'No such command: download.' >&2; exit 1\n")


def no_cpio(shelf: Path) -> None:
    (shelf / "kernel-core.rpm").touch()
    (shelf.parent / "bin/cpio").unlink()


class Failure(NamedTuple):
    programs: tuple[str, ...]
    arrange: Callable[[Path], None]
    what: str
    todo: str


FAILURES = [
    Failure(("depmod",), empty, "neither apt-get nor dnf", "--set testbed.vm.kernel="),
    Failure(APT, empty, "apt-cache knows neither linux-image-amd64 nor linux-image-generic", "testbed.vm.kernel="),
    Failure(APT, no_network, "apt-get failed", "reaches its package mirror"),
    Failure(APT, full, "dpkg-deb failed", "free some disk space"),
    Failure(APT, cloud, "package does not fit: .* has no ip_vs", "--set testbed.vm.kernel="),
    Failure(APT, without_image, "package does not fit: no vmlinuz", "--set testbed.vm.kernel="),
    Failure(("apt-get", "apt-cache", "dpkg-deb"), debian, "depmod is missing", "./bmt doctor"),
    Failure(DNF, empty, "dnf finds no kernel-core", "--set testbed.vm.kernel="),
    Failure(DNF, no_plugin, "dnf failed", "dnf install dnf-plugins-core"),
    Failure(DNF, no_cpio, "sh failed", "dnf install cpio"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.arrange.__name__)
def test_a_failure_says_what_to_do_and_leaves_nothing(cache: Path, machine_with: Machine, failure: Failure) -> None:
    failure.arrange(machine_with(*failure.programs))
    with pytest.raises(MachineError, match=failure.what) as caught:
        find_kernel()
    assert failure.todo in caught.value.todo
    assert names(cache / "kernels") == ["lock"]


def test_no_space_is_seen_before_the_download(
    cache: Path, machine_with: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = machine_with(*APT)
    debian(shelf)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=50 * 2**20))
    with pytest.raises(MachineError, match="no space for a kernel: 50 MiB free") as caught:
        find_kernel()
    assert "XDG_CACHE_HOME" in caught.value.todo
    assert calls(shelf) == []


@pytest.mark.parametrize("obstacle", ["cache", "cache/bmtlib/kernels/lock"])
def test_a_cache_that_cannot_be_written(cache: Path, obstacle: str) -> None:
    path = cache.parent.parent / obstacle
    path.parent.mkdir(parents=True, exist_ok=True)
    if obstacle == "cache":
        path.touch()
    else:
        path.mkdir()
    with pytest.raises(MachineError, match="cannot be put into the cache: ") as caught:
        find_kernel()
    assert str(path) in caught.value.where


def test_what_a_killed_process_left_and_what_is_damaged_is_replaced(cache: Path, machine_with: Machine) -> None:
    debian(machine_with(*APT))
    tree(cache / "kernels/new/root", "6.1.0-56-amd64")
    damaged = cache / "kernels/6.1.0-56-amd64"
    tree(damaged, "6.1.0-56-amd64", names=("virtio_pci",))
    (damaged / "of old").touch()
    assert find_kernel().modules == damaged
    assert not (damaged / "of old").exists()
    assert names(cache / "kernels") == ["6.1.0-56-amd64", "lock"]


def test_of_two_processes_the_second_waits(tmp_path: Path) -> None:
    bin_folder, shelf = distribution(tmp_path, *APT)
    debian(shelf)
    (shelf / "slow").touch()
    script = "from bmtlib.testbeds.kernel import find_kernel; print(find_kernel(tell=print).version)"
    env = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    both = [
        subprocess.Popen([sys.executable, "-c", script], env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = sorted((process.communicate(timeout=30)[0].splitlines() for process in both), key=len)
    assert said[0] == ["waiting for another process that fetches a kernel", "6.1.0-56-amd64"]
    assert said[1][-1] == "6.1.0-56-amd64"
    assert sum(" download " in call for call in calls(shelf)) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all folders")
def test_a_cache_of_somebody_else(cache: Path) -> None:
    cache.mkdir(parents=True)
    cache.parent.chmod(0)
    try:
        with pytest.raises(MachineError, match="cannot be put into the cache: Permission denied"):
            find_kernel()
    finally:
        cache.parent.chmod(0o700)
