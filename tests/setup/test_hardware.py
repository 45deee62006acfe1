"""The whole of a tuning: order, CPUs behind words, what a lab may, IRQs and masks on a made-up sysfs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bmtlib.errors import InputError
from bmtlib.params.profile import Cpu, Irq, Profile, Reason
from bmtlib.setup.change import Change, Command
from bmtlib.setup.hardware_facts import HardwareFacts, NicFacts

from .conftest import Tune

EVERYTHING = {
    "nic": {"channels": 1, "ring_tx": 128, "features": {"gro": False}, "txqueuelen": 5},
    "irq": {"cpus": "proxy"},
    "steering": {"rps_cpus": "all", "rfs_entries": 1024, "xps": "none"},
    "cpu": {"isolate": "proxy"},
}


def whats(changes: list[Change]) -> list[str]:
    return [change.what for change in changes]


def test_nothing_wished_nothing_done(tune: Tune) -> None:
    assert tune({}) == ([], [])


def test_order(tune: Tune, guest: HardwareFacts) -> None:
    """irqbalance first: it would move IRQs again. Queues before what a driver forgets when they change."""
    busy = replace(guest, irqbalance={77: "aXJxYmFsYW5jZQA="})
    changes, skipped = tune(EVERYTHING, facts=busy, interfaces=["eth0", "eth1", "eth0"])
    assert not skipped
    assert whats(changes) == [
        "process irqbalance",
        *(f"nic eth0 {key}" for key in ("channels", "ring_tx", "gro", "txqueuelen")),
        *(f"nic eth1 {key}" for key in ("channels", "ring_tx", "gro", "txqueuelen")),
        "irq eth0",
        "irq eth1",
        "sysctl net.core.rps_sock_flow_entries",
        *(f"steering eth0 {key}" for key in ("rps_cpus", "rps_flow_cnt", "xps_cpus")),
        *(f"steering eth1 {key}" for key in ("rps_cpus", "rps_flow_cnt", "xps_cpus")),
        "cpu isolate",
    ]
    wanted = {change.what: change.want for change in changes}
    assert wanted["irq eth0"] == "CPU 2"
    assert wanted["steering eth0 rps_cpus"] == "CPU 0-2"
    assert wanted["steering eth0 rps_flow_cnt"] == "1024"
    assert wanted["steering eth0 xps_cpus"] == "none"
    assert wanted["cpu isolate"] == "2"


def test_a_lab_touches_nothing_of_the_machine(tune: Tune, veth: HardwareFacts) -> None:
    wish = {**EVERYTHING, "nic": {"channels": 7, "ring_rx": "max", "txqueuelen": 5}}
    changes, skipped = tune(wish, facts=veth, cpus=[1], proxy=[1], namespace=True)
    assert whats(changes) == ["nic eth0 txqueuelen", "steering eth0 rps_cpus"]
    assert {item.key: item.why for item in skipped} == {
        "irq cpus": "belongs to the whole machine; a lab leaves it alone",
        "cpu isolate": "belongs to the whole machine; a lab leaves it alone",
        "steering rfs_entries": "belongs to the whole machine; a lab leaves it alone",
        "nic eth0 channels": "the interface has no queues whose number can be set",
        "nic eth0 ring_rx": "veth: netlink error: Operation not supported",
    }


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("all", "0, 1, 2"),
        ("proxy", "2, 2, 2"),
        ("others", "0, 1, 0"),
        ("1-2", "1, 2, 1"),
        ("0", "0, 0, 0"),
    ],
)
def test_cpus_behind_words(tune: Tune, guest: HardwareFacts, word: str, expected: str) -> None:
    odd = moved(guest.nics["eth0"], "0-2")
    (change,), _ = tune({"irq": {"cpus": word}}, facts=replace(guest, nics={"eth0": odd}))
    assert (change.before, change.want) == ("CPU 0-2, 0-2, 0-2", f"CPU {expected}")


def moved(nic: NicFacts, cpus: str) -> NicFacts:
    return replace(nic, irqs=tuple(replace(irq, cpus=cpus) for irq in nic.irqs))


def test_cpus_next_to_the_card_come_first(tune: Tune, guest: HardwareFacts) -> None:
    nic = replace(moved(guest.nics["eth0"], "0-2"), numa_node=1)
    (change,), _ = tune({"irq": {"cpus": "all"}}, facts=replace(guest, nodes={0: "0-1", 1: "2"}, nics={"eth0": nic}))
    assert change.want == "CPU 2, 0, 1"


def test_irqs_that_are_where_they_should_be(tune: Tune) -> None:
    assert tune({"irq": {"cpus": "all"}}) == ([], [])
    changes, _ = tune({"irq": {"cpus": "all"}, "nic": {"channels": 2}})
    assert whats(changes) == ["nic eth0 channels", "irq eth0"], "the driver moves them when its queues change"


@pytest.mark.parametrize(
    ("wish", "where", "what"),
    [
        ({"irq": {"cpus": "2-5"}}, "irq.cpus", "irq eth0: 2-5 .* it has no CPU 3-5, but 0-2"),
        ({"steering": {"rps_cpus": 7}}, "steering.rps_cpus", "it has no CPU 7"),
        ({"cpu": {"isolate": "0-2"}}, "cpu.isolate", "no CPU would be left"),
    ],
)
def test_cpus_beyond_the_machine(tune: Tune, wish: dict[str, object], where: str, what: str) -> None:
    with pytest.raises(InputError, match=what) as error:
        tune(wish)
    assert error.value.where == where


def test_a_proxy_that_has_everything_or_nothing(tune: Tune) -> None:
    with pytest.raises(InputError, match="the proxy has all CPUs of this host"):
        tune({"irq": {"cpus": "others"}}, proxy=[0, 1, 2])
    changes, (item,) = tune({"irq": {"cpus": "proxy"}}, proxy=[])
    assert not changes
    assert item.why == "no proxy has CPUs of its own in this case"
    with pytest.raises(InputError, match="half in and half out"):
        tune({"cpu": {"isolate": "2"}}, proxy=[1, 2])


def test_isolation_needs_cgroups_of_its_own(tune: Tune, guest: HardwareFacts) -> None:
    old = replace(guest, controllers="", boot_tools=("grubby",))
    _, (item,) = tune({"cpu": {"isolate": "1"}}, facts=old)
    assert 'grubby --update-kernel=ALL --args="isolcpus=managed_irq,domain,1 nohz_full=1 rcu_nocbs=1"' in item.why
    _, (item,) = tune({"cpu": {"isolate": "1"}}, facts=replace(guest, cgroup_root=False))
    assert "container" in item.why


def test_a_profile_of_another_machine(tune: Tune, guest: HardwareFacts) -> None:
    """The seed's CPUs on a host with three: reported, with what the host has."""
    why = Reason(reason="R")
    wish = Profile(
        title="A",
        source="B",
        irq=Irq(cpus="6-10"),
        cpu=Cpu(isolate="0-12"),
        reasons={"irq.cpus": why, "cpu.isolate": why},
    )
    changes, skipped = tune(wish, facts=replace(guest, irqbalance_unit=True))
    assert not changes, "irqbalance may go on, too"
    assert [(item.key, item.want, item.why) for item in skipped] == [
        ("irq eth0", "6-10", "it has no CPU 6-10, but 0-2"),
        ("cpu isolate", "0-12", "it has no CPU 3-12, but 0-2"),
    ]


