"""Which engine drives an arm, and what is changed for it, on which hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from host_doubles import LocalHost, ReplayHost

from bmtlib.errors import CaseError, InputError, MachineError
from bmtlib.hosts.facts import Facts
from bmtlib.measure.arms import arm_changes, check_web_kernels, engine_of, picks_by_client
from bmtlib.params.arms import Arm, DirectArm, L2dsrArm, L3dsrArm, LvsTimeouts, NatArm, ProxyArm
from bmtlib.params.testbed import Network
from bmtlib.setup.change import Change
from bmtlib.setup.sysctl import probe


def facts(host: str, *, ip_vs: bool = False, haproxy_cfg: str | None = None) -> Facts:
    number = {"director": 1, "web01": 65, "web02": 66}[host]
    macs = {f"eth{i}": f"02:00:{i:02}:00:00:{number}" for i in (0, 1)}
    return Facts(
        host=host,
        kernel="6.1.0",
        nofile=20_000,
        ip_vs=ip_vs,
        macs=macs,
        addresses=(),
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


@pytest.mark.parametrize("arm", [L2dsrArm(engine="ipvs"), L3dsrArm(), NatArm()], ids=lambda arm: arm.kind)
def test_lvs_that_the_kernel_has_not(arm: Arm) -> None:
    assert engine_of(arm, facts("director", ip_vs=True)) == "ipvs"
    with pytest.raises(MachineError, match="no ip_vs") as caught:
        engine_of(arm, facts("director"))
    assert "modprobe ip_vs" in caught.value.todo
    assert ("`nft`" in caught.value.todo) == (arm.kind == "l2dsr"), "the others know no other engine"


def host(name: str, kind: type[LocalHost] | type[ReplayHost] = LocalHost, **options: Any) -> Any:
    interfaces = {"front": "eth0", "back": "eth1"} if name == "director" else {"front": "eth1", "back": "eth0"}
    number = {"director": 1, "web01": 101, "web02": 102}[name]
    addresses = {"back": f"172.16.0.{number}"} | ({"front": "192.168.16.1"} if name == "director" else {})
    role = name.rstrip("0123456789")
    own: dict[str, Any] = {"root": Path("/x")} if kind is LocalHost else {"record": {}}
    return kind(
        name=name,
        role=role,
        machine="lab",
        namespace=True,
        addresses=addresses,
        interfaces=interfaces,
        **({"cpus": frozenset({1})} | own | options),
    )


def changes(
    arm: Arm,
    engine: str,
    *,
    config: str | None = None,
    director: Any = None,
    webs: list[Any] | None = None,
) -> dict[str, list[Change]]:
    return arm_changes(
        arm,
        engine,
        director=director or host("director"),
        facts={"director": facts("director", haproxy_cfg=config), "web01": facts("web01"), "web02": facts("web02")},
        webs=webs or [host("web01"), host("web02")],
        network=Network(port=8080),
    )


def test_direct_changes_nothing() -> None:
    assert changes(DirectArm(), "none") == {}


def test_proxy() -> None:
    found = changes(ProxyArm(), "haproxy", config="theirs")
    assert list(found) == ["director"]
    file, process = found["director"]
    assert process.what == "process haproxy"
    assert file.before == "6 bytes"
    text = file.do.stdin
    assert "bind 192.168.16.100:8080" in text
    assert "server web01 172.16.0.101:8080\n" in text
    assert "server web02 172.16.0.102:8080\n" in text
    assert text.count("maxconn 9936\n") == 2


def test_proxy_that_does_not_fit() -> None:
    with pytest.raises(InputError, match="2 HAProxy threads, and the director has 1"):
        changes(ProxyArm(threads=2), "haproxy")
    assert (
        len(changes(ProxyArm(threads=2), "haproxy", director=host("director", cpus=frozenset({0, 1})))["director"]) == 2
    )


KEYS = {
    "net.ipv4.vs.conn_reuse_mode": "3",
    "net.ipv4.vs.expire_nodest_conn": "0",
    "net.ipv4.ip_forward": "0",
    "net.ipv4.conf.all.accept_redirects": "1",
}
TIMEOUTS = "ipvsadm -L --timeout"


def lvs_director(*keys: str, mode: str = "writable", timeouts: bool = False) -> ReplayHost:
    """Has `keys`, and says so when it is asked for them, in this order."""
    files = [key.replace(".", "/") for key in keys]
    said = "".join(f"{file}\t{mode}\n" for file in files)
    if mode != "absent":
        said += "".join(f"{file}:{KEYS[key]}\n" for file, key in zip(files, keys, strict=True))
    record = {" ".join(probe(keys).argv): [(0, said)]}
    if timeouts:
        record[TIMEOUTS] = [(0, "Timeout (tcp tcpfin udp): 900 120 300\n")]
    director: ReplayHost = host("director", ReplayHost, record=record)
    return director


def test_ipvs() -> None:
    director = lvs_director("net.ipv4.vs.expire_nodest_conn")
    found = changes(L2dsrArm(scheduler="wlc"), "ipvs", director=director)
    assert list(found) == ["director"]
    assert found["director"][-1].do.stdin.splitlines() == [
        "-A -t 192.168.16.100:8080 -s wlc",
        "-a -t 192.168.16.100:8080 -r 172.16.0.101:8080 -g -w 1",
        "-a -t 192.168.16.100:8080 -r 172.16.0.102:8080 -g -w 1",
    ]


def test_ipvs_goes_back_to_what_the_director_has_now() -> None:
    """Not to what it had when facts were gathered: the tuning profile came in between."""
    director = lvs_director("net.ipv4.vs.conn_reuse_mode", "net.ipv4.vs.expire_nodest_conn", timeouts=True)
    arm = L2dsrArm(conn_reuse_mode=0, timeouts=LvsTimeouts(tcp_fin=5))
    reuse, _, timeouts, _ = changes(arm, "ipvs", director=director)["director"]
    assert (reuse.before, reuse.want, reuse.undo.argv[-1]) == ("3", "0", "3")
    assert (timeouts.before, timeouts.want) == ("900 120 300", "900 5 300")


@pytest.mark.parametrize("mode", ["absent", "readonly"])
def test_an_option_that_this_kernel_does_not_have(mode: str) -> None:
    director = lvs_director("net.ipv4.vs.expire_nodest_conn", mode=mode)
    with pytest.raises(CaseError, match=f"cannot be given net.ipv4.vs.expire_nodest_conn: {mode} there"):
        changes(L2dsrArm(), "ipvs", director=director)


def test_nat_changes_web_hosts_first() -> None:
    keys = ("net.ipv4.vs.expire_nodest_conn", "net.ipv4.ip_forward", "net.ipv4.conf.all.accept_redirects")
    found = changes(NatArm(), "ipvs", director=lvs_director(*keys))
    assert list(found) == ["web01", "web02", "director"]
    assert [change.what for change in found["web02"]] == ["route 192.168.16.0/25", "route 192.168.16.128/25"]
    assert {change.host for change in found["web02"]} == {"web02"}
    assert all(change.want == "via 172.16.0.1 dev eth0" for change in found["web02"])
    assert [change.what for change in found["director"]][1:] == [
        "sysctl net.ipv4.ip_forward",
        "ipvs 192.168.16.100:8080",
    ]


def try_tunnel(address: str) -> str:
    return f'sh -c ip link add name bmt_ipip type ipip local "$1" && ip link del bmt_ipip sh {address}'


def test_l3dsr() -> None:
    """One web host of each machine is asked whether its kernel has tunnels."""
    webs = [host("web01", ReplayHost, record={try_tunnel("172.16.0.101"): [(0, "")]}), host("web02", ReplayHost)]
    found = changes(L3dsrArm(), "ipvs", director=lvs_director("net.ipv4.vs.expire_nodest_conn"), webs=webs)
    assert list(found) == ["web01", "web02", "director"]
    assert found["web02"][0].do.argv[-1] == "172.16.0.102"
    assert found["web02"][1].what == "address 192.168.16.100/32 on bmt_ipip"


def test_l3dsr_where_the_kernel_has_no_tunnels() -> None:
    web = host("web01", ReplayHost, record={try_tunnel("172.16.0.101"): [(2, "Error: Unknown device type.")]})
    check_web_kernels([DirectArm(), L2dsrArm(), NatArm()], [web])
    assert web.asked == []
    with pytest.raises(MachineError, match="the kernel of web01 has no IPIP tunnels") as caught:
        check_web_kernels([DirectArm(), L3dsrArm()], [web])
    assert "CONFIG_NET_IPIP" in caught.value.todo


def test_nft_takes_packets_from_the_front_and_sends_them_to_the_back() -> None:
    (change,) = changes(L2dsrArm(), "nft")["director"]
    text = change.do.stdin
    assert 'ingress device "eth0"' in text
    assert 'fwd to "eth1"' in text
    assert "ether saddr set 02:00:01:00:00:1 " in text, "the director's own address on its back interface"
    assert "{ 0 : 02:00:00:00:00:65, 1 : 02:00:00:00:00:66 }" in text, "the web hosts' on theirs"
    assert "ip daddr 192.168.16.100 tcp dport 8080" in text


@pytest.mark.parametrize(
    ("arm", "engine", "picks"),
    [
        (ProxyArm(balance="source"), "haproxy", True),
        (ProxyArm(), "haproxy", False),
        (NatArm(scheduler="sh"), "ipvs", True),
        (L3dsrArm(scheduler="mh"), "ipvs", True),
        (L2dsrArm(scheduler="mh"), "nft", False),
        (NatArm(), "ipvs", False),
        (DirectArm(), "none", False),
    ],
)
def test_balancers_that_pick_by_client(arm: Arm, engine: str, picks: bool) -> None:
    assert picks_by_client(arm, engine) == picks
