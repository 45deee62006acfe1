"""Limits made on purpose, each measured on the real programs: the diagnosis must name what was made.

What cannot be made here is judged on recorded tables only (tests/analysis/test_diagnose.py): the ring of a card, the
rate of a wire, several CPUs or queues of one director on a machine of two CPUs, and a full connection table, since
nf_conntrack_max is the machine's and no namespace may write it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bmtlib.analysis.diagnose import df_bottleneck
from bmtlib.analysis.tables import read_tables
from bmtlib.hosts.host import Host
from bmtlib.measure import recorded
from bmtlib.measure.case import CaseRun
from bmtlib.measure.ready import check
from bmtlib.measure.session import Session
from bmtlib.run import load, start
from bmtlib.rundir import RunDir
from bmtlib.testbeds.placement import pin_process

pytestmark = pytest.mark.lab

SHORT = ("load.warmup_seconds=0", "load.seconds=2", "repetitions=1", "load.concurrency=60", "webs=2", "clients=2")
TRIES = 3  # on one small machine something else may stand in the way of a 2 s load, and is named then, rightly so
Prepare = Callable[[Session], Any]


def sh(host: Host, script: str) -> str:
    return host.run(["sh", "-c", script]).stdout


def nothing(session: Session) -> None:
    """The limit is one of the scenario's settings."""


def many_rules(session: Session) -> None:
    """Each packet that comes to the director is compared with thousands of addresses, in several tables."""
    for number in range(40):
        rules = "".join(f"ip saddr 10.{number}.{i}.1 counter\n" for i in range(250))
        chain = f"chain in {{\ntype filter hook ingress device eth0 priority {number - 400};\n{rules}}}\n"
        session.lab.director.run(["nft", "-f", "-"], stdin=f"table netdev slow{number} {{\n{chain}}}\n")


def sleepy(host: Host, pids: str) -> None:
    """These processes of a host work a tenth of the time, as long as the load lasts and not much longer."""
    loop = "while :; do kill -STOP $w; sleep 0.1; kill -CONT $w; sleep 0.01; done"
    sh(host, f'w={pids}\ntimeout 20 sh -c "{loop}" > /dev/null 2>&1 &')


def slow_accepts(session: Session) -> None:
    """nginx with a listen queue of one connection, to which its workers come now and then only."""
    for host in session.lab.role("web"):
        sh(host, "sed -i 's/backlog=[0-9]*/backlog=1/' /etc/nginx/nginx.conf")
        restart_nginx(host)
        sleepy(host, "$(cat /proc/$(cat /run/nginx.pid)/task/*/children)")


def slow_proxy(session: Session) -> None:
    """HAProxy that comes to its listen queue now and then only."""
    sleepy(session.lab.director, "$(cat /run/bmt/haproxy.pid)")


def slow_answers(session: Session) -> None:
    """nginx sends 4 KiB at once, and the rest of the file a second later."""
    for host in session.lab.role("web"):
        sh(host, r"sed -i 's/sendfile on;/sendfile on; limit_rate 4k;/' /etc/nginx/nginx.conf")
        restart_nginx(host)


def restart_nginx(host: Host) -> None:
    script = (
        "kill -QUIT $(cat /run/nginx.pid); while [ -e /run/nginx.pid ]; do sleep 0.02; done; nginx; cat /run/nginx.pid"
    )
    sh(host, script)


def few_ports(session: Session) -> None:
    for host in session.lab.role("client"):
        sh(host, "echo 40000 40030 > /proc/sys/net/ipv4/ip_local_port_range")


def narrow_link(session: Session) -> None:
    for interface in ("eth0", "eth1"):
        sh(session.lab.director, f"tc qdisc add dev {interface} root tbf rate 40mbit burst 32kb latency 50ms")


def director_burner(session: Session) -> AbstractContextManager[None]:
    """Programs on the director beside HAProxy, which do nothing but work."""
    return burning([session.lab.director] * 3)


def web_burners(session: Session) -> AbstractContextManager[None]:
    """Web hosts whose CPU something else takes."""
    return burning([host for host in session.lab.role("web") for _ in range(3)])


@contextmanager
def burning(hosts: list[Host]) -> Iterator[None]:
    """A process on each of these, as often as it stands there, that needs a whole CPU of its host."""
    script = ["timeout", "60", "sh", "-c", "while :; do :; done"]
    running = [host.start(script, cpus=host.cpus) for host in hosts]
    try:
        yield
    finally:
        for process in running:
            process.kill()


@dataclass(frozen=True, kw_only=True)
class Made:
    arm: str
    settings: tuple[str, ...]
    make: Prepare
    named: set[str]
    late: bool = False  # only after the preflight, which would notice it


