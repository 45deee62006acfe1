"""The study's set-up, chapter by chapter, as `bmt plan` prints it for machines that look like bare Rocky Linux 8.

Lab hosts with an sshd, Rocky's os-release and tools of its name; what is installed here is hidden from them, and each
has a boot id of its own, as machines have. No package is installed: the plan only asks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ssh_lab import SshLab, bmt, ssh_lab

pytestmark = [pytest.mark.lab, pytest.mark.ssh]

_ROCKY = r"""
set -e
cat > /etc/os-release <<'END'
NAME="Rocky Linux"
ID="rocky"
ID_LIKE="rhel centos fedora"
VERSION_ID="8.6"
PRETTY_NAME="Rocky Linux 8.6 (Green Obsidian)"
END
tool() { printf '#!/bin/sh\n%s\n' "$2" > "/usr/local/bin/$1"; chmod 755 "/usr/local/bin/$1"; }
tool dnf 'exit 1'
tool rpm 'exit 1'
tool grubby 'echo "args=\"ro crashkernel=auto\""'
tool modinfo 'for module; do :; done; echo "/lib/modules/kernel/$module.ko.xz"'
cat /proc/sys/kernel/random/uuid > /run/boot; mount --bind /run/boot /proc/sys/kernel/random/boot_id
: > /run/nothing
for program in nginx haproxy ab ipvsadm nft socat arping; do
  path=$(command -v "$program") && mount --bind /run/nothing "$(readlink -f "$path")"
done
"""
_SHA256 = "0123456789abcdef" * 4
_SCENARIO = {
    "title": "The study's set-up",
    "question": "Which change of a host does each chapter of the study become?",
    "arms": {
        "proxy": {
            "maxconn": 9000,
            "checks": True,
            "rate_limit_sessions": 120_000,
            "tls": {"port": 443},
            "build": {
                "version": "2.2.25",
                "source": "https://www.haproxy.org/download/2.2/src/haproxy-2.2.25.tar.gz",
                "sha256": _SHA256,
                "lua": {
                    "version": "5.3.5",
                    "source": "https://www.lua.org/ftp/lua-5.3.5.tar.gz",
                    "sha256": _SHA256,
                },
            },
        },
        "l2dsr": {
            "engine": "ipvs",
            "upper_threshold": 35_000,
            "lower_threshold": 35_000,
            "timeouts": {"tcp_fin": 60},
        },
    },
    "webs": 2,
    "clients": 2,
    "load": {"concurrency": 20, "seconds": 1},
    "tuning": "seed",
}

# The study's chapter -> host, and how a change (or a wish that this machine cannot have) of it begins.
_CHAPTERS = {
    "1 client host": (("client", "package httpd-tools"), ("client", "sysctl net.ipv4.ip_local_port_range")),
    "2 web host": (
        ("web", "package nginx"),
        ("web", "file /etc/nginx/nginx.conf"),
        ("web", "process nginx"),
        ("web", "sysctl net.core.somaxconn"),
    ),
    "3 L2DSR on web hosts": (
        ("web", "address 192.168.16.100/32 on lo"),
        ("web", "sysctl net.ipv4.conf.all.arp_ignore"),
        ("web", "sysctl net.ipv4.conf.all.arp_announce"),
    ),
    "4 HAProxy director": (
        ("director", "source haproxy 2.2.25"),
        ("director", "source lua 5.3.5"),
        ("director", "package gcc make openssl-devel zlib-devel pcre-devel systemd-devel"),
        ("director", "build /opt/bmt/haproxy-2.2.25"),
        ("director", "certificate /etc/bmt/tls/192.168.16.100.pem"),
        ("director", "file /etc/haproxy/haproxy.cfg"),
        ("director", "process haproxy"),
    ),
    "5 LVS director": (
        ("director", "package socat ipvsadm"),
        ("director", "module ip_vs"),
        ("director", "sysctl net.ipv4.vs.expire_nodest_conn"),
        ("director", "ipvs timeouts"),
        ("director", "ipvs 192.168.16.100:80"),
    ),
    "6 director sysctl profile": (
        ("director", "sysctl net.core.netdev_max_backlog"),
        ("director", "sysctl vm.swappiness"),
        ("director", "file /etc/sysctl.d/90-bmt.conf"),
    ),
    "7 core isolation": (("director", "kernel arguments"), ("director", "cpu isolate")),
    "8 process pinning": (("director", "process haproxy"),),
    "9 NIC": (
        ("director", "nic eth0 ring_rx"),
        ("director", "nic eth0 channels"),
        ("director", "nic eth0 txqueuelen"),
        ("director", "irq eth0"),
    ),
}


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("rocky")
    (folder / "study.yml").write_text(yaml.safe_dump(_SCENARIO))
    with ssh_lab(folder, webs=2, clients=2) as lab:
        yield _planned(lab, folder / "study.yml")


def _planned(lab: SshLab, scenario: Path) -> list[dict[str, Any]]:
    for host in lab.lab.hosts.values():
        host.run(["sh", "-c", _ROCKY])
    before = lab.dumps()
    said = bmt(lab, "plan", str(scenario), "--testbed", str(lab.testbed), "--json")
    assert said.returncode == 0, said.stderr
    assert lab.dumps() == before, "a plan changes nothing"
    found: list[dict[str, Any]] = json.loads(said.stdout)["changes"]
    return found


@pytest.mark.parametrize("chapter", _CHAPTERS)
def test_each_chapter_of_the_study_is_in_the_plan(steps: list[dict[str, Any]], chapter: str) -> None:
    for role, what in _CHAPTERS[chapter]:
        assert [step for step in steps if step["host"].startswith(role) and step["what"].startswith(what)], what


def test_scopes_are_those_of_machines_with_kernels_of_their_own(steps: list[dict[str, Any]]) -> None:
    scopes = {step["what"]: step["scope"] for step in steps if step["host"] == "director" and step["done"]}
    assert scopes["sysctl net.core.somaxconn"] == "netns"
    assert scopes["sysctl vm.swappiness"] == "machine"
    assert scopes["package socat ipvsadm"] == "host"
    assert scopes["kernel arguments"] == "reboot"
