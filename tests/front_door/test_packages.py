"""./bmt and the system's packages: what is missing is named or installed, and no service is started or stopped."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Door


@pytest.mark.parametrize(("manager", "package"), [("apt-get", "deb-package"), ("dnf", "rpm-package")])
def test_no_install_names_the_commands(door: Door, manager: str, package: str) -> None:
    (door.bin / "apt-get").rename(door.bin / manager)
    door.require(
        *(f"bmt-test-{name} deb-package rpm-package -V -" for name in ("program", "twin")), "tee no no --help -"
    )
    done = door("--no-install", "run", "quick")
    sudo = "" if os.geteuid() == 0 else "sudo "
    assert (done.returncode, done.stdout, door.calls()) == (3, "", [])
    assert "missing programs: bmt-test-program bmt-test-twin\n" in done.stderr
    install = next(line for line in done.stderr.splitlines() if f"{sudo}{manager} install" in line)
    assert install.endswith(f" {package}")
    assert f"to do: {door.root}/bmt doctor" in done.stderr


def test_no_package_manager(door: Door) -> None:
    (door.bin / "apt-get").unlink()
    door.require("bmt-test-program deb rpm -V -")
    done = door("run", "quick")
    assert done.returncode == 3
    assert "no apt-get or dnf" in done.stderr


def test_a_program_of_the_same_name_is_not_the_same(door: Door) -> None:
    door.program("bmt-test-arping", "ARPing 2.23, by Thomas Habets")
    door.require("bmt-test-arping iputils-arping iputils -V iputils")
    assert "missing programs: bmt-test-arping" in door("--no-install", "run", "quick").stderr
    door.program("bmt-test-arping", "arping from iputils 20221126")
    assert "missing programs" not in door("--no-install", "run", "quick").stderr


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        ("run quick", True),
        ("test", True),
        ("lab up", True),
        ("--debug run quick", True),
        ("run --help", False),
        ("report data/run", False),
        ("doctor", False),
        ("", False),
    ],
)
def test_only_verbs_that_measure_need_the_programs(door: Door, words: str, needed: bool) -> None:
    door("doctor")
    door.require("bmt-test-program deb rpm -V -")
    assert door("--no-install", *words.split()).returncode == (3 if needed else 0)


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["run", "quick"], False),
        (["run", "quick", "--testbed", "netns"], False),
        (["run", "quick", "--testbed", "auto"], False),
        (["run", "quick", "--testbed", "vm"], True),
        (["run", "quick", "--testbed=vm"], True),
        (["run", "--testbed", "big", "quick"], True),
        (["run", "quick", "--testbed={top}/a file.yml"], True),
        (["run", "quick", "--testbed", "{top}/other.yml"], False),
        (["run", "quick", "--set", "testbed.kind=vm"], True),
        (["run", "quick", "--set=testbed.kind=vm"], True),
        (["lab", "up", "--testbed", "vm"], True),
        (["lab", "shell", "web01", "--", "echo", "--testbed", "vm"], False),
        (["plan", "quick", "--testbed", "vm"], False),
        (["run", "quick", "--testbed", "vm", "--help"], False),
        (["test"], True),
    ],
)
def test_virtual_machines_are_asked_for_by_name(door: Door, words: list[str], needed: bool) -> None:
    door("doctor")
    top = door.root.parent
    (door.root / "params/testbeds").mkdir(parents=True)
    (door.root / "params/testbeds/big.yml").write_text("# a comment\nkind: vm   # with more memory\n")
    (top / "a file.yml").write_text('kind: "vm"\n')
    (top / "other.yml").write_text("kind: netns\n# not kind: vm\nvm: {memory_mib: 2048}\n")
    door.require("bmt-test-program|/nonexistent/kvm qemu-deb qemu-rpm --version -", needed_for="vm")
    done = door("--no-install", *(word.format(top=top) for word in words))
    assert done.returncode == (3 if needed else 0), done.stderr
    assert ("missing programs: bmt-test-program\n" in done.stderr) is needed


def test_a_program_may_be_in_a_place_outside_of_the_path(door: Door) -> None:
    place = door.root.parent / "libexec"
    place.mkdir()
    door("doctor")
    door.require(f"bmt-test-program|{place}/kvm deb rpm --version -", needed_for="vm")
    assert door("--no-install", "run", "quick", "--testbed", "vm").returncode == 3
    (place / "kvm").write_text("#!/bin/sh\n")
    (place / "kvm").chmod(0o755)
    assert door("--no-install", "run", "quick", "--testbed", "vm").returncode == 0


def test_without_root_and_sudo_the_command_is_named(door: Door, nobody: tuple[str, ...]) -> None:
    door.require("bmt-test-program deb rpm -V -")
    door("doctor")
    done = door("run", "quick", before=nobody)
    assert (done.returncode, door.calls()) == (3, ["venv", "pip"])
    assert "only root may install packages" in done.stderr
    assert "to do: sudo apt-get update && sudo apt-get install --no-install-recommends deb" in done.stderr


def in_sandbox(door: Door, policy: str | None = None) -> subprocess.CompletedProcess[str]:
    """`./bmt run quick` as root with a /usr/sbin of its own; systemd is there and does not run, as in an image."""
    sbin = door.bin.with_name("sbin")
    sbin.mkdir()
    if policy is not None:
        (sbin / "policy-rc.d").write_text(policy)
        (sbin / "policy-rc.d").chmod(0o755)
    Path(door.env["CALLS"] + ".units").write_text("ssh.service\n")
    door("doctor")
    door.calls()
    mounts = f"mount --bind '{sbin}' /usr/sbin && mount -t tmpfs t /run"
    unshare, shell = shutil.which("unshare"), shutil.which("sh")
    assert unshare
    assert shell
    user = () if os.geteuid() == 0 else ("--map-root-user",)
    wrap = (
        unshare,
        *user,
        "--mount",
        shell,
        "-c",
        f'PATH=/usr/bin:/bin; {mounts} && PATH={door.bin} && exec "$0" "$@"',
    )
    return door("run", "quick", before=wrap)


@pytest.mark.lab
def test_packages_are_installed_and_no_service_is_started(door: Door) -> None:
    door.require("bmt-test-program deb-package rpm-package -V -")
    done = in_sandbox(door)
    assert (done.returncode, done.stdout) == (0, "in /\nrun\nquick\n"), done.stderr
    update, install, policy, *disabled = door.calls()
    assert update.startswith("apt-get update")
    assert install.startswith("apt-get install -y ")
    assert install.endswith(" deb-package")
    assert policy == "policy 101"
    assert disabled == [f"systemctl disable -q --now nginx.{kind}" for kind in ("service", "socket")]
    for told in ("installing system packages: deb-package", "nginx.service: installed, but not to be started"):
        assert told in done.stderr
    assert "ssh.service" not in done.stderr  # was here before
    assert not (door.bin.with_name("sbin") / "policy-rc.d").exists()
    # One that a SIGKILL left behind would forbid nothing: it asks whether its maker still lives.
    left = Path(door.env["CALLS"] + ".policy")
    assert subprocess.run([left, "nginx", "start"], check=False).returncode == 0


@pytest.mark.lab
def test_an_administrators_policy_stays_and_decides(door: Door) -> None:
    door.require("bmt-test-program deb-package rpm-package -V -")
    policy = "#!/bin/sh\nexit 104\n"
    assert in_sandbox(door, policy).returncode == 0
    assert "policy 104" in door.calls()
    assert (door.bin.with_name("sbin") / "policy-rc.d").read_text() == policy


@pytest.mark.lab
def test_an_installation_that_brings_nothing(door: Door) -> None:
    door.require("bmt-test-program deb rpm -V -", "bmt-test-other deb2 rpm2 -V -")
    done = in_sandbox(door)
    assert (done.returncode, done.stdout) == (3, "")
    assert "still missing: bmt-test-other" in done.stderr
