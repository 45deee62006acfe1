"""Which engine drives an arm, and what is changed on the director for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from host_doubles import LocalHost

from bmtlib.errors import InputError, MachineError
from bmtlib.hosts.facts import Facts
from bmtlib.measure.arms import arm_changes, engine_of
from bmtlib.params.scenario import Arm, DirectArm, L2dsrArm, ProxyArm
from bmtlib.params.testbed import Network
from bmtlib.setup.change import Change


def facts(host: str, *, ip_vs: bool = False, haproxy_cfg: str | None = None) -> Facts:
    number = {"director": 1, "web01": 65, "web02": 66}[host]
    macs = {f"eth{i}": f"02:00:{i:02}:00:00:{number}" for i in (0, 1)}
    return Facts(
        host=host,
        kernel="6.1.0",
        nofile=20_000,
        ip_vs=ip_vs,
        macs=macs,
        nginx_conf=None,
        haproxy_cfg=haproxy_cfg,
        settings={},
    )


@pytest.mark.parametrize(
    ("arm", "without", "with_ip_vs"),
    [
        (DirectArm(), "none", "none"),
        (ProxyArm(), "haproxy", "haproxy"),
        (L2dsrArm(), "nft", "ipvs"),
        (L2dsrArm(engine="nft"), "nft", "nft"),
    ],
)
def test_engines(arm: Arm, without: str, with_ip_vs: str) -> None:
    assert engine_of(arm, facts("director")) == without
    assert engine_of(arm, facts("director", ip_vs=True)) == with_ip_vs


def test_lvs_that_the_kernel_has_not() -> None:
    arm = L2dsrArm(engine="ipvs")
    assert engine_of(arm, facts("director", ip_vs=True)) == "ipvs"
    with pytest.raises(MachineError, match="no ip_vs") as caught:
        engine_of(arm, facts("director"))
    assert "modprobe ip_vs" in caught.value.todo


def changes(arm: Arm, engine: str, *, cpus: frozenset[int] = frozenset({1}), config: str | None = None) -> list[Change]:
    def host(name: str, **addresses: str) -> LocalHost:
        interfaces = {"front": "eth0", "back": "eth1"} if name == "director" else {"front": "eth1", "back": "eth0"}
        role = name.rstrip("0123456789")
        return LocalHost(name=name, role=role, addresses=addresses, interfaces=interfaces, cpus=cpus, root=Path("/x"))

    return arm_changes(
        arm,
        engine,
        director=host("director", front="192.168.16.1", back="172.16.0.1"),
        facts={"director": facts("director", haproxy_cfg=config), "web01": facts("web01"), "web02": facts("web02")},
        webs=[host("web01", back="172.16.0.101"), host("web02", back="172.16.0.102")],
        network=Network(port=8080),
    )


def test_direct_changes_nothing() -> None:
    assert changes(DirectArm(), "none") == []


def test_proxy() -> None:
    file, process = changes(ProxyArm(), "haproxy", config="theirs")
    assert process.what == "process haproxy"
    assert file.undo.stdin == "theirs"
    text = file.do.stdin
    assert "bind 192.168.16.100:8080" in text
    assert "server web01 172.16.0.101:8080\n" in text
    assert "server web02 172.16.0.102:8080\n" in text
    assert "cpu-map auto:1/1-1 1" in text
    assert text.count("maxconn 9936\n") == 2


def test_proxy_that_does_not_fit() -> None:
    with pytest.raises(InputError, match="2 HAProxy threads, and the director has 1"):
        changes(ProxyArm(threads=2), "haproxy")
    assert len(changes(ProxyArm(threads=2), "haproxy", cpus=frozenset(os.sched_getaffinity(0)) | {0, 1})) == 2


def test_ipvs() -> None:
    (change,) = changes(L2dsrArm(scheduler="wlc"), "ipvs")
    assert change.do.stdin.splitlines() == [
        "-A -t 192.168.16.100:8080 -s wlc",
        "-a -t 192.168.16.100:8080 -r 172.16.0.101:8080 -g -w 1",
        "-a -t 192.168.16.100:8080 -r 172.16.0.102:8080 -g -w 1",
    ]


def test_nft_takes_packets_from_the_front_and_sends_them_to_the_back() -> None:
    (change,) = changes(L2dsrArm(), "nft")
    text = change.do.stdin
    assert 'ingress device "eth0"' in text
    assert 'fwd to "eth1"' in text
    assert "ether saddr set 02:00:01:00:00:1 " in text, "the director's own address on its back interface"
    assert "{ 0 : 02:00:00:00:00:65, 1 : 02:00:00:00:00:66 }" in text, "the web hosts' on theirs"
    assert "ip daddr 192.168.16.100 tcp dport 8080" in text
