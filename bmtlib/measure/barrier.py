"""One start instant for all clients, and the end of all of them, whatever happens on the way."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bmtlib.hosts.host import PARALLEL, Background, Host

_LEAD_S = 0.15  # time for one client to receive its script and fall asleep ...
_LEAD_PER_CLIENT_S = 0.012  # ... and for each one more: all scripts go through one controller


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How one client's script ended; `error` is text when it did not end by itself."""

    host: str
    rc: int | None
    error: str


def start_instant_ns(clients: int) -> int:
    """A moment late enough for all clients to be waiting, in nanoseconds of the epoch."""
    return time.time_ns() + int((_LEAD_S + _LEAD_PER_CLIENT_S * clients) * 1e9)


def run_together(hosts: Mapping[str, Host], scripts: Mapping[str, str], *, timeout_s: float) -> list[Ended]:
    """Run each host's script (which waits for the start instant itself) and wait for all, `timeout_s` in all.

    Those that do not end in time are killed and say so; on any other way out (Ctrl-C) all are killed.
    """
    running: dict[str, Background] = {}
    ended = []
    deadline = time.monotonic() + timeout_s

    def start(name: str) -> None:
        running[name] = hosts[name].start(["sh", "-c", scripts[name]], cpus=hosts[name].cpus)

    try:
        if hosts[next(iter(scripts))].namespace:  # and so are the others; a start there takes a millisecond
            for name in scripts:
                start(name)
        else:  # each waits for its host to answer, so all at once
            with ThreadPoolExecutor(max_workers=PARALLEL) as pool:
                list(pool.map(start, scripts))
        for name in scripts:
            try:
                rc, _, err = running[name].wait(max(0.1, deadline - time.monotonic()))
                ended.append(Ended(host=name, rc=rc, error="" if rc == 0 else err.decode(errors="replace")[-300:]))
            except TimeoutError:
                ended.append(Ended(host=name, rc=None, error=f"did not end within {timeout_s:.0f} s and was killed"))
            del running[name]
    finally:
        for process in running.values():
            process.kill()
    return ended
