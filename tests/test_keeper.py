"""A command that a notebook started: it ends in good order, asked once, whatever becomes of who asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bmtlib.panel import Child

# Notes each SIGINT, and takes its time to end, as a run does that has hosts to give back.
_COMMAND = """
import signal, sys, time
asked = []
signal.signal(signal.SIGINT, lambda *_: asked.append(1))
print("ready", flush=True)
while not asked:
    time.sleep(0.01)
time.sleep(0.5)
open(sys.argv[1], "w").write(str(len(asked)))
sys.exit(7)
"""


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)


@pytest.fixture
def noted(tmp_path: Path) -> Path:
    return tmp_path / "noted"


@pytest.fixture
def child(noted: Path) -> Child:
    found = Child([sys.executable, "-c", _COMMAND, str(noted)])
    wait_for(lambda: "ready" in found.said(), "the command is at work")
    return found


def test_stop_asks_once(child: Child, noted: Path) -> None:
    child.stop()
    child.stop()
    wait_for(lambda: child.code is not None, "it ends")
    assert (child.code, noted.read_text()) == (7, "1")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_of_many_signals_it_gets_one_interrupt(child: Child, noted: Path, number: signal.Signals) -> None:
    for _ in range(3):
        child._keeper.send_signal(number)
        time.sleep(0.1)
    wait_for(lambda: child.code is not None, "it ends")
    assert (child.code, noted.read_text()) == (7, "1")


def test_it_is_not_in_the_group_that_a_kernels_interrupt_reaches(child: Child) -> None:
    groups = {os.getpgid(child._keeper.pid), os.getpgid(0)}
    (below,) = Path(f"/proc/{child._keeper.pid}/task/{child._keeper.pid}/children").read_text().split()
    assert len(groups) == 1
    assert os.getpgid(int(below)) not in groups
    child.stop()
    wait_for(lambda: child.code is not None, "it ends")


def test_when_who_started_it_is_killed_it_ends_in_good_order(noted: Path) -> None:
    kernel = (
        "import sys, time\nfrom bmtlib.panel import Child\n"
        "child = Child([sys.executable, '-c', sys.argv[1], sys.argv[2]])\n"
        "while 'ready' not in child.said(): time.sleep(0.02)\n"
        "print('ready', flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", kernel, _COMMAND, str(noted)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.kill()
    wait_for(noted.exists, "it ends")
    wait_for(lambda: noted.read_text() == "1", "asked once")


def test_a_code_is_handed_on() -> None:
    child = Child([sys.executable, "-c", "import os; print('said', flush=True); os.kill(os.getpid(), 9)"])
    wait_for(lambda: child.code is not None, "it ends")
    assert (child.code, child.said()) == (137, "said\n")
    child.close()
