"""One QEMU process inside a lab's sandbox: its console, its end, its threads."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from bmtlib.errors import MachineError
from bmtlib.hosts.netns import Sandbox, environment, nsenter


class Machine:
    """One QEMU process. `console` keeps the guest's last lines; `died()` says why it is gone, None while it runs."""

    def __init__(self, sandbox: Sandbox, words: list[str], initramfs: int) -> None:
        self.console: deque[str] = deque(maxlen=200)
        self.ready = threading.Event()
        self._process = subprocess.Popen(
            [*nsenter(sandbox.pid, rootless=sandbox.rootless), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[initramfs],
            start_new_session=True,
            env=environment(),
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for raw in self._process.stdout:
            line = raw.decode(errors="replace").rstrip()
            self.console.append(line)
            if line == "bmt: ready":
                self.ready.set()

    def last_lines(self, count: int = 8) -> str:
        """For a message: what was said about trouble (a panic is followed by a screen of registers), then the end."""
        lines = [*self.complaints(), *[line for line in self.console if line][-count:]]
        return "; ".join(dict.fromkeys(lines)) or "it printed nothing"

    def complaints(self) -> list[str]:
        """What the guest's kernel said about trouble."""
        return [line for line in self.console if re.search(r"Out of memory|oom-kill|panic|BUG|Oops", line)]

    def died(self) -> str | None:
        if self._process.poll() is None:
            return None
        return f"the virtual machine has ended; its last lines: {self.last_lines()}"

    def wait_until_ready(self, deadline_s: float) -> None:
        """MachineError when the guest is not up in time, or has ended."""
        deadline = time.monotonic() + deadline_s
        while not self.ready.wait(0.05):
            if (why := self.died()) is not None:
                raise MachineError(why, where="QEMU", todo="see ./bmt doctor; testbed.vm.memory_mib may be too small")
            if time.monotonic() > deadline:
                raise MachineError(
                    f"the virtual machine is not up after {deadline_s:.0f} s; its last lines: {self.last_lines()}",
                    where="QEMU",
                    todo="with accel kvm: try --set testbed.vm.accel=tcg; another kernel: --set testbed.vm.kernel=PATH",
                )

    def threads(self) -> dict[str, int]:
        """Number of each QEMU thread by name ("CPU 0/TCG", with debug-threads=on), as this machine knows it."""
        qemu = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        found = {}
        for task in Path(f"/proc/{qemu[0]}/task").iterdir() if qemu else []:
            with suppress(OSError):
                found[(task / "comm").read_text().strip()] = int(task.name)
        return found

    def close(self) -> None:
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
