"""How many connections at one time each client can hold, and how a concurrency is spread over unequal clients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bmtlib.errors import InputError
from bmtlib.measure.load import spread

SPARE_FILES = 20  # descriptors ab itself needs


@dataclass(frozen=True, kw_only=True)
class ClientMeans:
    """What one client host has.

    `ab_concurrency`: ab's largest -c; `nofile`: hard limit of open files; `ports`: local ports towards one address and
    port. `cpus` bounds no number of connections: ab has one thread, whatever the host has.
    """

    host: str
    ab_concurrency: int
    nofile: int
    ports: int
    cpus: int


_AB = "ab's largest -c"
_NOFILE = "the hard limit of open files (ulimit -Hn), less what ab needs itself"
_PORTS = "the local ports of one client"
_TODO = {
    _AB: "an ab with a larger limit (that of Debian 12 allows 200000)",
    _NOFILE: "a line '* hard nofile 1048576' in /etc/security/limits.d/bmt.conf, and log in again",
    _PORTS: "a wider net.ipv4.ip_local_port_range, as in the profile recommended-client",
}


def capacity(means: ClientMeans) -> tuple[int, str]:
    """Connections at one time that a client can hold, and the name of what limits it.

    Each connection takes a descriptor and a local port. A port is free again at once, as the server closes first.

    >>> capacity(ClientMeans(host="client01", ab_concurrency=20_000, nofile=1024, ports=28_232, cpus=2))
    (1004, 'the hard limit of open files (ulimit -Hn), less what ab needs itself')
    """
    limits = {_AB: means.ab_concurrency, _NOFILE: means.nofile - SPARE_FILES, _PORTS: means.ports}
    name = min(limits, key=lambda name: limits[name])
    return max(0, limits[name]), name


def share(total: int, clients: Sequence[ClientMeans]) -> list[int]:
    """The part of each client in `total` connections: as equal as can be, and none above its capacity.

    Where all can hold their part it is `spread`. InputError: they cannot hold `total` together.

    >>> small, large = (ClientMeans(host=h, ab_concurrency=c, nofile=10**6, ports=50_000, cpus=1)
    ...                 for h, c in (("client01", 20), ("client02", 200)))
    >>> share(100, [small, large, large])
    [20, 40, 40]
    """
    most = [capacity(means)[0] for means in clients]
    if not clients:
        raise InputError("the testbed has no client", todo="name at least one")
    if total > sum(most):
        raise _too_few(total, clients)
    parts = dict(enumerate(spread(total, len(clients))))
    full: dict[int, int] = {}
    # What the small ones cannot hold goes to the others, which may bring the next of them to its limit.
    while over := [i for i, part in parts.items() if part > most[i]]:
        full |= {i: most[i] for i in over}
        left = [i for i in parts if i not in over]
        parts = dict(zip(left, spread(total - sum(full.values()), len(left)), strict=True))
    return [(full | parts)[i] for i in range(len(clients))]


def _too_few(total: int, clients: Sequence[ClientMeans]) -> InputError:
    """Each client's limit, equal ones on one line."""
    alike: dict[tuple[int, str], list[str]] = {}
    for means in clients:
        alike.setdefault(capacity(means), []).append(means.host)
    lines = [f"{', '.join(hosts)}: {most} each; {name} binds" for (most, name), hosts in alike.items()]
    together = sum(most * len(hosts) for (most, _), hosts in alike.items())
    ways = []
    if together:
        needed = -(-total * len(clients) // together)
        ways.append(f"{needed} clients like these instead of {len(clients)}")
        ways.append(f"at most {together} connections (--set load.concurrency={together})")
    ways += [_TODO[name] for name in dict.fromkeys(name for _, name in alike)]
    hold = "1 client holds" if len(clients) == 1 else f"{len(clients)} clients hold"
    return InputError(
        f"{total} connections at one time, and {hold} {together}:\n    " + "\n    ".join(lines),
        where="load.concurrency",
        todo="; or ".join(ways),
    )
