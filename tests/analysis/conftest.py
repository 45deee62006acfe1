"""A builder of small run folders: real plan, real formats, figures that a test chooses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bmtlib.analysis.tables import Tables, read_tables
from bmtlib.params.scenario import Load, Scenario
from bmtlib.params.testbed import Testbed
from bmtlib.plan import Case, make_plan
from bmtlib.rundir import RunDir

GOLDEN = Path(__file__).parents[1] / "golden"
START = 1_795_400_000.0
WINDOW_S = 4.0
CLIENTS, WEBS = ("client01", "client02"), ("web01", "web02")
ENGINES = {"direct": "none", "proxy": "haproxy", "l2dsr": "nft"}

AB_HEAD = """\
This is ApacheBench, Version 2.3 <$Revision$>
Copyright 1996 Adam Twiss, Zeus Technology Ltd, http://www.zeustech.net/
Licensed to The Apache Software Foundation, http://www.apache.org/

Benchmarking 192.168.16.100 (be patient)


"""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one case shall have measured. `without`: probes that failed; `extra`: raw files that replace others."""

    waits_ms: tuple[tuple[int, ...], ...]  # of each client
    status: str = "done"
    error: str | None = None
    director_cpu_s: Mapping[str, float] = field(default_factory=lambda: {"user": 0.2, "system": 0.3, "softirq": 0.5})
    other_busy: float = 0.5
    director_in: int = 5000
    director_out: int = 5000
    client_in: int = 6000
    counters: Mapping[str, int] = field(default_factory=dict)  # of web01
    softnet_dropped: int = 0
    failed: int = 0
    guards: tuple[dict[str, Any], ...] = ()
    without: frozenset[str] = frozenset()
    extra: Mapping[tuple[str, str], str] = field(default_factory=dict)


def measured(requests: int = 400, **fields: Any) -> Measured:
    """A case with as many right answers, waits of 1 to 20 ms, spread over the clients."""
    waits = tuple(1 + i % 20 for i in range(requests))
    half = len(waits) // 2
    return replace(Measured(waits_ms=(waits[:half], waits[half:])), **fields)


def scenario(**fields: Any) -> Scenario:
    base = {
        "title": "A test",
        "question": "What is what?",
        "arms": {"direct": None, "proxy": None, "l2dsr": None},
        "webs": len(WEBS),
        "clients": len(CLIENTS),
        "load": Load(concurrency=20, seconds=4),
    }
    return Scenario.model_validate({**base, **fields})


def build(
    out: Path, figures: Callable[[Case], Measured | None], run: Mapping[str, Any] | None = None, **fields: Any
) -> RunDir:
    """A run folder of `scenario(**fields)` in which each case measured `figures(case)`; None: it was not run."""
    plan = make_plan(scenario(**fields), Testbed())
    folder = RunDir.create(out, "test", plan.digest)
    folder.write("plan.json", plan.to_json())
    hosts = [("director", "director"), *((name, "web") for name in WEBS), *((name, "client") for name in CLIENTS)]
    about = {
        "format": 1,
        "id": folder.path.name,
        "scenario": {"name": "test", "title": "A test", "question": "What is what?"},
        "testbed": "netns",
        "fidelity": "namespace",
        "privilege": "rootless",
        "status": "done",
        "engine": {name: ENGINES[arm.kind] for name, arm in plan.scenario.arms.items()},
        "director_cpus": [1],
        "other_cpus": [0],
        "placement": {"rps": True, "separate": True},
        "hosts": [{"name": name, "role": role, "kernel": "6.18", "cpus": [0]} for name, role in hosts],
        **(run or {}),
    }
    folder.write_json("run.json", about)
    for case in plan.cases:
        found = figures(case)
        if found is not None:
            _write_case(folder, case, found)
    return folder


