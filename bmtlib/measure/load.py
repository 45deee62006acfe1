"""The load of one case: which client asks whom, with how many connections, and the command that does it (ab(1))."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bmtlib.params.scenario import Load
from bmtlib.setup.nginx import file_name

# ab keeps 40 bytes per request it may make, so a time-limited run needs a bound that it cannot reach: no single ab
# process makes 60,000 requests/s. Pages that are never touched cost nothing.
_REQUESTS_PER_S_AT_MOST = 60_000
_INT_MAX = 2**31 - 1  # ab keeps -n in an int


@dataclass(frozen=True, kw_only=True)
class ClientLoad:
    """One client's part. `requests` is its share of a counted load, None for a time-limited one."""

    client: str
    url: str
    concurrency: int
    requests: int | None


def spread(total: int, parts: int) -> list[int]:
    """`total` in `parts` as equal as can be.

    >>> spread(200, 3)
    [67, 67, 66]
    """
    return [total // parts + (1 if i < total % parts else 0) for i in range(parts)]


def deadline_s(load: Load) -> float:
    """When a load that has not ended is given up: its time limit, or at least 200 requests/s for a counted one.

    >>> deadline_s(Load(concurrency=10, requests=100_000)), deadline_s(Load(concurrency=10, seconds=5))
    (560.0, 65)
    """
    work = load.seconds if load.seconds is not None else max(60.0, (load.requests or 0) / 200)
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
    if load.requests is not None:
        requests = spread(load.requests, len(clients))
    return [
        ClientLoad(
            client=client,
            url=f"http://{targets[i % len(targets)]}:{port}/{path}",
            concurrency=concurrency,
            requests=requests[i],
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
