"""The load of one case: which client asks whom, with how many connections, and the command of its load generator.

Sources: ab(1), wrk(1), h2load(1), `open_loop.py` beside this. What each can and cannot do: docs/load-engines.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bmtlib.params.load import Load, LoadEngine
from bmtlib.setup.nginx import file_name

# ab keeps 40 bytes per request it may make, so a time-limited run needs a bound that it cannot reach: no single ab
# process makes 60,000 requests/s. Pages that are never touched cost nothing.
_REQUESTS_PER_S_AT_MOST = 60_000
_INT_MAX = 2**31 - 1  # ab keeps -n in an int


@dataclass(frozen=True, kw_only=True)
class ClientLoad:
    """One client's part. `requests` is its share of a counted load, None for a time-limited one.

    It is the client number `index` (from 0) of `of`.
    """

    client: str
    url: str
    concurrency: int
    requests: int | None
    index: int = 0
    of: int = 1


def spread(total: int, parts: int) -> list[int]:
    """`total` in `parts` as equal as can be.

    >>> spread(200, 3)
    [67, 67, 66]
    """
    return [total // parts + (1 if i < total % parts else 0) for i in range(parts)]


def deadline_s(load: Load) -> float:
    """When a load that has not ended is given up: its time limit, or at least 200 requests/s for a counted one.

    A load at a rate ends by its schedule.

    >>> deadline_s(Load(concurrency=10, requests=100_000)), deadline_s(Load(concurrency=10, seconds=5))
    (560.0, 65)
    """
    work = load.seconds if load.seconds is not None else max(60.0, (load.requests or 0) / min(200, load.rate or 200))
    return work + load.timeout_s + 30


def client_loads(
    load: Load,
    *,
    clients: Sequence[str],
    kind: str,
    vip: str,
    webs: Mapping[str, str],
    port: int,
    shares: Sequence[int] | None = None,
) -> list[ClientLoad]:
    """The parts of all clients. Arm `direct`: client i asks web host i modulo their number; else all ask the VIP.

    Of clients that the load does not need there is none. `shares`: connections of each client, where they are not all
    alike.
    """
    clients = clients[: load.clients(len(clients))]
    targets = list(webs.values()) if kind == "direct" else [vip]
    path = file_name(int(load.file_size))
    requests: Sequence[int | None] = [None] * len(clients)
    if load.planned is not None:
        requests = spread(load.planned, len(clients))
    return [
        ClientLoad(
            client=client,
            url=f"http://{targets[i % len(targets)]}:{port}/{path}",
            concurrency=concurrency,
            requests=requests[i],
            index=i,
            of=len(clients),
        )
        for i, (client, concurrency) in enumerate(
            zip(clients, shares or spread(load.concurrency, len(clients)), strict=True)
        )
    ]


def request_cap(seconds: float) -> int:
    """The -n that goes with a time limit: more than one ab process can reach."""
    return min(_INT_MAX, math.ceil(seconds * _REQUESTS_PER_S_AT_MOST))


def ab_command(part: ClientLoad, load: Load, *, seconds: float | None = None, rows: str | None = "ab.tsv") -> list[str]:
    """The ab command line. `seconds` overrides the load's limit (warm-up); `rows` names the file for -g, None for none.

    -n stands after -t, because -t sets it to 50,000.
    """
    command = ["ab", "-c", str(part.concurrency), "-s", str(load.timeout_s)]
    limit = seconds if seconds is not None else load.seconds
    if limit is not None:
        command += ["-t", f"{max(1, round(limit))}", "-n", str(request_cap(max(1, limit)))]
    else:
        command += ["-n", str(part.requests)]
    if load.ignore_socket_errors:
        command.append("-r")
    if load.keepalive:
        command.append("-k")
    if rows is not None:
        command += ["-g", rows]
    return [*command, part.url]


def load_command(part: ClientLoad, load: Load) -> list[str]:
    """The command line of a client's part, run in a folder of its own, where `file_of` names what it leaves."""
    rows = file_of(load.engine)
    match load.engine:
        case "ab":
            return ab_command(part, load, rows=rows)
        case "wrk":
            command = _wrk_command(part, load, load.seconds or 1)
            script = f'printf %s "$1" > {_WRK_SCRIPT}; shift; "$@"; rc=$?; rm -f {_WRK_SCRIPT}; exit $rc'
            return ["sh", "-c", script, "sh", _text("wrk.lua"), *command[:-1], "-s", _WRK_SCRIPT, command[-1]]
        case "h2load":
            ends = ["-D", str(load.seconds)] if load.seconds is not None else ["-n", str(part.requests)]
            return _h2load_command(part, load, [*ends, f"--log-file={rows}"])
        case "open_loop":
            return _open_loop_command(part, load, part.requests or 0, rows)


def warmup_command(part: ClientLoad, load: Load) -> list[str]:
    """The same load for the warm-up's time, leaving nothing behind."""
    seconds = load.warmup_seconds
    match load.engine:
        case "ab":
            return ab_command(part, load, seconds=seconds, rows=None)
        case "wrk":
            return _wrk_command(part, load, seconds)
        case "h2load":  # which does not end by a time where each request has a connection of its own
            return ["timeout", str(seconds), *_h2load_command(part, load, ["-n", str(request_cap(seconds))])]
        case "open_loop":
            return _open_loop_command(part, load, (load.rate or 0) * seconds // part.of, "-")


def program_of(engine: LoadEngine) -> str:
    """The program that a load generator needs on every client."""
    return "python3" if engine == "open_loop" else engine


def file_of(engine: str) -> str:
    """The file with what each request, or each wait, took."""
    return f"{engine}.tsv"


_WRK_SCRIPT = "wrk.lua"
_CLOSE = ["-H", "Connection: close"]  # one request per connection, which the server ends


@cache
def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text()


def _wrk_command(part: ClientLoad, load: Load, seconds: int) -> list[str]:
    close = [] if load.keepalive else _CLOSE
    limits = ["-c", str(part.concurrency), "-d", f"{seconds}s", "--timeout", f"{load.timeout_s}s"]
    return ["wrk", "-t", "1", *limits, *close, part.url]


def _h2load_command(part: ClientLoad, load: Load, more: Sequence[str]) -> list[str]:
    close = [] if load.keepalive else _CLOSE
    limits = ["-c", str(part.concurrency), "-m", "1", "-N", str(load.timeout_s)]
    return ["h2load", "--h1", "-t", "1", *limits, *close, *more, part.url]


def _open_loop_command(part: ClientLoad, load: Load, requests: int, rows: str) -> list[str]:
    words = [load.rate, part.index, part.of, requests, int(load.file_size), part.concurrency, load.timeout_s, rows]
    return ["python3", "-c", _text("open_loop.py"), part.url, *map(str, words)]
