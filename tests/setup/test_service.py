"""Programs in the background: started, seen, stopped; by the real scripts, on a small program that detaches."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bmtlib.cpus import to_list
from bmtlib.setup.change import Change, Command
from bmtlib.setup.pinning import pinned_check
from bmtlib.setup.service import service

Start = Callable[..., Change]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Start]:
    """A change whose program runs `line` in the background, with its process id in the file `pid`."""
    program = tmp_path / "program"

    def make(line: str = "exec sleep 60", *, ends_with: int = 0, says: str = "") -> Change:
        program.write_text(
            f"#!/bin/sh\necho '{says}' >&2\n[ {ends_with} = 0 ] || exit {ends_with}\n"
            f"sh -c '{line}' & echo $! > {tmp_path}/pid\n"
        )
        program.chmod(0o755)
        return service("web01", ["program"], cpus={0}, pid_file=f"{tmp_path}/pid", work=str(tmp_path), reason="why")

    yield make
    for word in (tmp_path / "pid").read_text().split() if (tmp_path / "pid").exists() else []:
        if alive(int(word)):
            os.kill(int(word), signal.SIGKILL)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def run(it: Command | None, folder: Path, *, patient: bool = True) -> subprocess.CompletedProcess[str]:
    """`patient` = False: what waits 250 times waits 10 times."""
    assert it is not None
    argv = [word if patient else word.replace("250", "10").replace("500", "20") for word in it.argv]
    keep = folder / "keep"
    keep.mkdir(exist_ok=True)
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "KEEP": str(keep)}
    return subprocess.run(argv, input=it.stdin, capture_output=True, text=True, check=False, timeout=10, env=env)


def test_started_seen_and_stopped(daemon: Start, tmp_path: Path) -> None:
    change = daemon()
    assert (change.what, change.want, change.expect) == ("process program", "running on CPU 0", "running on 0")
    began = time.monotonic()
    assert run(change.do, tmp_path).returncode == 0
    assert time.monotonic() - began < 5, "it does not wait for what the program leaves behind"
    assert run(change.check, tmp_path).stdout == "running on 0\n"
    pid = int((tmp_path / "pid").read_text())
    assert alive(pid)
    assert run(change.undo, tmp_path).returncode == 0
    assert not alive(pid)
    assert not (tmp_path / "pid").exists()


def started(tmp_path: Path) -> None:
    """What `do` leaves in the folder of the run."""
    (tmp_path / "keep").mkdir(exist_ok=True)
    (tmp_path / "keep" / f"started-{tmp_path}/pid".replace("/", "%")).touch()


def test_stop_of_what_does_not_run(daemon: Start, tmp_path: Path) -> None:
    change = daemon()
    assert run(change.undo, tmp_path).returncode == 0
    gone = subprocess.Popen(["true"])
    gone.wait()
    started(tmp_path)
    (tmp_path / "pid").write_text(f"{gone.pid}\n")
    assert run(change.undo, tmp_path).returncode == 0
    assert not (tmp_path / "pid").exists()


def test_what_another_run_has_started_is_left_alone(daemon: Start, tmp_path: Path) -> None:
    change = daemon()
    other = subprocess.Popen(["sleep", "60"])
    (tmp_path / "pid").write_text(f"{other.pid}\n")
    try:
        assert run(change.undo, tmp_path).returncode == 0
        assert other.poll() is None
        assert (tmp_path / "pid").exists()
    finally:
        other.kill()
        other.wait()


def test_undo_twice(daemon: Start, tmp_path: Path) -> None:
    change = daemon()
    run(change.do, tmp_path)
    assert [run(change.undo, tmp_path).returncode for _ in range(2)] == [0, 0]
    assert list((tmp_path / "keep").iterdir()) == []


def test_what_does_not_run_is_said(daemon: Start, tmp_path: Path) -> None:
    change = daemon()
    assert run(change.check, tmp_path, patient=False).stdout == "not running\n"
    (tmp_path / "pid").write_text("")
    assert run(change.check, tmp_path, patient=False).stdout == "not running\n"


def test_a_pid_file_that_comes_late(tmp_path: Path) -> None:
    ours = to_list(os.sched_getaffinity(0))
    late = subprocess.Popen(["sh", "-c", f"sleep 0.2; echo {os.getpid()} > {tmp_path}/late"])
    check, expect = pinned_check(f"{tmp_path}/late", [ours])
    assert run(check, tmp_path).stdout == f"{expect}\n" == f"running on {ours}\n"
    late.wait()


def test_what_the_program_says_when_it_cannot_start(daemon: Start, tmp_path: Path) -> None:
    done = run(daemon(ends_with=7, says="cannot bind").do, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "cannot bind\n")
    assert (tmp_path / "program.out").read_text() == "cannot bind\n"


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    done = run(service("w", ["no-such"], cpus={0}, pid_file="/none", work=str(tmp_path)).do, tmp_path)
    assert done.returncode == 127
    assert "no-such" in done.stderr


def test_a_process_that_ignores_the_signal_is_killed(daemon: Start, tmp_path: Path) -> None:
    change = daemon('trap "" TERM; while :; do sleep 0.1; done')
    run(change.do, tmp_path)
    time.sleep(0.1)
    pid = int((tmp_path / "pid").read_text())
    assert run(change.undo, tmp_path, patient=False).returncode == 0
    assert not alive(pid)


def test_a_dead_process_that_nobody_has_buried_is_gone(daemon: Start, tmp_path: Path) -> None:
    change = daemon()
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    started(tmp_path)
    (tmp_path / "pid").write_text(f"{child.pid}\n")
    try:
        assert run(change.check, tmp_path, patient=False).stdout == "not running\n"
        assert run(change.undo, tmp_path).returncode == 0
    finally:
        child.wait()
    assert not (tmp_path / "pid").exists()


def test_a_process_that_does_not_end_does_not_hold_us_for_ever(daemon: Start, tmp_path: Path) -> None:
    """No process is above SIGKILL, so a stand-in of grep says that this one still lives."""
    change = daemon()
    (tmp_path / "grep").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "grep").chmod(0o755)
    gone = subprocess.Popen(["true"])
    gone.wait()
    started(tmp_path)
    (tmp_path / "pid").write_text(f"{gone.pid}\n")
    done = run(change.undo, tmp_path, patient=False)
    assert done.returncode == 1
    assert f"process {gone.pid} does not end" in done.stderr
    assert (tmp_path / "pid").exists()


def test_only_the_process_of_the_pid_file_is_stopped(daemon: Start, tmp_path: Path) -> None:
    change = daemon()
    run(change.do, tmp_path)
    other = subprocess.Popen(["sleep", "60"])
    try:
        run(change.undo, tmp_path)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
