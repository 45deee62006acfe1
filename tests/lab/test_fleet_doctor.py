"""The doctor on lab hosts with a real sshd: named in the testbed, by an Ansible inventory, and by EnOSlib."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bmtlib.fleet_doctor import HostReport, examine_fleet
from bmtlib.hosts.connect import VARIABLE
from bmtlib.params.load_yaml import load_testbed
from bmtlib.params.testbed import Testbed

sys.path.insert(0, str(Path(__file__).parent))

from ssh_lab import SshLab, ssh_lab

pytestmark = [pytest.mark.lab, pytest.mark.ssh]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshLab]:
    with ssh_lab(tmp_path_factory.mktemp("fleet"), webs=2, clients=1) as found, pytest.MonkeyPatch.context() as patch:
        for name, value in found.env.items():
            patch.setenv(name, value)
        yield found


def nobody(hosts: Any) -> str:
    raise AssertionError(f"root was asked for a password on {hosts}")


def examine(testbed: Testbed) -> dict[str, HostReport]:
    return {report.host: report for report in examine_fleet(testbed, secret=nobody)}


def check(report: HostReport, name: str) -> tuple[bool | None, str]:
    return next((check.ok, check.value) for check in report.checks if check.name == name)


def test_a_fleet_that_can_serve(lab: SshLab) -> None:
    found = examine(load_testbed(lab.testbed))
    assert list(found) == ["director", "web01", "web02", "client01"]
    assert {name: report.checks for name, report in found.items() if not report.serves} == {}
    assert check(found["director"], "front") == (True, "eth0 (veth, 10 Gbit/s, 1 queue), 192.168.16.1")
    assert check(found["director"], "back")[1].endswith(", 172.16.0.1")
    assert check(found["web01"], "reach") == (True, "web01, as root")
    assert abs(float(check(found["web01"], "clock")[1].split()[0])) < 5


def test_a_host_out_of_reach_leaves_the_others(lab: SshLab) -> None:
    lab.cut("web02")
    try:
        found = examine(load_testbed(lab.testbed))
    finally:
        lab.restore("web02")
    assert [name for name, report in found.items() if not report.serves] == ["web02"]
    ok, why = check(found["web02"], "reach")
    assert ok is False
    assert "cannot be reached" in why


def test_what_stands_in_the_way(lab: SshLab) -> None:
    server = lab.lab.hosts["web01"].start(["socat", "TCP-LISTEN:80,fork", "SYSTEM:true"])
    try:
        lab.lab.hosts["web01"].run(["sh", "-c", "until ss -Hltn sport = :80 | grep -q .; do sleep 0.05; done"])
        wrong = ["testbed.ssh.client.front=ens3", "testbed.ssh.director.cpus=0-999"]
        found = examine(load_testbed(lab.testbed, wrong))
    finally:
        server.kill()
    assert [name for name, report in found.items() if report.serves] == ["web02"]
    assert check(found["web01"], "port") == (False, "socat listens on 80")
    assert "no interface ens3" in check(found["client01"], "place")[1]
    assert "no CPU" in check(found["director"], "place")[1]


def test_the_same_host_twice(lab: SshLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = lab.config.read_text().split("Host ")
    web01 = next(entry for entry in entries if entry.startswith("web01\n"))
    config = tmp_path / "ssh_config"
    config.write_text(f"{lab.config.read_text()}Host again\n  HostKeyAlias web01\n{web01.removeprefix('web01')}")
    monkeypatch.setenv(VARIABLE, str(config))
    data = yaml.safe_load(lab.testbed.read_text())
    data["ssh"]["client"]["hosts"].append("again")
    (tmp_path / "fleet.yml").write_text(yaml.safe_dump(data))
    found = examine(load_testbed(tmp_path / "fleet.yml"))
    assert check(found["again"], "identity") == (False, "the same host as web01")


def test_an_ansible_inventory(lab: SshLab, tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.ini"
    inventory.write_text("[lb]\nbalancer ansible_host=director\n[web]\nweb[01:02]\n[client]\nclient01\n")
    found = examine(Testbed.model_validate({"kind": "ssh", "ssh": {"inventory": str(inventory)}}))
    assert [(name, report.serves) for name, report in found.items()] == [
        ("balancer", True),
        ("web01", True),
        ("web02", True),
        ("client01", True),
    ]


def test_enoslib(lab: SshLab) -> None:
    pytest.importorskip("enoslib", reason="EnOSlib is not installed: pip install -e '.[enoslib]' in another venv")
    names = {"director": ["director"], "web": ["web01", "web02"], "client": ["client01"]}
    machines = [{"roles": [role], "address": name} for role, hosts in names.items() for name in hosts]
    wish = {"provider": "static", "config": {"resources": {"machines": machines, "networks": []}}}
    found = examine(Testbed.model_validate({"kind": "ssh", "ssh": {"enoslib": wish}}))
    assert {report.role: report.serves for report in found.values()} == dict.fromkeys(names, True)