# What is made -> how, and what it must be called.
LIMITS: dict[str, Made] = {
    # The kernel books about half of a proxy's time on softirqs: which half is larger is chance; both are the director's
    "director CPU (proxy, one thread)": Made(
        arm="proxy",
        settings=(
            "load.keepalive=true",
            "load.file_size=64 KiB",
            "arms.proxy.bufsize=1024",
            "arms.proxy.maxrewrite=256",
        ),
        make=nothing,
        named={"director-cpu", "director-softirq"},
    ),
    "director CPU (taken by a program of its own)": Made(
        arm="proxy", settings=("load.concurrency=20",), make=director_burner, named={"director-cpu"}
    ),
    "director softirq (L2DSR, a ruleset of thousands)": Made(
        arm="l2dsr",
        settings=("arms.l2dsr.engine=nft", "load.concurrency=200"),
        make=many_rules,
        named={"director-softirq"},
    ),
    "client CPU (large answers)": Made(
        arm="direct", settings=("load.file_size=2 MiB",), make=nothing, named={"client-cpu"}
    ),
    "web CPU (taken by something else)": Made(arm="l2dsr", settings=(), make=web_burners, named={"web-cpu"}),
    "accept queue (HAProxy, backlog 4)": Made(
        arm="proxy",
        settings=("arms.proxy.backlog=4", "load.concurrency=100"),
        make=slow_proxy,
        late=True,
        named={"accept-queue"},
    ),
    "accept queue (nginx, backlog 1)": Made(
        arm="l2dsr", settings=("load.concurrency=100",), make=slow_accepts, late=True, named={"accept-queue"}
    ),
    "ports of clients": Made(arm="l2dsr", settings=(), make=few_ports, named={"ports"}),
    "link (a shaper of 40 Mbit/s)": Made(
        arm="proxy", settings=("load.file_size=64 KiB",), make=narrow_link, named={"link"}
    ),
    "maxconn": Made(arm="proxy", settings=("arms.proxy.maxconn=4",), make=slow_answers, late=True, named={"maxconn"}),
    "rate limit": Made(
        arm="proxy", settings=("arms.proxy.rate_limit_sessions=300",), make=nothing, named={"rate-limit"}
    ),
    "load too low": Made(
        arm="l2dsr", settings=("load.concurrency=2",), make=slow_answers, late=True, named={"low-load"}
    ),
}


def diagnosed(out: Path, made: Made) -> dict[str, Any]:
    """The row of df_bottleneck of one case of the arm, on hosts that `make` has prepared."""
    loaded = load("quick", settings=[*SHORT, *made.settings])
    folder, case = start(loaded, out), next(case for case in loaded.plan.cases if case.arm == made.arm)
    ready = check(loaded.plan)
    cpus = os.sched_getaffinity(0)
    try:
        if ready.placement.separate:
            pin_process(ready.placement.others)
        with Session(loaded.plan, ready, run_id="test") as session:
            more = None if made.late else made.make(session)
            recorded.record(session, folder)
            about = {
                "fidelity": session.lab.fidelity,
                "director_cpus": sorted(ready.director_cpus),
                "other_cpus": sorted(ready.placement.others),
                "placement": {"rps": session.lab.rps, "separate": ready.placement.separate},
                "hosts": recorded.describe(session),
            }
            folder.write_json("run.json", folder.run_json() | about)
            with more or nullcontext():

                def tell(state: str, **fields: Any) -> None:
                    if made.late and state == "drain":
                        made.make(session)

                CaseRun(case, session, folder, tell).run()
    finally:
        pin_process(cpus)
    table = df_bottleneck(read_tables(RunDir.open(folder.path)))
    (row,) = table[table["case"] == case.id].to_dict("records")
    return {**{str(key): value for key, value in row.items()}, "error": folder.case(case.id)["error"]}


def wait_until_quiet(deadline_s: float = 30.0) -> None:
    """Wait until this machine's CPUs idle most of the time; no longer than the deadline."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        before = Path("/proc/stat").read_text().split(maxsplit=9)[1:8]
        time.sleep(0.5)
        after = Path("/proc/stat").read_text().split(maxsplit=9)[1:8]
        spent = [int(new) - int(old) for old, new in zip(before, after, strict=True)]
        if spent[3] > 0.8 * sum(spent):
            return


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_that_was_made_is_named(tmp_path: Path, name: str) -> None:
    made = LIMITS[name]
    for attempt in range(TRIES):
        row = diagnosed(tmp_path / str(attempt), made)
        if row["limit"] in made.named:
            break
        wait_until_quiet()
    said = {key: row[key] for key in ("status", "error", "limit", "evidence", "runner_up", "runner_up_evidence")}
    print(f"{name} -> {row['limit']} ({row['pressure']:.2f}): {row['evidence']}")
    print(f"    runner-up: {row['runner_up']}: {row['runner_up_evidence']}")
    assert row["limit"] in made.named, said
    assert row["evidence"]
