"""irqbalance without systemd: found, stopped, started again as it was; on a program of that name."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bmtlib.setup.change import Command
from bmtlib.setup.hardware_facts import HardwareFacts, parse_facts, probe
from bmtlib.setup.irq import irqbalance_changes
from bmtlib.setup.ledger import Ledger


def running() -> dict[int, str]:
    """Command line by process id."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if "(irqbalance) " in (text := stat.read_text()) and text.split()[2] != "Z":
                found[int(stat.parts[2])] = (stat.parent / "cmdline").read_text()
    return found


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[int]:
    if running():
        pytest.skip("the real irqbalance runs here")
    sleep = shutil.which("sleep")
    assert sleep is not None
    program = tmp_path / "irqbalance"
    shutil.copy(sleep, program)
    process = subprocess.Popen([str(program), "71", "5.5"])
    yield process.pid
    process.kill()
    process.wait()
    for pid in running():
        os.kill(pid, signal.SIGKILL)


def facts() -> HardwareFacts:
    look = probe(["no-such-interface"])
    done = subprocess.run(look.argv, input=look.stdin, capture_output=True, text=True, check=True, timeout=20)
    return parse_facts("here", done.stdout)


@pytest.fixture(autouse=True)
def keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keep").mkdir()
    monkeypatch.setenv("KEEP", f"{tmp_path}/keep")


def run(command: Command | None) -> str:
    assert command is not None
    return subprocess.run(command.argv, capture_output=True, text=True, check=True, timeout=20).stdout.strip()


def test_undo_of_what_was_never_done_starts_no_second_one(stand_in: int) -> None:
    ledger = Ledger(host="here", strict=True, reasons={})
    irqbalance_changes(ledger, facts())
    run(ledger.changes[0].undo)
    assert set(running()) == {stand_in}


def test_stopped_and_started_again(stand_in: int) -> None:
    line = running()[stand_in]
    ledger = Ledger(host="here", strict=True, reasons={})
    irqbalance_changes(ledger, facts())
    (change,) = ledger.changes
    assert change.before == f"running as {stand_in}"
    assert run(change.check) == "1 run"
    run(change.do)
    assert run(change.check) == change.expect == "0 run"
    run(change.undo)
    deadline = time.monotonic() + 5
    while list(running().values()) != [line]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    again = list(running())
    run(change.undo)
    assert list(running()) == again


def test_where_none_runs() -> None:
    if running():
        pytest.skip("the real irqbalance runs here")
    ledger = Ledger(host="here", strict=True, reasons={})
    irqbalance_changes(ledger, facts())
    assert not ledger.changes
