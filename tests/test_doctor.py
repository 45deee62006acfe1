"""What the machine can do: the answers are true here, and each "no" says what to do."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bmtlib import doctor, programs
from bmtlib.errors import MachineError
from bmtlib.testbeds import trial


@pytest.fixture
def only_these(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make a machine whose only programs are those given, name -> shell script."""

    def make(**scripts: str) -> None:
        for name, script in scripts.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setattr(programs, "environment", lambda: {"PATH": str(tmp_path)})

    return make


def test_every_no_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    checks = doctor.examine()
    with capsys.disabled():
        print(f"\nexamine: {time.monotonic() - began:.2f} s (goal 3)")
    assert [check.name for check in checks if check.ok is False and not check.todo] == []
    names = [check.name for check in checks]
    assert len(names) == len(set(names))
    assert {
        "system",
        "rootless lab",
        "root lab",
        "ip_vs",
        "guest kernel",
        "KVM",
        "testbed auto",
        "nginx",
        "haproxy",
        "ab",
    } <= set(names)


def test_examine_on_a_machine_without_programs(only_these: Callable[..., None]) -> None:
    only_these(**{"apt-get": ""})
    checks = {check.name: check for check in doctor.examine()}
    assert checks["nginx"].ok is False
    assert checks["nginx"].todo.endswith("apt-get install --no-install-recommends nginx")
    assert checks["rootless lab"].value == "not tried: unshare, ip, nft missing"
    assert checks["rootless lab"].todo.endswith("iproute2 nftables util-linux")
    assert checks["ab's largest concurrency"].ok is False
    assert doctor.missing_programs() == [row.name for row in programs.programs() if row.needed_for == "all"]
    wanted = [row.name for row in programs.programs() if row.needed_for in ("all", "vm")]
    assert doctor.missing_programs("vm") == wanted
    assert checks["qemu-system-x86_64"].ok is None
    assert checks["wrk"].ok is None
    assert "apt-get install --no-install-recommends nghttp2-client   (only a scenario" in checks["h2load"].todo
    assert "apt-get install --no-install-recommends openssh-server   (only the testbed vm" in checks["sshd"].todo
    with pytest.raises(MachineError, match="unshare, ip, nft missing"):
        doctor.lab_privilege()


def test_install_command_names_rpm_packages_for_dnf(only_these: Callable[..., None]) -> None:
    only_these(dnf="")
    assert doctor.install_command(["ab", "ip", "ss"]).endswith("dnf install httpd-tools iproute")
    assert doctor.install_command(["ip"]).startswith("" if os.geteuid() == 0 else "sudo ")


def test_another_program_of_the_same_name_does_not_count(only_these: Callable[..., None]) -> None:
    only_these(
        arping="echo ARPing 2.23, by Thomas Habets",
        ipvsadm="echo no ip_vs in 6.1.0; exit 255",
        ss="echo ss, 5.1",
        sshd="echo unknown option -- V >&2; echo OpenSSH_8.7p1, OpenSSL 3.0.7 >&2; exit 1",
    )
    assert doctor.program_versions() == {"ipvsadm": "unknown", "ss": "5.1", "sshd": "8.7p1"}
    assert "arping" in doctor.missing_programs()


def test_nofile_limit_is_the_hard_one() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert doctor.nofile_limit() == (1_048_576 if hard == resource.RLIM_INFINITY else hard)


def test_limit_of_ab(only_these: Callable[..., None]) -> None:
    only_these(ab="echo 'ab: Invalid Concurrency [Range 0..20000]' >&2; exit 22")
    assert doctor.ab_concurrency_limit() == 20_000
    only_these(ab="echo something else")
    with pytest.raises(MachineError, match="does not tell"):
        doctor.ab_concurrency_limit()


def test_a_program_that_hangs_does_not_hang_the_doctor() -> None:
    rc, said = programs.output(["sleep", "30"], timeout_s=0.1)
    assert (rc, said) == (124, "no answer after 0.1 s")


@pytest.mark.parametrize(
    ("path", "value", "todo"),
    [
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "user.max_user_namespaces=10000"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"),
    ],
)
def test_a_setting_that_forbids_is_named(tmp_path: Path, path: str, value: str, todo: str) -> None:
    (tmp_path / path).parent.mkdir()
    (tmp_path / path).write_text(value + "\n")
    refused = {"namespaces": "unshare failed: Operation not permitted"}
    assert todo in trial.advice(refused, rootless=True, sysctls=tmp_path)
    assert todo not in trial.advice(refused, rootless=False, sysctls=tmp_path)


def test_missing_modules_are_named(tmp_path: Path) -> None:
    refused = {"veth": "RTNETLINK answers: Operation not supported", "nft": "Error: Could not process rule"}
    assert trial.advice(refused, rootless=True, sysctls=tmp_path).startswith("sudo modprobe -a veth nf_tables")


@pytest.mark.lab
def test_a_lab_can_be_tried_and_leaves_nothing() -> None:
    before = Path("/proc/net/dev").read_text().count("\n"), Path("/proc/self/mounts").read_text()
    privilege = doctor.lab_privilege()
    parts = trial.try_lab(rootless=privilege == "rootless")
    assert set(parts) == {"namespaces", "overlay", "sysfs", "veth", "bridge", "nft", "rps"}
    assert trial.refusals(parts) == {}
    assert (Path("/proc/net/dev").read_text().count("\n"), Path("/proc/self/mounts").read_text()) == before
