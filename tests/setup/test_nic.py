"""Wishes for cards -> changes, on facts of real ones. tests/lab/test_tuning.py does them to real ones."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bmtlib.errors import InputError
from bmtlib.params.profile import HostTuning, Nic, Profile, Reason
from bmtlib.setup.change import Command
from bmtlib.setup.hardware_facts import Feature, HardwareFacts
from bmtlib.setup.nic import queues_wanted
from bmtlib.setup.offloads import even_over

from .conftest import Tune

GOLDEN = Path(__file__).parents[1] / "golden"


def words(command: Command) -> str:
    """The command that a change ends in: what follows the script and the interface."""
    return " ".join(command.argv[5:] if command.argv[:2] == ("sh", "-c") else command.argv)


@pytest.mark.parametrize(
    ("interface", "nic", "before", "want", "do"),
    [
        ("eth0", {"channels": 1}, "3", "1", "ethtool -L eth0 combined 1"),
        ("eth0", {"ring_tx": 128}, "256", "128", "ethtool -G eth0 tx 128"),
        ("eth2", {"ring_rx": "max"}, "256", "4096", "ethtool -G eth2 rx 4096"),
        ("eth2", {"coalesce": {"rx-usecs": 9}}, "50", "9", "ethtool -C eth2 rx-usecs 9"),
        ("eth0", {"features": {"gro": False}}, "on", "off", "ethtool -K eth0 gro off"),
        ("eth0", {"features": {"generic-receive-offload": False}}, "on", "off", "ethtool -K eth0 gro off"),
        ("eth0", {"features": {"rx-gro-hw": False}}, "on", "off", "ethtool -K eth0 rx-gro-hw off"),
        ("eth1", {"rx_flow_hash": {"tcp4": "fs"}}, "sdfn", "sf", "ethtool -N eth1 rx-flow-hash tcp4 sf"),
        ("eth1", {"indirection": 1}, "evenly over 2", "evenly over 1", "ethtool -X eth1 equal 1"),
        ("eth0", {"txqueuelen": 5000}, "1000", "5000", "ip link set dev eth0 txqueuelen 5000"),
    ],
)
def test_one_wish(tune: Tune, interface: str, nic: dict[str, Any], before: str, want: str, do: str) -> None:
    (change,), skipped = tune({"nic": nic}, interfaces=[interface])
    assert not skipped
    assert (change.before, change.want, words(change.do)) == (before, want, do)
    assert change.what.startswith(f"nic {interface} ")
    assert change.may_refuse
    assert change.check is not None


@pytest.mark.parametrize(
    "nic",
    [
        {"channels": 3},
        {"channels": "auto"},
        {"ring_rx": "max"},
        {"coalesce": {"rx-usecs": 0}},
        {"features": {"gro": True, "lro": False}},
        {"txqueuelen": 1000},
    ],
)
def test_what_is_so_already_is_left_alone(tune: Tune, nic: dict[str, Any]) -> None:
    assert tune({"nic": nic}) == ([], [])


@pytest.mark.parametrize(
    ("interface", "nic", "key", "why"),
    [
        ("eth2", {"channels": 2}, "nic eth2 channels", "e1000e: netlink error: Operation not supported"),
        ("eth2", {"channels": "auto"}, "nic eth2 channels", "e1000e: netlink error: Operation not supported"),
        ("eth2", {"coalesce": {"adaptive-rx": True}}, "nic eth2 adaptive-rx", "the driver has no such setting"),
        ("eth3", {"coalesce": {"rx-usecs": 1}}, "nic eth3 rx-usecs", "vmxnet3: netlink error: Operation not supported"),
        ("eth0", {"features": {"lro": True}}, "nic eth0 lro", "the driver allows no change ([fixed])"),
        ("eth0", {"features": {"warp": True}}, "nic eth0 warp", "neither the kernel nor the driver knows this feature"),
        (
            "eth0",
            {"rx_flow_hash": {"tcp4": "sd"}},
            "nic eth0 rx-flow-hash tcp4",
            "the driver spreads flows by no fields that could be chosen",
        ),
        (
            "eth3",
            {"rx_flow_hash": {"udp4": "sd"}},
            "nic eth3 rx-flow-hash udp4",
            "vmxnet3: Cannot get RX network flow hashing options: Operation not supported",
        ),
        (
            "eth0",
            {"indirection": 1},
            "nic eth0 indirection",
            "the driver has no indirection table that could be set",
        ),
        (
            "eth2",
            {"indirection": 1},
            "nic eth2 indirection",
            "e1000e: Cannot get RX ring count: Operation not supported",
        ),
    ],
)
def test_what_a_driver_lacks_is_reported(tune: Tune, interface: str, nic: dict[str, Any], key: str, why: str) -> None:
    changes, (item,) = tune({"nic": nic}, interfaces=[interface])
    assert not changes
    assert (item.host, item.key, item.why) == ("director", key, why)


@pytest.mark.parametrize(
    ("nic", "key", "what", "todo"),
    [
        ({"channels": 4}, "nic.channels", "nic eth0 channels: 4 .* 3 queue", "at most 3, or `auto`"),
        ({"ring_rx": 2048}, "nic.ring_rx", "nic eth0 ring_rx: 2048 .* 1024", "at most 1024, or `max`"),
    ],
)
def test_beyond_the_card(tune: Tune, nic: dict[str, Any], key: str, what: str, todo: str) -> None:
    with pytest.raises(InputError, match=what) as error:
        tune({"nic": nic})
    assert (error.value.where, error.value.todo) == (key, todo)


def test_a_profile_was_made_for_another_machine(tune: Tune) -> None:
    why = Reason(reason="of the study's host")
    wish = Profile(
        title="A",
        source="B",
        nic=Nic(channels=4, ring_tx=128),
        reasons={"nic.channels": why, "nic.ring_tx": why},
    )
    (change,), (item,) = tune(wish)
    assert (change.want, change.reason) == ("128", "of the study's host")
    assert (item.key, item.want, item.now) == ("nic eth0 channels", "4", "3")


def test_indirection_beyond_the_queues(tune: Tune) -> None:
    with pytest.raises(InputError, match=r"nic eth1 indirection: 4 .*the card has 3 queue"):
        tune({"nic": {"indirection": 4}}, interfaces=["eth1"])
    changes, _ = tune({"nic": {"channels": 2, "indirection": 2}}, interfaces=["eth1"])
    assert [change.what for change in changes] == ["nic eth1 channels", "nic eth1 indirection"]


def test_a_table_that_cannot_be_put_back_is_left_alone(tune: Tune, guest: HardwareFacts) -> None:
    odd = replace(guest.nics["eth1"], indirection=(0, 0, 1, 1))
    assert even_over(odd) is None
    changes, (item,) = tune({"nic": {"indirection": 1}}, facts=replace(guest, nics={"eth1": odd}), interfaces=["eth1"])
    assert not changes
    assert "could not be put back" in item.why


def test_more_queues_get_their_flows(tune: Tune, guest: HardwareFacts) -> None:
    """Drivers leave the indirection table as it was: new queues would stay empty. A table of the user's stays."""
    nic = guest.nics["eth1"]
    for table, reset in (((0, 1, 2, 0), True), ((0, 1, 0, 1), False)):
        facts = replace(guest, nics={"eth1": replace(nic, indirection=table)})
        (change,), _ = tune({"nic": {"channels": 2}}, facts=facts, interfaces=["eth1"])
        assert (" default" in " ".join(change.do.argv)) == reset