def _write_case(folder: RunDir, case: Case, found: Measured) -> None:
    completed = sum(map(len, found.waits_ms))
    clients = [
        {"host": host, "url": "http://192.168.16.100:80/f", "concurrency": case.load.concurrency // len(CLIENTS), "rc": 0,
         "status": "done" if waits else "died", "start_epoch_s": START, "seconds": WINDOW_S if waits else None,
         "completed": len(waits), "failed": 0, "opened": len(waits)}
        for host, waits in zip(CLIENTS, found.waits_ms, strict=True)
    ]  # fmt: skip
    record = {
        "format": 1,
        "id": case.id,
        **{key: getattr(case, key) for key in ("arm", "kind", "block", "index", "levels")},
        "engine": ENGINES[case.kind],
        "load": case.load.model_dump(mode="json"),
        "status": found.status,
        "error": found.error and {"what": found.error, "where": "", "todo": ""},
        "start_epoch_s": START,
        "end_epoch_s": START + WINDOW_S,
        "window_s": WINDOW_S,
        "skew_ms": 1.0,
        "requests": {
            "sent": completed + found.failed,
            "completed": completed,
            "failed": found.failed,
            "cut_off": 0,
            "opened": completed,
        },  # fmt: skip
        "clients": clients,
        "guards": list(found.guards),
        "director_cpus": [1],
    }
    files: dict[tuple[str, str], str] = {}
    for host, waits in zip(CLIENTS, found.waits_ms, strict=True):
        if waits:
            files[host, "ab.txt"] = ab_text(len(waits), case.load.concurrency // len(CLIENTS))
            files[host, "ab.tsv"] = tsv_text(waits)
    for host, role in [("director", "director"), *((w, "web") for w in WEBS), *((c, "client") for c in CLIENTS)]:
        files |= {(host, name): text for name, text in _probe_files(case, found, host, role, completed)}
    files |= found.extra
    for (host, name), text in files.items():
        if name.split(".")[0] not in found.without:
            folder.write_raw(case.id, host, {name: text.encode()})
    folder.write_json(f"cases/{case.id}/case.json", record)


def _probe_files(case: Case, found: Measured, host: str, role: str, completed: int) -> Iterator[tuple[str, str]]:
    counters = {"TcpActiveOpens": completed, "TcpPassiveOpens": completed // len(WEBS) if role == "web" else 0}
    counters |= found.counters if host == "web01" else {}
    traffic = {
        "director": (found.director_in, found.director_out), "client": (found.client_in // len(CLIENTS), 100),
    }.get(role, (0, 0))  # fmt: skip
    for moment, share in (("before", 0), ("after", 1)):
        yield (
            f"nstat.{moment}.txt",
            json.dumps({"kernel": {name: 7 + share * count for name, count in counters.items()}}),
        )
        yield f"ip_link.{moment}.txt", link_text(*(1000 + share * count for count in traffic))
        if role == "director":
            yield f"stat.{moment}.txt", stat_text(found, share)
            yield f"softirqs.{moment}.txt", softirqs_text(share * completed)
            yield f"interrupts.{moment}.txt", interrupts_text(share * completed)
            yield f"softnet.{moment}.txt", softnet_text(completed * share, found.softnet_dropped * share)
        if role in ("director", "web"):
            table = "State  Recv-Q Send-Q Local Address:Port Peer Address:PortProcess\n"
            yield f"ss_listen.{moment}.txt", table + f"LISTEN 0 {511} 0.0.0.0:80 0.0.0.0:*\n"
    if role == "director":
        shares = [i / WINDOW_S for i in range(int(WINDOW_S) + 1)]
        yield "stat.during.txt", samples(lambda share: stat_text(found, share), shares)
        yield "softirqs.during.txt", samples(lambda share: softirqs_text(int(share * completed)), shares)
        if case.kind == "proxy":
            yield "haproxy_stat.before.txt", (GOLDEN / "haproxy_stat" / "load.txt").read_text()
            yield "haproxy_stat.after.txt", (GOLDEN / "haproxy_stat" / "load.txt").read_text()


def samples(text: Callable[[float], str], shares: list[float]) -> str:
    return "".join(f"### {START + share * WINDOW_S:.9f}\n{text(share)}" for share in shares)


def ab_text(requests: int, concurrency: int) -> str:
    """ab's report of as many requests; of the times only those that the tables take are right."""
    rate = requests / WINDOW_S
    gap = 1000 / rate
    return (
        AB_HEAD
        + "Server Software:        nginx/1.22.1\nServer Hostname:        192.168.16.100\nServer Port:            80\n\n"
        + "Document Path:          /f\nDocument Length:        5120 bytes\n\n"
        + f"Concurrency Level:      {concurrency}\nTime taken for tests:   {WINDOW_S:.3f} seconds\n"
        + f"Complete requests:      {requests}\nFailed requests:        0\n"
        + f"Total transferred:      {requests * 5400} bytes\nHTML transferred:       {requests * 5120} bytes\n"
        + f"Requests per second:    {rate:.2f} [#/sec] (mean)\n"
        + f"Time per request:       {gap * concurrency:.3f} [ms] (mean)\n"
        + f"Time per request:       {gap:.3f} [ms] (mean, across all concurrent requests)\n"
        + "Transfer rate:          1.00 [Kbytes/sec] received\n\nConnection Times (ms)\n"
        + "              min  mean[+/-sd] median   max\n"
        + "".join(
            f"{name:<12}1    2   3.0      4       5\n" for name in ("Connect:", "Processing:", "Waiting:", "Total:")
        )
        + ("\nPercentage of the requests served within a certain time (ms)\n" if requests > 1 else "")
        + "".join(f" {percent:3d}%      4\n" for percent in (50, 66, 75, 80, 90, 95, 98, 99) if requests > 1)
        + (" 100%      5 (longest request)\n" if requests > 1 else "")
    )


def tsv_text(waits: tuple[int, ...]) -> str:
    rows = "".join(f"Mon Nov 23 01:39:39 2026\t1795397979\t0\t{wait}\t{wait}\t{wait}\n" for wait in sorted(waits))
    return "starttime\tseconds\tctime\tdtime\tttime\twait\n" + rows


def stat_text(found: Measured, share: float) -> str:
    """Two CPUs, 1 the director's, `share` of the way through the load."""
    kinds = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")
    busy = {"user": found.other_busy * WINDOW_S}
    used = {0: {**busy, "idle": WINDOW_S - busy["user"]}, 1: dict(found.director_cpu_s)}
    used[1]["idle"] = WINDOW_S - sum(found.director_cpu_s.values())
    ticks = {cpu: [1000 + round(100 * share * times.get(kind, 0.0)) for kind in kinds] for cpu, times in used.items()}
    total = [sum(values) for values in zip(*ticks.values(), strict=True)]
    lines = [
        f"cpu  {' '.join(map(str, total))}",
        *(f"cpu{cpu} {' '.join(map(str, row))}" for cpu, row in ticks.items()),
    ]
    rest = "intr 5 1\nctxt 1\nbtime 1\nprocesses 1\nprocs_running 1\nprocs_blocked 0\nsoftirq 0" + " 0" * 10
    return "\n".join([*lines, rest]) + "\n"


def softirqs_text(count: int) -> str:
    kinds = ("HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU")
    lines = [f"{kind:>12}: {100 + count if kind == 'NET_RX' else 100:10} {100 + 2 * count:10}" for kind in kinds]
    return "                    CPU0       CPU1       \n" + "\n".join(lines) + "\n"


def interrupts_text(count: int) -> str:
    return (
        "           CPU0       CPU1       \n"
        f" 43:  {count}   {2 * count}   PCI-MSIX 180225-edge   eth0-rx\nLOC: 5 {count} Local timer interrupts\nERR: 0\n"
    )


def softnet_text(processed: int, dropped: int) -> str:
    """CPU 0's counters are about to wrap around."""
    rows = [[2**32 - 5 + processed, dropped], [processed, 0]]
    return "".join(
        " ".join(f"{value % 2**32:08x}" for value in [*row, *[0] * 10, cpu, 0, 0]) + "\n"
        for cpu, row in enumerate(rows)
    )


def link_text(rx_bytes: int, tx_bytes: int) -> str:
    rx = {"bytes": rx_bytes, "packets": 1, "errors": 0, "dropped": 0, "over_errors": 0, "multicast": 0}
    tx = {"bytes": tx_bytes, "packets": 1, "errors": 0, "dropped": 0, "carrier_errors": 0, "collisions": 0}
    link = {"ifname": "eth0", "operstate": "UP", "mtu": 1500, "stats64": {"rx": rx, "tx": tx}}
    return json.dumps([link])


def usual(case: Case) -> Measured:
    """Proxy 100 requests/s, l2dsr 200, direct 400; the director's CPU costs 1 s and 0.5 s; blocks differ a little."""
    requests = {"direct": 1600, "proxy": 400, "l2dsr": 800}[case.kind] + 4 * case.block
    cpu = {"direct": 0.0, "proxy": 1.0, "l2dsr": 0.5}[case.kind]
    out = {"direct": 0, "proxy": 6_600_000, "l2dsr": 400_000}[case.kind]
    return measured(
        requests,
        director_cpu_s={"user": 0.4 * cpu, "system": 0.2 * cpu, "softirq": 0.4 * cpu},
        director_in=out,
        director_out=out,
        client_in=6_000_000,
    )


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """Three arms, three blocks, nothing wrong."""
    return build(tmp_path_factory.mktemp("runs"), usual)


@pytest.fixture(scope="session")
def tables(run: RunDir) -> Tables:
    return read_tables(run)


@pytest.fixture(scope="session")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """File size and HAProxy's threads varied; the proxy's cost grows with the size."""

    def figures(case: Case) -> Measured:
        found, grow = usual(case), int(case.load.file_size) / 1024
        cost = grow if case.kind == "proxy" else 1
        scaled = {kind: 0.05 * cost * value for kind, value in found.director_cpu_s.items()}
        less = np.sqrt(grow)
        waits = tuple(waits[: int(len(waits) / less)] for waits in found.waits_ms)
        return replace(found, director_cpu_s=scaled, waits_ms=waits)

    factors = {"file_size": ["1 KiB", "5 KiB", "64 KiB"], "threads": [1, 2]}
    return read_tables(build(tmp_path_factory.mktemp("runs"), figures, factors=factors))