def test_governor(tune: Tune, guest: HardwareFacts) -> None:
    wish = {"cpu": {"governor": "performance"}}
    _, (item,) = tune(wish)
    assert item.why == "the kernel scales no CPU frequency here"
    scaled = replace(guest, governors={0: "powersave", 1: "schedutil"}, governors_available=("powersave",))
    _, (item,) = tune(wish, facts=scaled)
    assert (item.now, item.why) == ("powersave schedutil", "the kernel has only powersave")
    (change,), _ = tune(wish, facts=replace(scaled, governors_available=("performance", "powersave")))
    assert change.undo.stdin == "0 powersave\n1 schedutil\n"


def test_irqbalance_as_a_unit(tune: Tune, guest: HardwareFacts) -> None:
    wish = {"irq": {"cpus": "proxy"}}
    changes, _ = tune(wish, facts=replace(guest, irqbalance_unit=True, irqbalance={77: "x"}))
    assert whats(changes) == ["unit irqbalance.service", "irq eth0"]
    assert changes[0].undo.argv[-1] == "irqbalance.service"
    assert not changes[0].may_refuse


@pytest.fixture(params=["dash", "bash"])
def host(request: pytest.FixtureRequest, tmp_path: Path, guest: HardwareFacts) -> Callable[[Command], str]:
    """Runs a command with /sys and /proc/irq below `tmp_path`, which hold eth0 of the guest."""
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param} here")
    nic = guest.nics["eth0"]
    files = {f"sys/class/net/eth0/queues/{file}": value for file, value in nic.masks.items()}
    for irq in nic.irqs:
        files[f"sys/kernel/irq/{irq.irq}/actions"] = irq.name
        files[f"proc/irq/{irq.irq}/smp_affinity_list"] = irq.cpus
        files[f"sys/class/net/eth0/device/msi_irqs/{irq.irq}"] = "msix"
    for file, value in files.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(f"{value}\n")

    def run(command: Command) -> str:
        argv = [
            word.replace("/sys/", f"{tmp_path}/sys/").replace("/proc/irq", f"{tmp_path}/proc/irq")
            for word in (request.param, *command.argv[1:])
        ]
        done = subprocess.run(argv, input=command.stdin, capture_output=True, text=True, timeout=20, check=True)
        assert done.stderr == ""
        return " ".join(done.stdout.split())

    return run


