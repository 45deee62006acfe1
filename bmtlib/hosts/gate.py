"""Programs on hosts of a lab that stand ready, and begin their work at one instant.

A process that has to be made, or even only executed, when the moment has come is late by milliseconds, and 200 of them
by a second. So a program is started beforehand with a standard output that is a full pipe. One that flushes a first
line just before its work (Apache Bench: "Benchmarking ...", support/ab.c of httpd; h2load: "starting benchmark...")
stands in this write, with all its libraries loaded. Another (`at` "start") is held by its shell, which reads from a
pipe before it executes the program. Emptying the one pipe, or closing the other, lets it go: one system call each.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

At = Literal["output", "start"]

_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ of fcntl(2); Python has the name since 3.10, on Linux only
_POLL_S = 0.01


class Held:
    """A command that is started, and held before its work until `release`.

    `argv` enters the host and runs a shell with `script`, whose last word replaces it by `program`.
    """

    def __init__(self, argv: Sequence[str], script: str, *, program: str, at: At, env: Mapping[str, str]) -> None:
        self.program, self.at = program[:15], at  # the kernel keeps 15 letters of a name
        self.out = b""
        self.cpu_s: tuple[float, float] | None = None  # user and system, of it and of all that it started
        self._filled = 0
        self._gate = -1
        reader, writer = os.pipe()
        stdin: int = subprocess.DEVNULL
        try:
            if at == "output":
                self._filled = fcntl.fcntl(reader, _SET_PIPE_SIZE, os.sysconf("SC_PAGE_SIZE"))
                os.write(writer, bytes(self._filled))
            else:
                stdin, self._gate = os.pipe()
                script = f"read -r go; {script}"
            self.popen = subprocess.Popen(
                [*argv, "sh", "-c", script],
                stdin=stdin,
                stdout=writer,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env=env,
            )
        except BaseException:
            os.close(reader)
            if self._gate >= 0:
                os.close(self._gate)
            raise
        finally:
            os.close(writer)
            if stdin >= 0:
                os.close(stdin)
        self.reader = reader

    def ready(self) -> bool:
        """Whether it stands at its gate, or has ended before it (then `release` changes nothing)."""
        if self.popen.poll() is not None:
            return True
        if self.at == "start":  # one that has not come to its `read` yet will find the pipe closed
            return True
        try:
            pid = Path(f"/proc/{self.popen.pid}/task/{self.popen.pid}/children").read_text().split()[0]
            name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
            return name == self.program and rest.split()[0] == "S"
        except (OSError, IndexError):
            return False

    def release(self) -> None:
        if self._filled:
            os.read(self.reader, self._filled)
        elif self._gate >= 0:
            os.close(self._gate)
            self._gate = -1

    def reap(self, timeout_s: float) -> int | None:
        """Its exit code once it has ended, None when it does not in time. Notes the CPU time that it cost."""
        deadline = time.monotonic() + timeout_s
        while self.popen.returncode is None:
            try:
                pid, status, usage = os.wait4(self.popen.pid, os.WNOHANG)
            except ChildProcessError:
                return self.popen.wait(timeout_s)
            if pid:
                self.popen.returncode = os.waitstatus_to_exitcode(status)
                self.cpu_s = usage.ru_utime, usage.ru_stime
            elif time.monotonic() > deadline:
                return None
            else:
                time.sleep(_POLL_S / 10)  # when it ended is noted next
        return self.popen.returncode

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self.popen.wait(timeout=5)
        self.close()

    def close(self) -> None:
        for fd in (self.reader, self._gate):
            if fd >= 0:
                os.close(fd)
        self.reader = self._gate = -1


def wait_until_ready(held: Sequence[Held], timeout_s: float) -> bool:
    """Wait until all stand at their gates; False when some do not come there in time."""
    deadline = time.monotonic() + timeout_s
    waiting = list(held)
    while waiting := [one for one in waiting if not one.ready()]:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def release_all(held: Sequence[Held]) -> list[int]:
    """Let all go; the instant of each, in nanoseconds of the epoch."""
    instants = []
    with _undisturbed():
        for one in held:
            instants.append(time.time_ns())
            one.release()
    return instants


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep those who are let go from taking our CPU before the last of them is.

    Without the right to (only root has it) they may; when each was let go is noted either way.
    """
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def await_ends(held: Mapping[str, Held], timeout_s: float) -> Iterator[tuple[str, int]]:
    """(name, exit code) of each as it ends, while the output of all is read; ends when the time is over."""
    deadline = time.monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        for name, one in held.items():
            selector.register(one.reader, selectors.EVENT_READ, (name, one))
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                name, one = key.data
                if chunk := os.read(one.reader, 65536):
                    one.out += chunk
                    continue
                selector.unregister(one.reader)
                # Its output is closed, so it has ended, or will never.
                if (rc := one.reap(max(0.1, deadline - time.monotonic()))) is not None:
                    yield name, rc
