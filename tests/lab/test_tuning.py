"""Cards, interrupts, CPUs of a virtual director tuned for real: done, read back, seen to act, undone to the byte."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bmtlib.hosts.hardware import gather_hardware
from bmtlib.hosts.host import WORK, Host
from bmtlib.measure.ready import check
from bmtlib.measure.session import Session
from bmtlib.params.arms import ProxyArm
from bmtlib.params.load_yaml import load_profile
from bmtlib.params.profile import HostTuning, Irq
from bmtlib.parsers import hardware, interrupts
from bmtlib.run import load
from bmtlib.setup.change import Change
from bmtlib.setup.haproxy import haproxy_changes
from bmtlib.setup.hardware import dump_script, hardware_changes
from bmtlib.setup.sysctl import NotApplied
from bmtlib.testbeds.placement import place
from bmtlib.testbeds.vm import VmLab

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab() -> Iterator[VmLab]:
    """A director with two CPUs and two queues per card."""
    plan = load("quick", "vm").plan
    with VmLab(
        plan.testbed.network,
        plan.testbed.vm,
        vcpus=2,
        webs=1,
        clients=1,
        placement=place("auto"),
        rootless=check(plan).rootless,
    ) as found:
        yield found


@pytest.fixture(scope="module")
def pristine(lab: VmLab) -> str:
    return dump(lab.director)


@pytest.fixture
def director(lab: VmLab, pristine: str) -> Iterator[Host]:
    """Whatever a test does to it, it undoes."""
    yield lab.director
    assert dump(lab.director) == pristine


def dump(host: Host) -> str:
    text = host.run(["sh", "-s"], stdin=dump_script(), timeout_s=90).stdout
    assert hardware.parse(text)
    return text


def wishes(host: Host, wish: dict[str, Any], *, proxy: int = 1) -> tuple[list[Change], list[NotApplied]]:
    tuning = HostTuning.model_validate(wish)
    return hardware_changes(
        host.name,
        tuning,
        gather_hardware(host, wish=tuning),
        interfaces=["eth0", "eth1"],
        cpus=host.cpus,
        proxy_cpus=frozenset({proxy}),
        namespace=host.machine == "lab",
    )


ALL = {
    "nic": {
        "channels": 1,
        "ring_rx": 256,
        "ring_tx": 128,
        "txqueuelen": 5000,
        "features": {"gro": False, "tso": False},
    },
    "irq": {"cpus": "proxy"},
    "steering": {"rps_cpus": "all", "rfs_entries": 4096, "xps": "none"},
    "cpu": {"isolate": "proxy"},
}


@pytest.mark.vm
def test_done_and_undone(director: Host) -> None:
    changes, skipped = wishes(director, ALL)
    assert not skipped
    assert changes
    assert director.apply(changes) == []
    try:
        assert wishes(director, ALL)[0] == [], "all of it is as wished: nothing is left to do"
    finally:
        director.undo(changes)


@pytest.mark.vm
def test_undone_to_what_the_user_had(director: Host, pristine: str) -> None:
    """Not to the driver's defaults: a change of queues makes the driver forget them."""
    user, _ = wishes(director, {"irq": {"cpus": "proxy"}, "steering": {"rps_cpus": "1", "xps": "none"}})
    director.apply(user)
    try:
        as_found = dump(director)
        assert as_found != pristine
        changes, _ = wishes(director, {"nic": {"channels": 1}, "irq": {"cpus": "0"}})
        director.apply(changes)
        director.undo(changes)
        assert dump(director) == as_found
    finally:
        director.undo(user)


@pytest.mark.vm
def test_what_the_driver_refuses_is_reported_and_the_rest_is_done(director: Host) -> None:
    changes, skipped = wishes(
        director,
        {"nic": {"coalesce": {"rx-usecs": 20, "adaptive-rx": True}, "ring_tx": 128, "features": {"lro": True}}},
    )
    assert {item.key: item.why for item in skipped if "eth0" in item.key} == {
        "nic eth0 adaptive-rx": "the driver has no such setting",
        "nic eth0 lro": "the driver allows no change ([fixed])",
    }
    refused = director.apply(changes)
    director.undo(changes)
    assert [(item.key, item.now, item.want) for item in refused] == [
        (f"nic {interface} rx-usecs", "0", "20") for interface in ("eth0", "eth1")
    ]
    assert "Operation not supported" in refused[0].why


