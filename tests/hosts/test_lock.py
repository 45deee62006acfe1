"""One controller at a time on one host: real processes, real locks."""

from __future__ import annotations

import os
import time

import pytest
from host_doubles import LocalHost

from bmtlib.errors import MachineError
from bmtlib.hosts.lock import acquire, holder_of, owner_now


def test_the_second_is_refused_and_told_by_whom(host: LocalHost) -> None:
    assert holder_of(host) is None
    first = acquire(host, owner_now("run-1"))
    with pytest.raises(MachineError, match=r"web01 is locked by .*@.* since .*Z, for run run-1") as caught:
        acquire(host, owner_now("run-2"))
    assert "--break-lock" in caught.value.todo
    first.release()
    second = acquire(host, owner_now("run-2"))
    assert (holder := holder_of(host)) is not None
    assert holder.run == "run-2"
    second.release()
    assert holder_of(host) is None


def test_the_lock_ends_with_the_connection(host: LocalHost) -> None:
    held = acquire(host, owner_now("run-1"))
    os.close(held.holder._popen.stdin.fileno())  # what the end of the controller does
    deadline = time.monotonic() + 5
    while holder_of(host) is not None:
        assert time.monotonic() < deadline


def test_taken_over_by_force_or_by_its_owner(host: LocalHost) -> None:
    first = acquire(host, owner_now("run-1"))
    with pytest.raises(MachineError):
        acquire(host, owner_now("run-2"), take_over="another token")
    second = acquire(host, owner_now("run-2"), take_over="any")
    assert (found := holder_of(host)) is not None
    assert found.run == "run-2"
    third = acquire(host, second.owner, take_over=second.owner.token)
    assert (found := holder_of(host)) is not None
    assert found.token == third.owner.token != second.owner.token
    for lock in (first, second, third):
        lock.release()


def test_a_holder_that_was_killed_holds_nothing(host: LocalHost) -> None:
    lock = acquire(host, owner_now("run-1"))
    lock.holder.kill()
    assert holder_of(host) is None
    assert "run-1" in (host.root / "run/bmt/owner").read_text(), "what it wrote is there still, and means nothing"
    acquire(host, owner_now("run-2")).release()


def test_an_owner_that_cannot_be_read(host: LocalHost) -> None:
    lock = acquire(host, owner_now("run-1"))
    (host.root / "run/bmt/owner").write_text("{nonsense\n")
    with pytest.raises(MachineError, match="locked by unknown"):
        acquire(host, owner_now("run-2"))
    lock.release()
