"""The proxy arm: HAProxy on the director, with every option of the seed's configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bmtlib.cpus import to_list
from bmtlib.errors import InputError
from bmtlib.params.arms import ProxyArm
from bmtlib.params.proxy_options import Tls
from bmtlib.setup.change import Change
from bmtlib.setup.file import file_changes
from bmtlib.setup.haproxy_build import build_changes, build_in_lab
from bmtlib.setup.service import service, unit_service
from bmtlib.setup.template import render
from bmtlib.setup.tls import certificate_changes, certificate_path
from bmtlib.setup.units import haproxy_unit, stop_ours

if TYPE_CHECKING:
    from bmtlib.setup.system import System

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
    system: System | None = None,
    certificate: str | None = None,
    built: str | None = None,
) -> list[Change]:
    """Build, certificate, haproxy.cfg and a running HAProxy; nothing of what is as wished already.

    `servers` is name -> back address, in the order of the configuration. `system`: a host of the user's own, where
    systemd runs HAProxy as a unit; None: a lab, where it is built below `work`. `certificate` and `built` are what
    certificate_probe and build_probe printed, None where nobody has looked. Raises InputError for what cannot be.
    """
    changes: list[Change] = []
    program = "haproxy"
    if arm.build is not None:
        build = arm.build if system is not None else build_in_lab(arm.build, work)
        changes += build_changes(host, build, system=system, built=built)
        program = build.program
    if arm.tls is not None:
        _check_tls(host, arm.tls, port=port, certificate=certificate)
        changes += certificate_changes(host, arm.tls, vip=vip, present=certificate)
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
        ssl=arm.build is None or arm.build.openssl,
        certificate=certificate_path(arm.tls, vip) if arm.tls else None,
    )
    config = file_changes(host, CONFIG, text, before=config_before, reason="the proxy's configuration")
    pid_file, threads = f"{work}/haproxy.pid", [str(cpu) for cpu in pinned]
    words = [program, "-D", "-f", CONFIG]
    by_hand = service(host, words, cpus=pinned, pid_file=pid_file, work=work, threads=threads, reason="the proxy")
    if system is None:
        return [*changes, *config, by_hand]
    running = system.running.get("haproxy")
    now = running.cpus if running is not None and not changes and not config else ""
    if system.systemd:
        unit = haproxy_unit(host, program=program, config=CONFIG, pid_file=pid_file, nofile=nofile, cpus=pinned)
        present = system.files.get(unit.path)
        start = unit_service(
            host,
            unit,
            cpus=pinned,
            pid_file=pid_file,
            threads=threads,
            reason="the proxy",
            running=now,
            present=present,
        )
    else:
        same = running is not None and _runs(system, running.pid, program)
        start = [] if now == by_hand.expect and same else [by_hand]
    if not start:
        return []
    return [*changes, *stop_ours(host, system, "haproxy"), *config, *start]


def _check_tls(host: str, tls: Tls, *, port: int, certificate: str | None) -> None:
    """Raise InputError where HAProxy could not start with this front."""
    if tls.port == port:
        raise InputError(
            f"port {port} is that of the front without TLS already",
            where="arms: proxy: tls: port",
            todo="another port, such as 443; or another one for the service (--set testbed.network.port=80)",
        )
    if tls.certificate == "self-signed" or certificate is None:
        return
    found = " ".join(certificate.split())
    if found in ("none", "no certificate") or "without its key" in found:
        what = {"none": "there is no such file", "no certificate": "it holds no certificate"}
        raise InputError(
            f"the certificate cannot be used: {what.get(found, 'the file does not hold its key')}",
            where=f"{host}: {tls.certificate}",
            todo="a PEM file with certificate, chain and key; or `certificate: self-signed`",
        )


def _runs(system: System, pid: int, program: str) -> bool:
    """Whether it is this program that runs: the distribution's by its name, a build by its path."""
    there = system.processes[pid].program
    return there == program or ("/" not in program and there == f"/usr/sbin/{program}")
