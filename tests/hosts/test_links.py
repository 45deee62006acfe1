"""A host's interfaces: those of this machine for real, and of others in text."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from bmtlib.errors import HostError
from bmtlib.hosts.links import _SCRIPT, parse

TEXT = """\
eth0 ixgbe 10000 up 1 8
eth1 virtio_net -1 down -1 1
eth2 mlx5_core 2500 up -1 4
lo - -1 unknown -1 1
"""


def test_interfaces() -> None:
    found = parse("lb01", TEXT)
    assert list(map(str, found.values())) == [
        "eth0 (ixgbe, 10 Gbit/s, 8 queues, NUMA node 1)",
        "eth1 (virtio_net, 1 queue)",
        "eth2 (mlx5_core, 2.5 Gbit/s, 4 queues)",
        "lo (-, 1 queue)",
    ]
    assert [link.up for link in found.values()] == [True, False, True, True]


@pytest.mark.parametrize("line", ["eth0", "eth0 ixgbe fast up 1 8", "eth0 ixgbe 10000 up 1 8 9", "cat: not found"])
def test_another_form_is_an_error(line: str) -> None:
    with pytest.raises(HostError, match="lb01: `links`"):
        parse("lb01", f"{TEXT}{line}\n")


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_this_machine(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, "-s"], input=_SCRIPT, capture_output=True, text=True, check=True)
    found = parse("here", done.stdout)
    assert found.keys() == {name for _, name in socket.if_nameindex()}
    assert done.stderr == ""
    for name, link in found.items():
        assert link.queues == len(list(Path(f"/sys/class/net/{name}/queues").glob("rx-*")))
