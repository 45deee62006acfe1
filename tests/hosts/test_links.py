"""What the doctor asks a host: answers of this machine for real, and of others in text."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess

import pytest
from host_doubles import LocalHost

from bmtlib.errors import HostError
from bmtlib.hosts.look import _SCRIPT, Link, look, parse

TEXT = """\
cpus 0-7
link eth0 ixgbe 10000 up 1 8
link eth1 virtio_net -1 down -1 2
link lo - -1 unknown -1 1
address lo 127.0.0.1/8
address eth0 192.168.16.1/24
address eth0 10.0.0.1/8
listen 0.0.0.0:80 users:(("nginx",pid=9,fd=6),("nginx",pid=8,fd=6))
listen [::]:80 users:(("nginx",pid=9,fd=7))
listen 10.0.0.1:80\x20
"""


def test_cards_addresses_and_listeners() -> None:
    found = parse("lb01", TEXT)
    assert found.cpus == frozenset(range(8))
    assert found.links["eth0"] == Link(
        name="eth0",
        driver="ixgbe",
        speed_mbit=10_000,
        up=True,
        numa_node=1,
        queues=8,
        addresses=("192.168.16.1/24", "10.0.0.1/8"),
    )
    assert (found.links["eth1"].speed_mbit, found.links["eth1"].up, found.links["eth1"].numa_node) == (
        None,
        False,
        None,
    )
    assert found.links["lo"].up
    assert found.listeners == ("nginx", "")


@pytest.mark.parametrize("text", ["", "cpus x\n", "cpus\n", "cpus 0\nlink eth0 up\n", "cpus 0\nwhat is this\n"])
def test_another_form_is_an_error(text: str) -> None:
    with pytest.raises(HostError, match="lb01: `look`"):
        parse("lb01", text)


@pytest.mark.skipif(shutil.which("ss") is None or shutil.which("ip") is None, reason="ip or ss is not installed")
@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_this_machine(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = subprocess.run([shell, "-c", _SCRIPT, "sh", str(port)], capture_output=True, text=True, check=True)
    found = parse("here", done.stdout)
    assert len(found.cpus) == os.sysconf("SC_NPROCESSORS_ONLN")
    assert found.links.keys() == {name for _, name in socket.if_nameindex()}
    assert "127.0.0.1/8" in found.links["lo"].addresses
    assert len(found.listeners) == 1


@pytest.mark.skipif(shutil.which("ss") is None or shutil.which("ip") is None, reason="ip or ss is not installed")
def test_a_port_that_nobody_has(host: LocalHost) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert look(host, port).listeners == ()
