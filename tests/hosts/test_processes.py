"""Commands started by the lab's hosts, without a lab: CPUs, environment, and the end of a whole session."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bmtlib.hosts.netns import _Process, environment, nsenter

CPUS = frozenset(os.sched_getaffinity(0))


def state(pid: int) -> str:
    """Letter of the process's state; "" when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


def test_a_command_runs_on_its_cpus_and_we_stay_on_ours() -> None:
    for cpu in sorted(CPUS)[:2]:
        rc, out, _ = _Process(["grep", "Cpus_allowed_list", "/proc/self/status"], b"", frozenset({cpu})).wait(5)
        assert (rc, out.split()) == (0, [b"Cpus_allowed_list:", str(cpu).encode()])
    assert os.sched_getaffinity(0) == CPUS


def test_we_stay_on_our_cpus_when_the_program_is_missing() -> None:
    with pytest.raises(FileNotFoundError):
        _Process(["no-such-program-here"], b"", frozenset({min(CPUS)}))
    assert os.sched_getaffinity(0) == CPUS


@pytest.mark.parametrize("how", ["timeout", "kill"])
def test_the_end_of_a_command_is_the_end_of_all_it_started(tmp_path: Path, how: str) -> None:
    note = tmp_path / "pid"
    process = _Process(["sh", "-c", f"sleep 60 & echo $! > {note}; wait"], b"", CPUS)
    deadline = time.monotonic() + 5
    while not (note.exists() and note.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    if how == "kill":
        process.kill()
    else:
        with pytest.raises(TimeoutError, match=r"no end after 0\.1 s"):
            process.wait(0.1)
    while state(int(note.read_text())) not in ("", "Z"):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_kill_of_a_command_that_has_ended() -> None:
    process = _Process(["true"], b"", CPUS)
    assert process.wait(5) == (0, b"", b"")
    process.kill()


def test_large_input_and_output() -> None:
    text = bytes(range(256)) * 8000
    assert _Process(["cat"], text, CPUS).wait(10) == (0, text, b"")


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/home/me/bin:/usr/bin")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    found = environment()
    assert found["LC_ALL"] == "C"
    assert found["PATH"].split(":")[:2] == ["/home/me/bin", "/usr/bin"]
    assert {"/usr/sbin", "/sbin", "/usr/local/sbin"} <= set(found["PATH"].split(":"))
    monkeypatch.delenv("PATH")
    assert {"/usr/bin", "/bin", "/usr/sbin"} <= set(environment()["PATH"].split(":"))


def test_words_that_enter_a_host() -> None:
    root, user = nsenter(7, rootless=False, uts=True), nsenter(7, rootless=True, uts=True)
    assert root[:2] == ["nsenter", "--target=7"]
    assert root[-1] == user[-1] == "--"
    assert {"--net", "--mount", "--pid", "--uts", "--wd"} <= set(root)
    assert set(user) - set(root) == {"--user", "--preserve-credentials"}
    assert "--uts" not in nsenter(7, rootless=False)
