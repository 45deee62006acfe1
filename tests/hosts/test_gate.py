"""Programs that stand ready, and are let go at one instant."""

from __future__ import annotations

import os
import time

from bmtlib.hosts.gate import Held, await_ends, release_all, wait_until_ready


def hold(script: str, at: str, program: str = "sh") -> Held:
    return Held([], script, program=program, at=at, env=dict(os.environ))  # type: ignore[arg-type]


def test_a_program_waits_in_its_first_line_until_it_is_let_go() -> None:
    one = hold("exec env printf 'first line\\n'", "output", program="env")
    try:
        time.sleep(0.3)
        assert one.popen.poll() is None
        assert release_all([one])[0] <= time.time_ns()
        assert dict(await_ends({"a": one}, 5)) == {"a": 0}
        assert one.out == b"first line\n", "and nothing of what its output was filled with"
    finally:
        one.kill()


def test_a_program_that_is_not_executed_before_it_is_let_go() -> None:
    several = {name: hold("exec date +%s%N", "start", program="date") for name in "abcdef"}
    try:
        assert wait_until_ready(list(several.values()), 5)
        time.sleep(0.2)
        assert all(one.popen.poll() is None for one in several.values())
        instants = release_all(list(several.values()))
        assert instants == sorted(instants)
        assert dict(await_ends(several, 5)) == dict.fromkeys(several, 0)
        assert all(int(one.out) >= instant for one, instant in zip(several.values(), instants, strict=True))
    finally:
        for one in several.values():
            one.kill()


def test_how_each_ended_and_who_did_not() -> None:
    several = {"slow": hold("echo $$; exec sleep 60", "start"), "wrong": hold("exit 7", "start")}
    try:
        release_all(list(several.values()))
        assert dict(await_ends(several, 0.5)) == {"wrong": 7}
        pid = int(several["slow"].out)
        assert os.path.exists(f"/proc/{pid}")
    finally:
        for one in several.values():
            one.kill()
    assert not os.path.exists(f"/proc/{pid}")


def test_output_beyond_what_a_pipe_holds_is_read_all_along() -> None:
    one = hold("exec seq 1 100000", "output", program="seq")
    try:
        release_all([one])
        assert dict(await_ends({"a": one}, 10)) == {"a": 0}
        assert one.out.split()[-1] == b"100000"
        assert len(one.out.split()) == 100_000
    finally:
        one.kill()


def test_one_that_ends_before_it_could_be_let_go_is_no_reason_to_wait() -> None:
    one = hold("exit 9", "output", program="ab")
    try:
        assert wait_until_ready([one], 5)
        release_all([one])
        assert dict(await_ends({"a": one}, 5)) == {"a": 9}
    finally:
        one.kill()


def test_one_that_never_stands_at_its_gate() -> None:
    one = hold("exec sleep 30", "output", program="no-such-name")
    try:
        assert not wait_until_ready([one], 0.2)
    finally:
        one.kill()
