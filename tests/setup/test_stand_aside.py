"""Servers of the host that stand aside for ours, and processes that come back as they were. All of it is real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bmtlib.setup.change import Command
from bmtlib.setup.system import Process, Running, System, UnitState, parse
from bmtlib.setup.units import stand_aside, stop_ours, stop_process

GOLDEN = Path(__file__).parents[1] / "golden" / "system"


@pytest.fixture(autouse=True)
def keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keep").mkdir()
    monkeypatch.setenv("KEEP", f"{tmp_path}/keep")


def run(it: Command | None, shell: str = "sh") -> subprocess.CompletedProcess[str]:
    assert it is not None
    return subprocess.run([shell, *it.argv[1:]], capture_output=True, text=True, check=False, timeout=20)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Process]:
    """A process that somebody has started by hand; its program's name has a blank."""
    program = tmp_path / "my server"
    program.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    program.chmod(0o755)
    words = [sys.executable, str(program), "a b", "-c"]
    child = subprocess.Popen(words, start_new_session=True)
    line = b64encode("".join(f"{word}\0" for word in words).encode()).decode()
    deadline = time.monotonic() + 5
    while not pids(line):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield Process(pid=child.pid, parent=1, name="nginx", unit="", program=sys.executable, line=line)
    for pid in pids(line):
        os.kill(pid, signal.SIGKILL)
    child.wait()


def pids(line: str) -> list[int]:
    """Processes with this command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if b64encode(path.read_bytes()).decode() == line:
                found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_a_process_stops_and_starts(server: Process, shell: str) -> None:
    change = stop_process("h", server, reason="why")
    assert pids(server.line) == [server.pid]
    assert run(change.undo, shell).returncode == 0
    assert pids(server.line) == [server.pid], "never stopped, so no second one"
    assert run(change.do, shell).returncode == 0
    assert pids(server.line) == []
    assert run(change.check, shell).stdout.strip() == change.expect
    assert run(change.undo, shell).returncode == 0
    deadline = time.monotonic() + 5
    while not pids(server.line):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    again = pids(server.line)
    assert len(again) == 1
    assert run(change.undo, shell).returncode == 0
    assert pids(server.line) == again


def test_another_process_of_the_same_number_is_not_stopped(server: Process) -> None:
    done = run(stop_process("h", replace(server, line=b64encode(b"nginx\0").decode()), reason="why").do)
    assert done.returncode == 1
    assert "plan again" in done.stderr
    assert pids(server.line) == [server.pid]


def facts(*listeners: tuple[str, int, int], processes: tuple[Process, ...] = (), **other: Any) -> System:
    bare = parse("h", (GOLDEN / "rocky9.txt").read_text())
    return replace(bare, listeners=listeners, processes={process.pid: process for process in processes}, **other)


def process(pid: int, name: str, *, unit: str = "", parent: int = 1) -> Process:
    line = b64encode(f"{name}\0".encode()).decode()
    return Process(pid=pid, parent=parent, name=name, unit=unit, program=f"/usr/sbin/{name}", line=line)


def aside(system: System, *names: str, everywhere: bool = True) -> tuple[list[str], list[str]]:
    changes, skipped = stand_aside("h", system, names=names, ports=(80,), everywhere=everywhere)
    return [change.what for change in changes], [item.why for item in skipped]


def test_servers_that_hold_the_port_stand_aside() -> None:
    httpd = process(7, "httpd", unit="httpd.service")
    by_hand = process(8, "lighttpd")
    worker = process(9, "httpd", unit="httpd.service", parent=7)
    listeners = (("*", 80, 7), ("*", 80, 9), ("0.0.0.0", 80, 8), ("0.0.0.0", 22, 5))
    system = facts(*listeners, processes=(httpd, by_hand, worker, process(5, "sshd", unit="sshd.service")))
    assert aside(system, "nginx") == (["unit httpd.service", "process lighttpd (8)"], [])


def test_another_program_on_the_port_is_named_and_not_stopped() -> None:
    system = facts(("0.0.0.0", 80, 5), processes=(process(5, "java", unit="app.service"),))
    whats, whys = aside(system, "nginx")
    assert not whats
    assert "java (5) listens on 0.0.0.0:80" in whys[0]


def test_one_address_is_in_the_way_only_of_a_service_on_all() -> None:
    system = facts(("10.0.0.1", 80, 7), processes=(process(7, "httpd"),))
    assert aside(system, everywhere=True)[0] == ["process httpd (7)"]
    assert aside(system, everywhere=False)[0] == []


def test_nginx_elsewhere_stands_aside_where_ours_takes_its_configuration() -> None:
    """Also where it listens on another port, or where nobody may see who listens."""
    nginx = process(7, "nginx", unit="nginx.service")
    running = {"nginx.service": UnitState(active="active", enabled="enabled")}
    system = facts(("*", 8080, 7), processes=(nginx,), units=running)
    assert aside(system, "nginx") == (["unit nginx.service"], [])
    assert aside(facts(units=running), "nginx") == (["unit nginx.service"], [])
    assert aside(system) == ([], [])


def test_ours_never_stands_aside_as_if_it_were_theirs() -> None:
    ours = process(7, "nginx", unit="bmt-nginx.service")
    by_hand = process(8, "haproxy")
    worker = process(9, "haproxy", parent=8)
    running = {"nginx": Running(pid=7, cpus="running on 0"), "haproxy": Running(pid=8, cpus="running on 1")}
    listeners = (("*", 80, 7), ("*", 80, 8), ("*", 80, 9))
    system = facts(*listeners, processes=(ours, by_hand, worker), running=running)
    assert aside(system, "nginx", "haproxy") == ([], [])
    assert [change.what for change in stop_ours("h", system, "nginx")] == ["unit bmt-nginx.service"]
    assert [change.what for change in stop_ours("h", system, "haproxy")] == ["process haproxy (8)"]
    assert stop_ours("h", facts(), "nginx") == []
