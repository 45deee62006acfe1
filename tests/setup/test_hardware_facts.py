"""Facts of real cards, read from what the script printed; and the script on a made-up sysfs."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from bmtlib.errors import ParseError
from bmtlib.params.profile import HostTuning, Irq, Nic
from bmtlib.setup.hardware_facts import HardwareFacts, QueueIrq, Range, parse_facts, probe
from bmtlib.setup.hardware_script import QUEUE_IRQS


def test_cards(guest: HardwareFacts) -> None:
    assert {name: nic.driver for name, nic in guest.nics.items()} == {
        "eth0": "virtio_net",
        "eth1": "virtio_net",
        "eth2": "e1000e",
        "eth3": "vmxnet3",
    }
    eth0, eth1, eth2, eth3 = guest.nics.values()
    assert eth0.channels["Combined"] == Range(now=3, maximum=3)
    assert eth0.rings["RX"] == Range(now=1024, maximum=1024)
    assert (eth0.queues, eth2.queues, eth3.queues) == (3, 1, 2)
    assert (eth0.flow_hash["tcp4"], eth1.flow_hash["tcp4"], eth2.flow_hash["udp4"]) == ("", "sdfn", "sd")
    assert (len(eth0.indirection), eth1.indirection[:4]) == (0, (0, 1, 0, 1))
    assert eth2.refused == {
        "-l": "netlink error: Operation not supported",
        "-x": "Cannot get RX ring count: Operation not supported",
    }
    assert (eth2.coalesce["rx-usecs"], eth2.coalesce["tx-usecs"], eth3.coalesce) == (50, None, {})
    assert eth0.features["large-receive-offload"].fixed
    assert eth0.features["tx-tcp-segmentation"].parent == "tcp-segmentation-offload"
    assert eth0.masks["tx-2/xps_cpus"] == "4"


def test_interrupts(guest: HardwareFacts) -> None:
    assert guest.nics["eth0"].irqs[:3] == (
        QueueIrq(irq=42, name="virtio9-config", queue=None, cpus="0-2"),
        QueueIrq(irq=43, name="virtio9-input.0", queue=0, cpus="0"),
        QueueIrq(irq=44, name="virtio9-output.0", queue=0, cpus="0"),
    )
    assert [(irq.name, irq.queue) for irq in guest.nics["eth2"].irqs] == [
        ("eth2-rx-0", 0),
        ("eth2-tx-0", 0),
        ("eth2", None),
    ]
    assert {irq.name: irq.queue for irq in guest.nics["eth3"].irqs}["eth3-event-2"] is None


def test_machine(guest: HardwareFacts, veth: HardwareFacts) -> None:
    assert (guest.cpus, guest.nodes, guest.cgroup_root, guest.rfs_entries) == ("0-2", {0: "0-2"}, True, 0)
    assert "cpuset" in guest.controllers.split()
    assert guest.node_cpus("eth0") == {0, 1, 2}
    assert (veth.controllers, veth.rfs_entries, veth.nics["eth0"].irqs) == ("", None, ())
    assert set(veth.nics["eth0"].refused) == {"-g", "-c", "-x", "-n rx-flow-hash tcp4", "-n rx-flow-hash udp4"}
    for facts in (guest, veth):
        assert json.loads(json.dumps(asdict(facts)))["host"] == "director"


def test_an_answer_that_is_not_understood_costs_its_wishes_only() -> None:
    text = "@@ 0 cpus\n| online:0\n@@ 0 link eth0\n| txqueuelen 10\n@@ 0 ethtool -g eth0\n| something new\n@@ 0 end\n"
    facts = parse_facts("d", text)
    assert facts.nics["eth0"].refused["-g"].startswith("its answer is not understood: expected 'Ring parameters")
    assert facts.nics["eth0"].channels == {}
    with pytest.raises(ParseError):
        parse_facts("d", text.removesuffix("@@ 0 end\n"))


def test_only_what_a_wish_needs_is_asked_for() -> None:
    assert probe(["eth0"]).argv == ("sh", "-s", "--", "", "eth0")
    queues = HostTuning(nic=Nic(channels=2), irq=Irq(cpus="all"))
    assert probe(["eth0", "eth1"], queues).argv[3:] == ("ilxI", "eth0", "eth1")
    assert probe(["eth0"], HostTuning(nic=Nic(ring_rx="max", features={"gro": False}))).argv[3] == "igk"


# driver -> names of its IRQs in the order of their numbers, with the queue that each serves
DRIVERS: dict[str, dict[str, int | str]] = {
    "virtio_net": {"virtio0-config": "x", "virtio0-input.0": 0, "virtio0-output.0": 0, "virtio0-input.1": 1},
    "igb": {"ens3": "-", "ens3-TxRx-0": 0, "ens3-TxRx-1": 1},
    "ixgbe, ten queues": {f"ens3-TxRx-{i}": i for i in range(11)} | {"ens3": "-"},
    "i40e": {"i40e-0000:3b:00.0:misc": "x", "i40e-ens3-TxRx-0": 0, "i40e-ens3-TxRx-1": 1, "i40e-ens3:fdir-TxRx-0": "x"},
    "mlx5": {"mlx5_async0@pci:0000:3b:00.0": "x", "mlx5_comp0@pci:0000:3b:00.0": 0, "mlx5_comp1@pci:0000:3b:00.0": 1},
    "mlx4, from 1": {"mlx4-async@pci:0000:04:00.0": "x", "mlx4-1@0000:04:00.0": 0, "mlx4-2@0000:04:00.0": 1},
    "ena": {"ena-mgmnt@pci:0000:00:05.0": "x", "ens3-Tx-Rx-0": 0, "ens3-Tx-Rx-1": 1},
    "bnxt_en": {"bnxt_en-ens3-TxRx-0": 0, "bnxt_en-ens3-TxRx-1": 1},
    "cxgb4": {"0000:01:00.4-FWeventq": "x", "ens3 (queue 0)": 0, "ens3 (queue 1)": 1},
    "vmxnet3": {"ens3-rxtx-0": 0, "ens3-rxtx-1": 1, "ens3-event-2": "x"},
    "e1000e": {"ens3-rx-0": 0, "ens3-tx-0": 0, "ens3": "-"},
    "one for all": {"ens3": 0},
}


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_queues_of_interrupts(driver: str, shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    names = DRIVERS[driver]
    device = tmp_path / "sys/devices/pci0/0000:00:03.0"
    (device / "msi_irqs").mkdir(parents=True)
    card = device / "virtio0" if driver == "virtio_net" else device
    card.mkdir(exist_ok=True)
    (card / "modalias").write_text("virtio:d00000001v00001AF4\n" if driver == "virtio_net" else "pci:v00008086\n")
    (tmp_path / "sys/class/net/ens3").mkdir(parents=True)
    (tmp_path / "sys/class/net/ens3/device").symlink_to(card)
    for irq, name in enumerate(names, 96):  # from two digits to three
        (device / "msi_irqs" / str(irq)).write_text("msix\n")
        for path, text in ((f"sys/kernel/irq/{irq}/actions", name), (f"proc/irq/{irq}/smp_affinity_list", "0-3,8")):
            (tmp_path / path).parent.mkdir(parents=True)
            (tmp_path / path).write_text(f"{text}\n")
    (device / "msi_irqs" / "200").write_text("msix\n")  # a vector that nobody has asked for yet
    (tmp_path / "sys/kernel/irq/200").mkdir()
    (tmp_path / "sys/kernel/irq/200/actions").write_text("\n")
    script = QUEUE_IRQS.replace("/sys/", f"{tmp_path}/sys/").replace("/proc/", f"{tmp_path}/proc/")
    done = subprocess.run(
        [shell, "-c", f"{script}queue_irqs ens3"], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stderr == ""
    lines = [line.split(" ", 3) for line in done.stdout.splitlines()]
    assert {name: queue for queue, _, _, name in lines} == {name: str(queue) for name, queue in names.items()}
    assert {int(irq): cpus for _, irq, cpus, _ in lines} == dict.fromkeys(range(96, 96 + len(names)), "0-3,8")
    numbered = [int(queue) for queue, *_ in lines if queue.isdigit()]
    assert numbered == sorted(numbered)
