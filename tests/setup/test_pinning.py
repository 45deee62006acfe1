"""Where threads may run, read from the real /proc."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bmtlib.cpus import to_list
from bmtlib.setup.pinning import pinned_check

CPUS = sorted(os.sched_getaffinity(0))
needs_two = pytest.mark.skipif(len(CPUS) < 2, reason="needs two CPUs")

# Two threads, each on a CPU of its own, as HAProxy's are; the second gets there late.
THREADS = f"""
import os, threading, time
def second():
    time.sleep(0.3)
    os.sched_setaffinity(0, {{{CPUS[-1]}}})
    time.sleep(30)
threading.Thread(target=second, daemon=True).start()
os.sched_setaffinity(0, {{{CPUS[0]}}})
time.sleep(30)
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A pid file, and what is in the program's stead: `sys.argv[1]` of a Python that sleeps."""
    process = subprocess.Popen([sys.executable, "-c", THREADS])
    (tmp_path / "pid").write_text(f"{process.pid}\n")
    yield f"{tmp_path}/pid", str(process.pid)
    process.kill()
    process.wait()


def says(pid_file: str, lists: list[str], *, patient: bool = True) -> str:
    check, _ = pinned_check(pid_file, lists)
    argv = [word if patient else word.replace("250", "10") for word in check.argv]
    return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True).stdout.strip()


@needs_two
def test_threads_that_pin_themselves_are_waited_for(program: tuple[str, str]) -> None:
    began = time.monotonic()
    wanted = [str(CPUS[0]), str(CPUS[-1])]
    assert says(program[0], wanted) == f"running on {' '.join(sorted(wanted))}"
    assert time.monotonic() - began < 4


@needs_two
def test_a_thread_elsewhere_is_told(program: tuple[str, str]) -> None:
    time.sleep(0.5)
    both = sorted([str(CPUS[0]), str(CPUS[-1])])
    assert says(program[0], [str(CPUS[0])], patient=False) == f"running on {' '.join(both)}"
    subprocess.run(["taskset", "-a", "-p", "-c", to_list(CPUS), program[1]], check=True, capture_output=True)
    assert says(program[0], both, patient=False) == f"running on {to_list(CPUS)}"


def test_children_count(tmp_path: Path) -> None:
    """nginx's workers are children of the process in the pid file."""
    line = f"taskset -c {CPUS[0]} sleep 30 & echo $$ > {tmp_path}/pid; wait"
    parent = subprocess.Popen(["taskset", "-c", to_list(CPUS), "sh", "-c", line])
    try:
        expected = {to_list(CPUS), str(CPUS[0])}
        assert says(f"{tmp_path}/pid", sorted(expected)) == f"running on {' '.join(sorted(expected))}"
    finally:
        subprocess.run(["pkill", "-P", str(parent.pid)], check=False)
        parent.wait()


def test_nothing_runs(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text("999999999\n")
    assert says(f"{tmp_path}/pid", ["0"], patient=False) == "not running"
