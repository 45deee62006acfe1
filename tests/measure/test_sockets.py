"""Small questions that a case asks its hosts. The case as a whole is for the lab's tests."""

from __future__ import annotations

import os
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from host_doubles import LocalHost

from bmtlib.measure.sockets import listens, open_sockets

LISTEN = (Path(__file__).parents[1] / "golden/ss_listen/load.txt").read_bytes()


@pytest.mark.skipif(shutil.which("ss") is None, reason="no ss here")
@pytest.mark.parametrize("role", ["director", "web"])
def test_sockets_of_clients_are_counted_and_no_others(client: LocalHost, role: str) -> None:
    """Every address of 127/8 is this machine's: a part of it that no other test has plays the front network."""
    part = f"127.{64 + os.getpid() % 64}.{os.getpid() // 64 % 256}"
    host, front = replace(client, role=role), f"{part}.0/24"
    assert not open_sockets(host, front)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not open_sockets(host, front), "who only listens does not count"
        ours = socket.create_connection(("127.0.0.1", port), source_address=(f"{part}.2", 0))
        other = socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0))
        taken = [server.accept()[0] for _ in range(2)]
        assert open_sockets(host, front).total() == 1, "the end that belongs to the client in the front network"
        assert open_sockets(client, front).total() >= 4, "a client has no sockets but its own"
        for end in taken:
            end.close()
        ours.close()
        other.close()
    assert not open_sockets(host, front), "TIME_WAIT does no work"


def test_listens() -> None:
    assert listens({"ss_listen.after.txt": LISTEN}, 80)
    assert listens({"ss_listen.after.txt": LISTEN}, 443)
    assert not listens({"ss_listen.after.txt": LISTEN}, 8080)
    assert not listens({"ss_listen.after.txt": LISTEN, "ss_listen.before.txt": LISTEN}, 44)


@pytest.mark.parametrize("files", [{}, {"ss_listen.after.err": b"no ss"}, {"ss_listen.after.txt": b"\xff what?\n"}])
def test_a_host_that_was_not_asked_is_judged_by_its_load_alone(files: dict[str, bytes]) -> None:
    assert listens(files, 80)