def state(folder: Path) -> dict[str, str]:
    return {
        f"{path.relative_to(folder)}": path.read_text()
        for path in sorted([*folder.glob("proc/irq/*/*"), *folder.glob("sys/class/net/eth0/queues/*/*")])
    }


@pytest.mark.parametrize(
    "wish",
    [
        {"irq": {"cpus": "proxy"}},
        {"irq": {"cpus": "1-2"}},
        {"steering": {"rps_cpus": "0-1"}},
        {"steering": {"rps_cpus": "all", "xps": "none"}},
    ],
)
def test_done_read_back_and_undone(
    tune: Tune, host: Callable[[Command], str], tmp_path: Path, wish: dict[str, object]
) -> None:
    before = state(tmp_path)
    changes, _ = tune(wish)
    for change in changes:
        assert change.check is not None
        assert host(change.check) != change.expect
        host(change.do)
        assert host(change.check) == change.expect
    during = state(tmp_path)
    assert during != before
    assert during["proc/irq/42/smp_affinity_list"] == "0-2\n", "what serves no queue stays"
    for change in reversed(changes):
        host(change.undo)
    assert state(tmp_path) == before


def test_shares_of_the_flow_table(tune: Tune) -> None:
    for queues, share in ((3, "512"), (2, "512"), (1, "1024")):
        changes, _ = tune({"nic": {"channels": queues}, "steering": {"rfs_entries": 1024}})
        assert [change.want for change in changes if change.what.endswith("rps_flow_cnt")] == [share]
    assert tune({"steering": {"rfs_entries": 0}}) == ([], [])


def test_cpus_take_turns_over_transmit_queues(tune: Tune) -> None:
    wish = {"nic": {"channels": 2}, "steering": {"xps": "spread"}}
    changes, _ = tune(wish)
    assert changes[-1].want == "CPU 0,2 / CPU 1"
    _, (item,) = tune({"steering": {"xps": "spread"}}, interfaces=["eth2"])
    assert "one transmit queue" in item.why
