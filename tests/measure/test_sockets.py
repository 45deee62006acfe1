"""Small questions that a case asks its hosts. The case as a whole is for the lab's tests."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from host_doubles import LocalHost

from bmtlib.hosts.netns import NetnsHost
from bmtlib.measure.sockets import listens, open_sockets

LISTEN = (Path(__file__).parents[1] / "golden/ss_listen/load.txt").read_bytes()


@pytest.mark.skipif(shutil.which("ss") is None, reason="no ss here")
@pytest.mark.parametrize("role", ["director", "web"])
def test_sockets_of_clients_are_counted_and_no_others(client: LocalHost, role: str) -> None:
    """Every address of 127/8 is this machine's: a part of it that no other test has plays the front network."""
    part = f"127.{64 + os.getpid() % 64}.{os.getpid() // 64 % 256}"
    host, front = replace(client, role=role), f"{part}.0/24"
    assert not open_sockets(host, front, {})
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not open_sockets(host, front, {}), "who only listens does not count"
        ours = socket.create_connection(("127.0.0.1", port), source_address=(f"{part}.2", 0))
        other = socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0))
        taken = [server.accept()[0] for _ in range(2)]
        assert open_sockets(host, front, {}).total() == 1, "the end that belongs to the client in the front network"
        assert open_sockets(client, front, {}).total() >= 4, "a client has no sockets but its own"
        for end in taken:
            end.close()
        ours.close()
        other.close()
    assert not open_sockets(host, front, {}), "TIME_WAIT does no work"


class Web(NetnsHost):
    """A web host of a lab of which the kernel's count, and what ss says, are given."""

    in_use, said, asked = 0, "", 0

    def proc_net(self, files: Sequence[str]) -> bytes:
        assert list(files) == ["sockstat"]
        return b"sockets: used 9\nTCP: inuse %d orphan 0 tw 7 alloc 7 mem 1\nUDP: inuse 0 mem 0\n" % self.in_use + (
            b"UDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n"
        )

    def run(self, command: Sequence[str], **_: Any) -> Any:
        self.asked += 1
        return SimpleNamespace(stdout=self.said)


def test_a_web_host_of_a_lab_is_entered_only_to_learn_what_listens() -> None:
    addresses, interfaces = {"back": "10.0.0.1"}, {"back": "eth0"}
    web = Web(
        name="web01",
        role="web",
        machine="lab",
        addresses=addresses,
        interfaces=interfaces,
        cpus=frozenset(),
        pid=1,
        machine_cpus=frozenset(),
        rootless=False,
    )
    front, listeners = "192.168.16.0/24", dict[str, int]()
    listen = "LISTEN 0 511 0.0.0.0:80 0.0.0.0:*\n" * 2
    web.in_use = 4
    web.said = f"{listen}ESTAB 0 0 192.168.16.100:80 192.168.16.2:40000\nFIN-WAIT-1 0 0 10.0.0.1:80 10.0.0.254:40001\n"
    assert open_sockets(web, front, listeners) == {"ESTAB": 1}, "one is not a client's"
    assert (web.asked, listeners) == (1, {"web01": 2})
    web.in_use = 2
    assert not open_sockets(web, front, listeners)
    assert web.asked == 1, "nothing but what listens: nobody has to be asked"
    for web.in_use, web.said in ((3, listen), (1, listen.splitlines()[0])):  # what listens may have changed
        assert not open_sockets(web, front, listeners)
    assert (web.asked, listeners) == (3, {"web01": 1})


def test_listens() -> None:
    assert listens({"ss_listen.after.txt": LISTEN}, 80)
    assert listens({"ss_listen.after.txt": LISTEN}, 443)
    assert not listens({"ss_listen.after.txt": LISTEN}, 8080)
    assert not listens({"ss_listen.after.txt": LISTEN, "ss_listen.before.txt": LISTEN}, 44)


@pytest.mark.parametrize("files", [{}, {"ss_listen.after.err": b"no ss"}, {"ss_listen.after.txt": b"\xff what?\n"}])
def test_a_host_that_was_not_asked_is_judged_by_its_load_alone(files: dict[str, bytes]) -> None:
    assert listens(files, 80)