@pytest.mark.vm
def test_the_seeds_numbers_on_another_machine(lab: VmLab) -> None:
    """24 CPUs, rings of 2047: what does not fit is reported, with the reason."""
    profile, director = load_profile("seed-director"), lab.director
    changes, skipped = hardware_changes(
        "director",
        profile,
        gather_hardware(director, wish=profile),
        interfaces=["eth0"],
        cpus=director.cpus,
        proxy_cpus=frozenset({0}),
        namespace=False,
    )
    assert {item.key for item in skipped} == {
        "nic eth0 channels",
        "nic eth0 ring_rx",
        "nic eth0 ring_tx",
        "irq eth0",
        "cpu isolate",
    }
    assert [change.what for change in changes] == ["nic eth0 txqueuelen"]


def taken(host: Host) -> dict[int, int]:
    """Interrupts of the cards' queues by CPU."""
    rows = interrupts.parse(host.read("/proc/interrupts"))
    nics = gather_hardware(host, wish=HostTuning(irq=Irq(cpus="all"))).nics
    irqs = {str(irq.irq) for nic in nics.values() for irq in nic.irqs if irq.queue is not None}
    counts: dict[int, int] = {}
    for row in rows:
        if row["irq"] in irqs and row["cpu"] is not None:
            counts[row["cpu"]] = counts.get(row["cpu"], 0) + row["count"]
    return counts


# To a port where nobody listens, each an interrupt of its own.
# With programs of the system: a host of the lab has a /tmp of its own, and this clone may lie below the other.
DATAGRAMS = 'for port in $(seq 20000 20199); do echo hello | socat -u - "UDP:$1:$port"; done'


@pytest.mark.vm
def test_interrupts_come_where_they_are_sent(lab: VmLab, director: Host) -> None:
    client, grown = lab.hosts["client01"], []
    for cpu in (0, 1):
        changes, _ = wishes(director, {"irq": {"cpus": str(cpu)}})
        director.apply(changes)
        try:
            before = taken(director)
            client.run(["sh", "-c", DATAGRAMS, "sh", director.addresses["front"]])
            after = taken(director)
        finally:
            director.undo(changes)
        grown.append({number: after[number] - before[number] for number in after})
    for cpu, counts in enumerate(grown):
        # A busy machine takes several datagrams with one interrupt, and one of each IRQ may still have been on its way.
        assert counts[cpu] > 20
        assert counts[1 - cpu] < counts[cpu] / 2


@pytest.mark.vm
def test_only_the_proxy_runs_on_the_cpu_that_was_set_aside(director: Host) -> None:
    director.run(["sh", "-c", "taskset -c 0 sleep 300 </dev/null >/dev/null 2>&1 & echo $! > /tmp/pinned"])
    allowed = "sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/{}/status"
    aside, _ = wishes(director, {"cpu": {"isolate": "proxy"}})
    director.apply(aside)
    try:
        assert director.run(["taskset", "-c", "1", "true"], check=False).rc != 0
        assert director.run(["sh", "-c", allowed.format("1")]).stdout == "0\n"
        proxy = haproxy_changes(
            "director",
            ProxyArm(),
            servers={"web01": "172.16.0.101"},
            vip="0.0.0.0",
            port=80,
            cpus=frozenset({1}),
            maxconn=100,
            nofile=1000,
            work=WORK,
            config_before=None,
        )
        director.apply(proxy)  # its check has read the CPUs of its threads
        assert proxy[-1].expect == "running on 1"
        director.undo(proxy)
    finally:
        director.undo(aside)
    assert director.run(["taskset", "-c", "1", "true"]).rc == 0
    assert director.run(["sh", "-c", allowed.format("$(cat /tmp/pinned)")]).stdout == "0\n", "whoever chose fewer CPUs"
    director.run(["sh", "-c", "kill $(cat /tmp/pinned)"])


def test_in_a_lab_of_namespaces(session: Session) -> None:
    """RPS of its own veth, and nothing of the machine."""
    host = session.lab.director
    before = dump(host)
    changes, skipped = wishes(host, {**ALL, "steering": {"rps_cpus": "all", "rfs_entries": 1}}, proxy=min(host.cpus))
    refused = host.apply(changes)
    host.undo(changes)
    assert dump(host) == before
    keys = {item.key for item in (*skipped, *refused)}
    assert {"irq cpus", "cpu isolate", "steering rfs_entries", "nic eth0 ring_rx"} <= keys