def test_auto_means_the_cpus_next_to_the_card(guest: HardwareFacts, tune: Tune) -> None:
    eth0 = guest.nics["eth0"]
    assert [queues_wanted("auto", eth0, near) for near in (1, 2, 3, 64)] == [1, 2, 3, 3]
    assert (queues_wanted(2, eth0, 1), queues_wanted(None, eth0, 1)) == (2, None)
    near = replace(guest, nodes={0: "0,2", 1: "1"}, nics={"eth0": replace(eth0, numa_node=0)})
    (change,), _ = tune({"nic": {"channels": "auto"}}, facts=near)
    assert change.want == "2"


def test_undo_of_one_feature_sets_all_that_it_took_along(tune: Tune, guest: HardwareFacts) -> None:
    features = {
        "tx-checksumming": Feature(parent=None, on=True, wanted=True, fixed=False),
        "tx-checksum-ipv4": Feature(parent="tx-checksumming", on=False, wanted=False, fixed=True),
        "tx-checksum-ip-generic": Feature(parent="tx-checksumming", on=True, wanted=True, fixed=False),
        "generic-receive-offload": Feature(parent=None, on=True, wanted=True, fixed=False),
        "large-receive-offload": Feature(parent=None, on=False, wanted=True, fixed=False),
    }
    facts = replace(guest, nics={"eth0": replace(guest.nics["eth0"], features=features)})
    (change,), _ = tune({"nic": {"features": {"tx": False}}}, facts=facts)
    assert change.undo.argv[-2:] == (
        "tx-checksumming: on tx-checksum-ip-generic: on generic-receive-offload: on large-receive-offload: off",
        "tx-checksum-ip-generic on gro on lro on",
    )


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize(
    ("golden", "interface", "nic"),
    [
        ("ethtool_channels/virtio", "eth0", {"channels": 1}),
        ("ethtool_ring/e1000e", "eth2", {"ring_rx": 512}),
        ("ethtool_ring/virtio", "eth0", {"ring_tx": 128}),
        ("ethtool_coalesce/e1000e", "eth2", {"coalesce": {"rx-usecs": 3}}),
        ("ethtool_features/virtio", "eth0", {"features": {"gro": False}}),
        ("ethtool_flow_hash/virtio_rss", "eth1", {"rx_flow_hash": {"tcp4": "s"}}),
    ],
)
def test_what_is_in_force_is_read_from_ethtool(
    tune: Tune, tmp_path: Path, shell: str, golden: str, interface: str, nic: dict[str, Any]
) -> None:
    """The check of a change, on ethtool's real output from before it."""
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    (change,), _ = tune({"nic": nic}, interfaces=[interface])
    (tmp_path / "ethtool").write_text(f"#!/bin/sh\ncat {GOLDEN}/{golden}.txt\n")
    (tmp_path / "ethtool").chmod(0o755)
    assert change.check is not None
    done = subprocess.run(
        [shell, *change.check.argv[1:]],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    before = {"channels": "2"}.get(next(iter(nic)), change.before)  # the golden of another guest
    assert (" ".join(done.stdout.split()), done.stderr) == (before, "")


@pytest.mark.parametrize(("line", "rx", "tx"), [("on  TX: off", "on", "off"), ("off  TX: n/a", "off", "n/a")])
def test_adaptive_coalescing_is_read(
    tune: Tune, guest: HardwareFacts, tmp_path: Path, line: str, rx: str, tx: str
) -> None:
    nic = replace(guest.nics["eth0"], coalesce={"adaptive-rx": False, "adaptive-tx": False})
    wish = HostTuning(nic=Nic(coalesce={"adaptive-rx": True, "adaptive-tx": True}))
    changes, _ = tune(wish, facts=replace(guest, nics={"eth0": nic}))
    (tmp_path / "ethtool").write_text(f"#!/bin/sh\necho 'Coalesce parameters for eth0:'\necho 'Adaptive RX: {line}'\n")
    (tmp_path / "ethtool").chmod(0o755)
    found = [
        subprocess.run(
            change.check.argv, capture_output=True, text=True, check=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}
        ).stdout.strip()
        for change in changes
        if change.check
    ]
    assert found == [rx, tx]
