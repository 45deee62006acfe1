"""What the doctor says of each host of a fleet, and what it advises."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from bmtlib.doctor import Check
from bmtlib.errors import HostError, InputError
from bmtlib.fleet_doctor import Findings, HostReport, examine_fleet, judge
from bmtlib.hosts.clock import ClockOffset
from bmtlib.hosts.identity import Identity
from bmtlib.hosts.links import Link
from bmtlib.params.fleet import Login
from bmtlib.params.testbed import Network, Testbed
from bmtlib.setup import system as systems
from bmtlib.setup.packages import PROGRAMS
from bmtlib.setup.system import Process, System
from bmtlib.show_fleet import COLUMNS, show_fleet, to_json

BED = Testbed.model_validate({"kind": "ssh", "ssh": {"inventory": "hosts.ini"}})
DIRECTOR = Login(name="lb01", role="director", target="lb01")
WEB = Login(name="web01", role="web", target="web01")
CLIENT = Login(name="client01", role="client", target="client01")
IN_TIME = ClockOffset(host="lb01", offset_s=0.0012, uncertainty_s=0.0002)

ROCKY = """\
os ID="rocky"
os VERSION_ID="8.10"
os PRETTY_NAME="Rocky Linux 8.10 (Green Obsidian)"
kernel 4.18.0-553.el8_10.x86_64
arch x86_64
uid 0
nofile 262144
nr_open 1048576
memory_kib 8000000
free_kib / 20971520
free_kib /var 10485760
numa_nodes 2
manager dnf
module ip_vs available
end
"""


def system(**more: Any) -> System:
    return replace(systems.parse("lb01", ROCKY), programs=frozenset(PROGRAMS), **more)


def link(name: str, **more: Any) -> Link:
    known = {"driver": "ixgbe", "speed_mbit": 10_000, "up": True, "numa_node": 0, "queues": 8}
    return Link(name=name, **(known | more))


def findings(**more: Any) -> Findings:
    addresses = {"eth0": ["10.0.0.5"], "eth1": ["192.168.16.1"], "eth2": ["172.16.0.1"]}
    identity = Identity(
        boot="b",
        netns="n",
        cpus=frozenset(range(4)),
        virtual=False,
        container=False,
        interfaces=tuple(addresses),
        addresses=addresses,
    )
    known = {"identity": identity, "links": {name: link(name) for name in addresses}, "system": system()}
    return Findings(**(known | more))


def checks_of(
    login: Login, found: Findings | BaseException, clock: Any = IN_TIME, bed: Testbed = BED, twin: str | None = None
) -> dict[str, Check]:
    return {check.name: check for check in judge(login, bed, found, clock, twin)}


def test_a_director_that_has_all_it_needs() -> None:
    checks = checks_of(DIRECTOR, findings())
    assert {name: (check.ok, check.value) for name, check in checks.items()} == {
        "system": (True, "Rocky Linux 8.10 (Green Obsidian), x86_64"),
        "kernel": (True, "4.18.0-553.el8_10.x86_64"),
        "ip_vs": (True, "available"),
        "front": (True, "eth1 (ixgbe, 10 Gbit/s, 8 queues, NUMA node 0), 192.168.16.1"),
        "back": (True, "eth2 (ixgbe, 10 Gbit/s, 8 queues, NUMA node 0), 172.16.0.1"),
        "CPUs": (True, "4 (0-3), 2 NUMA nodes"),
        "port": (True, "80 is free"),
        "clock": (True, "+1.2 ms (to within 0.2)"),
        "space": (True, "/ 20.0 GiB free, /var 10.0 GiB free"),
        "programs": (True, "all there"),
    }


def test_a_role_needs_its_own_side_alone() -> None:
    assert {"front", "back"} & checks_of(WEB, findings()).keys() == {"back"}
    assert {"front", "back"} & checks_of(CLIENT, findings()).keys() == {"front"}


@pytest.mark.parametrize(
    ("login", "why"),
    [
        (replace(WEB, back="ens3"), "web01: it has no interface ens3, but eth0, eth1, eth2"),
        (replace(WEB, back="eth0"), "web01: its interface eth0 has no address in 172.16.0.0/24"),
        (replace(DIRECTOR, cpus="2-5"), "lb01: it has no CPU 4-5, but 0-3"),
    ],
)
def test_a_host_that_is_not_as_the_testbed_says(login: Login, why: str) -> None:
    place = checks_of(login, findings())["place"]
    assert (place.ok, place.value) == (False, why)
    assert place.todo


def test_a_link_that_is_down() -> None:
    found = findings()
    found.links["eth2"] = link("eth2", up=False)
    back = checks_of(DIRECTOR, found)["back"]
    assert (back.ok, back.todo[:19]) == (False, "ip link set eth2 up")


@pytest.mark.parametrize(
    ("offset_s", "limit", "ok"), [(0.005, 5, True), (-0.0051, 5, True), (-0.0055, 5, False), (9.0, None, True)]
)
def test_the_clock_is_held_against_the_limit(offset_s: float, limit: float | None, ok: bool) -> None:
    """What is within the uncertainty counts for the host, as when a run begins."""
    bed = Testbed.model_validate({"kind": "ssh", "ssh": {"inventory": "hosts.ini", "clock_limit_ms": limit}})
    clock = ClockOffset(host="web01", offset_s=offset_s, uncertainty_s=0.0002)
    assert checks_of(WEB, findings(), clock, bed)["clock"].ok is ok


@pytest.mark.parametrize(
    ("login", "names", "ok"),
    [
        (WEB, ["nginx"], None),
        (WEB, ["nginx", "httpd"], False),
        (DIRECTOR, [None], False),
        (CLIENT, ["httpd"], True),
    ],
)
def test_who_has_the_port(login: Login, names: list[str | None], ok: bool | None) -> None:
    listeners = tuple(("0.0.0.0", 80, pid) for pid in range(len(names)))
    owners = {
        pid: Process(pid=pid, parent=1, name=name, unit="", program=f"/bin/{name}", line="")
        for pid, name in enumerate(names)
        if name
    }
    found = findings(system=system(listeners=(*listeners, ("0.0.0.0", 22, 99)), processes=owners))
    assert checks_of(login, found)["port"].ok is ok


def test_a_disk_that_is_full() -> None:
    space = checks_of(WEB, findings(system=system(free_kib={"/": 9_000_000, "/var": 400_000})))["space"]
    assert (space.ok, space.value, space.todo) == (False, "/ 8.6 GiB free, /var 0.4 GiB free", "free 500 MiB on /var")


def test_what_would_be_installed() -> None:
    programs = system().programs - {"nginx", "haproxy", "ipvsadm"}
    assert checks_of(CLIENT, findings(system=replace(system(), programs=programs)))["programs"].ok is True
    web = checks_of(WEB, findings(system=replace(system(), programs=programs)))["programs"]
    assert (web.ok, web.value) == (None, "missing: nginx")
    director = checks_of(DIRECTOR, findings(system=replace(system(), programs=programs)))["programs"]
    assert (director.ok, director.value) == (None, "missing: haproxy, ipvsadm")


def test_a_director_without_lvs_is_told_and_can_serve() -> None:
    found = findings(system=system(modules={"ip_vs": "absent"}))
    checks = checks_of(DIRECTOR, found)
    assert (checks["ip_vs"].ok, checks["ip_vs"].value) == (None, "absent")
    assert "nftables" in checks["ip_vs"].todo
    assert checks_of(WEB, found)["ip_vs"].todo == ""


def test_a_system_that_is_not_known() -> None:
    checks = checks_of(WEB, findings(system=system(os="arch", name="Arch Linux", manager="")))
    assert (checks["system"].ok, checks["system"].value) == (False, "Arch Linux is not supported")
    assert "programs" not in checks


def test_the_same_host_under_two_names() -> None:
    identity = checks_of(WEB, findings(), twin="client01")["identity"]
    assert (identity.ok, identity.value) == (False, "the same host as client01")


def test_a_host_that_goes_away_meanwhile() -> None:
    gone = HostError("web01", ["ssh"], None, "the SSH connection broke")
    (check,) = checks_of(WEB, gone).values()
    assert (check.name, check.ok) == ("answers", False)
    clock = checks_of(WEB, findings(), gone)["clock"]
    assert (clock.ok, clock.value) == (False, gone.what)


def test_a_testbed_that_has_no_hosts_of_its_own() -> None:
    with pytest.raises(InputError, match="a testbed of kind netns is made on this machine"):
        examine_fleet(Testbed(network=Network(port=81)), secret=lambda _: "")


REPORTS = [
    HostReport(
        host=f"web{n:02}",
        role="web",
        target=f"10.0.0.{n}",
        checks=(
            Check(name="reach", ok=True, value="root@10.0.0.1"),
            Check(name="back", ok=n != 7, value="eth0 [bold]", todo="" if n != 7 else "ip link set eth0 up"),
            Check(name="programs", ok=None, value="package nginx", todo="`bmt apply` and `bmt run` install them"),
        ),
    )
    for n in range(1, 10)
]


def test_a_host_serves_when_nothing_is_in_the_way() -> None:
    assert [report.host for report in REPORTS if not report.serves] == ["web07"]


def test_every_host_has_a_row_and_every_remark_stands_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    show_fleet(REPORTS)
    said = capsys.readouterr().out
    rows, remarks = said.split("What to do")
    assert [rows.count(report.host) for report in REPORTS] == [1] * 9
    assert "eth0 [bold]" in rows  # text from a host is no markup
    assert remarks.count("ip link set eth0 up") == remarks.count("install them") == 1
    assert "web01, web02, web03, web04 and 5 more" in remarks
    assert remarks.index("ip link set eth0 up") < remarks.index("install them")
    assert "8 of 9 hosts can serve in their roles. Nothing was changed." in remarks


def test_every_finding_has_its_column() -> None:
    shown = {name for names in COLUMNS.values() for name in names}
    gone = HostError("web01", ["ssh"], None, "gone")
    named = checks_of(DIRECTOR, findings(), twin="web01") | checks_of(WEB, gone)
    named |= checks_of(replace(WEB, back="ens3"), findings())
    assert named.keys() | {"reach"} == shown


def test_json_has_everything() -> None:
    found = json.loads(to_json(REPORTS))
    assert [entry["serves"] for entry in found] == [report.serves for report in REPORTS]
    assert found[6]["checks"][1] == {"name": "back", "ok": False, "value": "eth0 [bold]", "todo": "ip link set eth0 up"}
