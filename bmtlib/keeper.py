"""Keeps a command that a notebook has started, and ends it in good order when nobody waits for it any more.

A kernel's process group gets SIGINT when a person interrupts the kernel, and SIGTERM again and again, then SIGKILL,
when the kernel is shut down. A run that has to roll back thirty hosts must not get all of that: it has a session of its
own. This small process stays in the kernel's group and hands on one SIGINT, for the first signal or when its standard
input ends. That is how the panel stops a run, and what happens when the kernel dies, however it died.

    python -m bmtlib.keeper bmt run quick
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence

_LOOK_S = 0.2  # how soon the end of the run is noticed


def keep(command: Sequence[str]) -> int:
    """Run a command; its exit code, as a shell tells it: 128 and more for a signal."""
    heard, hear = os.pipe()
    os.set_blocking(hear, False)
    signal.set_wakeup_fd(hear, warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    waiting = [heard, sys.stdin.fileno()]
    while (code := process.poll()) is None:
        # Both stay readable from the first signal, or the end of the input, on.
        if select.select(waiting, [], [], _LOOK_S)[0]:
            process.send_signal(signal.SIGINT)
            waiting = []
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1:]))
