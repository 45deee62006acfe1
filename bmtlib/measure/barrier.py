"""One start instant for all clients, and the end of all of them, whatever happens on the way."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from bmtlib.errors import CaseError
from bmtlib.hosts.gate import At, Held, await_ends, release_all, wait_until_ready
from bmtlib.hosts.host import PARALLEL, Background, Host
from bmtlib.hosts.netns import NetnsHost
from bmtlib.measure.scripts import held_script, load_script

_LEAD_S = 0.15  # time for one client to receive its script and fall asleep ...
_LEAD_PER_CLIENT_S = 0.012  # ... and for each one more: all scripts go through one controller
_READY_S = 30.0  # for all load generators of a lab to be loaded

# Where a load generator can be held: at a line that it writes out just before its first connection, or before its
# program is executed.
_GATES: dict[str, At] = {"ab": "output", "h2load": "output", "python3": "output"}  # the latter: open_loop.py


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How one client's script ended; `error` is text when it did not end by itself.

    `files`: what the controller noted for a client that it held at a gate; others noted it themselves.
    """

    host: str
    rc: int | None
    error: str
    files: dict[str, bytes] = field(default_factory=dict)


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


def run_loads(
    hosts: Mapping[str, Host], commands: Mapping[str, Sequence[str]], *, name: str, folder: str, timeout_s: float
) -> list[Ended]:
    """Run each client's load generator `name`, all from one instant, and wait for all, `timeout_s` in all.

    In a lab all are held ready and let go by the controller. Elsewhere each waits for the same instant by the clock of
    its host (`clock_offset_s`).
    """
    labs = {client: host for client in commands if isinstance(host := hosts[client], NetnsHost)}
    if len(labs) == len(commands):
        return _held(labs, commands, name, folder, timeout_s)
    start_ns = start_instant_ns(len(commands))
    scripts = {
        host: load_script(folder, command, hosts[host].on_its_clock(start_ns), name)
        for host, command in commands.items()
    }
    return run_together(hosts, scripts, timeout_s=timeout_s)


def warm_up(
    hosts: Mapping[str, Host], commands: Mapping[str, Sequence[str]], *, name: str, folder: str, timeout_s: float
) -> None:
    """Run each client's load generator as `run_loads` does, and keep nothing of it.

    In a lab they are held until all are there, as for the load: those that are at work leave the others no CPU to
    start on, so that a second of warm-up took five more with 200 clients.
    """
    labs = {client: host for client in commands if isinstance(host := hosts[client], NetnsHost)}
    if len(labs) == len(commands):
        _held(labs, commands, name, folder, timeout_s)
        for host in labs.values():
            with suppress(OSError):
                shutil.rmtree(host.path(folder))
        return
    scripts = {client: f"exec {shlex.join(command)} >/dev/null 2>&1" for client, command in commands.items()}
    run_together(hosts, scripts, timeout_s=timeout_s)


def _held(
    hosts: Mapping[str, NetnsHost], commands: Mapping[str, Sequence[str]], name: str, folder: str, timeout_s: float
) -> list[Ended]:
    held: dict[str, Held] = {}
    ended: dict[str, tuple[int, int]] = {}
    try:
        for client, command in commands.items():
            hosts[client].path(folder).mkdir(parents=True, exist_ok=True)  # or its script needs a process for it
            at = _GATES.get(command[0], "start")
            held[client] = hosts[client].hold(held_script(folder, command, name), program=command[0], at=at)
        if not wait_until_ready(list(held.values()), _READY_S):
            raise CaseError(f"not all of {len(held)} load generators were ready within {_READY_S:.0f} s")
        starts = dict(zip(held, release_all(list(held.values())), strict=True))
        for client, rc in await_ends(held, timeout_s):
            ended[client] = rc, time.time_ns()
    finally:
        for client, one in held.items():
            one.close() if client in ended else one.kill()
    return [
        _noted(hosts[client], f"{folder}/{name}", one, starts[client], ended.get(client), timeout_s)
        for client, one in held.items()
    ]


def _noted(
    host: NetnsHost, stem: str, held: Held, start_ns: int, end: tuple[int, int] | None, timeout_s: float
) -> Ended:
    name = stem.rpartition("/")[2]
    files = {f"{name}.txt": held.out, f"{name}.start": b"%d\n" % start_ns}
    if end is None:
        error = f"did not end within {timeout_s:.0f} s and was killed"
        return Ended(host=host.name, rc=None, error=error, files=files)
    files |= {f"{name}.rc": b"%d\n" % end[0], f"{name}.end": b"%d\n" % end[1]}
    if held.cpu_s is not None:
        # As the shell of `load_script` prints it.
        user, system = (f"{int(seconds // 60)}m{seconds % 60:.6f}s" for seconds in held.cpu_s)
        files["load.times"] = f"0m0.000000s 0m0.000000s\n{user} {system}\n".encode()
    with suppress(OSError):
        # The last that it wrote there is that it has finished, before it sorts and writes out its figures.
        said = host.path(f"{stem}.err").stat()
        if said.st_size:
            files[f"{name}.finished"] = b"%d\n" % said.st_mtime_ns
    return Ended(host=host.name, rc=0, error="", files=files)
