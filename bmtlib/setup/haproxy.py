"""The proxy arm: HAProxy on the director, with every option of the seed's configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bmtlib.cpus import to_list
from bmtlib.errors import InputError
from bmtlib.params.arms import ProxyArm
from bmtlib.setup.change import Change
from bmtlib.setup.file import file_change
from bmtlib.setup.service import service
from bmtlib.setup.template import render

CONFIG = "/etc/haproxy/haproxy.cfg"

# Descriptors HAProxy needs beside two for each connection: listeners, epoll and pipes per thread, stats, checks, logs.
_SPARE_FILES = 120


def largest_maxconn(nofile: int, *, threads: int, servers: int) -> int:
    """The largest maxconn HAProxy can start with under a hard limit of `nofile` open files: two per connection.

    >>> largest_maxconn(20_000, threads=1, servers=4)
    9934
    """
    return max(1, (nofile - _SPARE_FILES - 4 * threads - 2 * servers) // 2)


def check_proxy(arm: ProxyArm, *, cpus: frozenset[int], nofile: int, servers: int) -> int:
    """The maxconn to use. Raises InputError when threads or maxconn do not fit the director."""
    if arm.threads > len(cpus):
        raise InputError(
            f"{arm.threads} HAProxy threads, and the director has {len(cpus)} CPU(s): {to_list(cpus)}",
            where="arms: threads",
            todo="fewer threads, or more CPUs for the director (--set testbed.placement.director_cpus=0-1)",
        )
    most = largest_maxconn(nofile, threads=arm.threads, servers=servers)
    if arm.maxconn == "auto":
        return most
    if arm.maxconn > most:
        raise InputError(
            f"HAProxy cannot have maxconn {arm.maxconn}: the director allows {nofile} open files, two per connection",
            where="arms: maxconn",
            todo=f"at most {most}, or `auto`; or raise the hard limit of open files (ulimit -Hn)",
        )
    return arm.maxconn


def haproxy_changes(
    host: str,
    arm: ProxyArm,
    *,
    servers: Mapping[str, str],
    vip: str,
    port: int,
    cpus: frozenset[int],
    maxconn: int,
    nofile: int,
    work: str,
    config_before: str | None,
) -> list[Change]:
    """haproxy.cfg and a running HAProxy. `servers` is name -> back address, in the order of the configuration."""
    pinned: Sequence[int] = sorted(cpus)[: arm.threads]
    text = render(
        "haproxy.cfg",
        host=host,
        arm=arm,
        servers=list(servers.items()),
        vip=vip,
        port=port,
        cpus=to_list(pinned),
        maxconn=maxconn,
        nofile=nofile,
        work=work,
    )
    start = ["haproxy", "-D", "-f", CONFIG]
    return [
        file_change(host, CONFIG, text, before=config_before, reason="the proxy's configuration"),
        service(
            host,
            start,
            cpus=pinned,
            pid_file=f"{work}/haproxy.pid",
            work=work,
            threads=[str(cpu) for cpu in pinned],
            reason="the proxy",
        ),
    ]
