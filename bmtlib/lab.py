"""A lab that is kept: a background process holds it, a state file tells the other verbs how to enter and end it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from bmtlib.errors import BmtError, InputError, MachineError
from bmtlib.hosts.netns import NetnsHost, environment, nsenter
from bmtlib.measure.ready import check
from bmtlib.measure.session import Session
from bmtlib.plan import plan_from_json
from bmtlib.run import Loaded
from bmtlib.testbeds.vm import VmLab
from bmtlib.testbeds.way_in import WayIn

_DOWN_DEADLINE_S = 10


@dataclass(frozen=True, kw_only=True)
class State:
    """The kept lab. `pid` holds it; `started_ticks` tells that process from a later one with the same number.

    `hosts` is name -> process id to enter by; `way_in` that to a director that is a virtual machine.
    """

    pid: int
    started_ticks: int
    rootless: bool
    hosts: dict[str, int]
    way_in: dict[str, Any] | None
    arm: str
    url: str

    @property
    def names(self) -> list[str]:
        return [*(["director"] if self.way_in else []), *self.hosts]


def _file() -> Path:
    base = os.environ.get("XDG_RUNTIME_DIR") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "bmtlib" / "lab.json"


def _ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot (field 22 of /proc/PID/stat, proc(5)); None when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return None


def read_state() -> State | None:
    """The lab that is up, None when there is none (a file left by a killed one does not count)."""
    try:
        state = State(**json.loads(_file().read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return state if _ticks(state.pid) == state.started_ticks else None


def _need_state() -> State:
    state = read_state()
    if state is None:
        raise InputError("no lab is up", where=str(_file()), todo="bmt lab up")
    return state


def host_names() -> list[str]:
    state = read_state()
    return state.names if state else []


def up(loaded: Loaded, arm: str) -> State:
    """Start the process that holds the lab; returns when the service can be asked."""
    if (state := read_state()) is not None:
        raise InputError(f"a lab of {len(state.names)} hosts is already up", where=str(_file()), todo="bmt lab down")
    if arm not in loaded.plan.scenario.arms:
        raise InputError(f"the scenario has no arm {arm!r}", todo=f"--arm {' | '.join(loaded.plan.scenario.arms)}")
    check(loaded.plan)
    holder = subprocess.Popen(
        [sys.executable, "-P", "-m", "bmtlib.lab", arm],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stderr is not None
    holder.stdin.write(loaded.plan.to_json())
    holder.stdin.close()
    if holder.stdout.readline() != "up\n":
        raise MachineError(f"the lab did not come up: {holder.stderr.read().strip()[-800:]}", todo="bmt doctor")
    return _need_state()


def shell(host: str, words: list[str]) -> None:
    """Become a shell, or `words`, on a host of the lab. Does not return."""
    state = _need_state()
    if host not in state.names:
        raise InputError(f"the lab has no host {host!r}", todo=f"one of {', '.join(state.names)}")
    if host not in state.hosts:
        assert state.way_in is not None
        _ssh(WayIn(**state.way_in), words)
    enter = nsenter(state.hosts[host], rootless=state.rootless, uts=True)
    command = words or ["sh", "-c", f"PS1='{host}# ' exec sh -i"]
    os.execvpe(enter[0], [*enter, *command], environment())


def _ssh(way_in: WayIn, words: list[str]) -> NoReturn:
    """A shell, or `words`, on the virtual director; ends with its exit code."""
    with way_in.open() as connection:
        done = connection.run(shlex.join(words), warn=True, in_stream=False) if words else connection.shell(warn=True)
        sys.exit(done.return_code)


def down() -> int:
    """End the lab; returns when it is gone. The number of hosts it had."""
    state = _need_state()
    os.kill(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + _DOWN_DEADLINE_S
    while _ticks(state.pid) == state.started_ticks:
        if time.monotonic() > deadline:
            raise BmtError(
                f"the lab's process {state.pid} does not end", todo=f"kill -9 {state.pid}: the kernel does the rest"
            )
        time.sleep(0.02)
    return len(state.names)


def hold(arm: str) -> None:
    """The background process: build the lab of the plan on standard input, put `arm` in place, wait for SIGTERM."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    plan = plan_from_json(sys.stdin.read())
    ready = check(plan)
    path = _file()
    with Session(plan, ready, run_id="lab") as session:
        for name, changes in session.arm_changes(plan.scenario.arms[arm], session.engines()[arm]).items():
            session.lab.hosts[name].apply(changes)
        size = int(plan.cases[0].load.file_size)
        address = session.lab.role("web")[0].addresses["back"] if arm == "direct" else str(plan.testbed.network.vip)
        state = State(
            pid=os.getpid(),
            started_ticks=_ticks(os.getpid()) or 0,
            rootless=ready.rootless,
            hosts={name: host.pid for name, host in session.lab.hosts.items() if isinstance(host, NetnsHost)},
            way_in=asdict(session.lab.way_in) if isinstance(session.lab, VmLab) else None,
            arm=arm,
            url=f"http://{address}:{plan.testbed.network.port}/dummy_file_{size}",
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)  # it may hold a key
        path.write_text(json.dumps(asdict(state)))
        try:
            print("up", flush=True)
            # Nobody listens any more once the lab is up.
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            signal.pause()
        finally:
            with suppress(OSError):
                path.unlink()


if __name__ == "__main__":
    try:
        hold(sys.argv[1])
    except BmtError as error:
        sys.exit(str(error))
