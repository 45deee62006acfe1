"""A builder of small run folders: real plan, real formats, figures that a test chooses."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import pytest

from bmtlib.analysis.tables import Tables, read_tables
from bmtlib.knee_plan import Search, make_knee_plan
from bmtlib.measure.knee import judged
from bmtlib.params.scenario import Load, Scenario
from bmtlib.params.testbed import Testbed
from bmtlib.plan import Case, make_plan, plan_from_json
from bmtlib.rundir import RunDir

START = 1_795_400_000.0
WINDOW_S = 4.0
CLIENTS, WEBS = ("client01", "client02"), ("web01", "web02")
HOSTS = {"director": "director", **dict.fromkeys(WEBS, "web"), **dict.fromkeys(CLIENTS, "client")}
GOLDEN = Path(__file__).parents[1] / "golden"
ENGINES = {"direct": "none", "proxy": "haproxy", "l2dsr": "nft"}


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
    guards: tuple[dict[str, Any], ...] = ()
    later_s: float = 0.0  # when the case began, after the run's first
    without: frozenset[str] = frozenset()
    extra: Mapping[tuple[str, str], str] = field(default_factory=dict)


def measured(requests: int = 400, **fields: Any) -> Measured:
    """A case with as many right answers, waits of 1 to 20 ms, spread over the clients."""
    waits = tuple(1 + i % 20 for i in range(requests))
    half = len(waits) // 2
    return replace(Measured(waits_ms=(waits[:half], waits[half:])), **fields)


def scenario(**fields: Any) -> Scenario:
    base = {"title": "A test", "question": "What is what?", "arms": {"direct": None, "proxy": None, "l2dsr": None}}
    base |= {"webs": len(WEBS), "clients": len(CLIENTS), "load": Load(concurrency=20, seconds=4)}
    return Scenario.model_validate({**base, **fields})


def build(
    out: Path, figures: Callable[[Case], Measured | None], run: Mapping[str, Any] | None = None, **fields: Any
) -> RunDir:
    """A run folder of `scenario(**fields)` in which each case measured `figures(case)`; None: it was not run."""
    plan = make_plan(scenario(**fields), Testbed())
    folder = RunDir.create(out, "test", plan.digest)
    folder.write("plan.json", plan.to_json())
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
        "hosts": [{"name": name, "role": role, "kernel": "6.18", "cpus": [0]} for name, role in HOSTS.items()],
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
    each = {"url": "http://192.168.16.100:80/f", "concurrency": case.load.concurrency // len(CLIENTS), "rc": 0}
    start = START + found.later_s
    each |= {"start_epoch_s": start, "seconds": WINDOW_S, "failed": 0}
    clients = [
        {**each, "host": host, "status": "done" if waits else "died", "completed": len(waits), "opened": len(waits)}
        for host, waits in zip(CLIENTS, found.waits_ms, strict=True)
    ]
    requests = {"sent": completed, "completed": completed, "failed": 0, "cut_off": 0, "opened": completed}
    record = {
        "format": 1,
        "id": case.id,
        **{key: getattr(case, key) for key in ("arm", "kind", "block", "index", "levels")},
        "engine": ENGINES[case.kind],
        "load": case.load.model_dump(mode="json"),
        "status": found.status,
        "error": found.error and {"what": found.error, "where": "", "todo": ""},
        "start_epoch_s": start,
        "end_epoch_s": start + WINDOW_S,
        "window_s": WINDOW_S,
        "skew_ms": 1.0,
        "requests": requests,
        "clients": clients,
        "guards": list(found.guards),
        "director_cpus": [1],
    }
    files: dict[tuple[str, str], str] = {}
    for host, waits in zip(CLIENTS, found.waits_ms, strict=True):
        if waits:
            files[host, "ab.txt"] = ab_text(len(waits), case.load.concurrency // len(CLIENTS))
            files[host, "ab.tsv"] = tsv_text(waits)
    for host, role in HOSTS.items():
        files |= {(host, name): text for name, text in _probe_files(case, found, host, role, completed)}
    files |= found.extra
    for (host, name), text in files.items():
        if name.split(".")[0] not in found.without:
            folder.write_raw(case.id, host, {name: text.encode()})
    folder.write_json(f"cases/{case.id}/case.json", record)


def _probe_files(case: Case, found: Measured, host: str, role: str, completed: int) -> Iterator[tuple[str, str]]:
    counters = {"TcpActiveOpens": completed, "TcpPassiveOpens": completed // len(WEBS) if role == "web" else 0}
    counters |= found.counters if host == "web01" else {}
    director, client = (found.director_in, found.director_out), (found.client_in // len(CLIENTS), 100)
    traffic = {"director": director, "client": client, "web": (0, 0)}[role]
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
        yield "interrupts.during.txt", samples(lambda share: interrupts_text(int(share * completed)), shares)


def samples(text: Callable[[float], str], shares: list[float]) -> str:
    return "".join(f"### {START + share * WINDOW_S:.9f}\n{text(share)}" for share in shares)


def ab_text(requests: int, concurrency: int) -> str:
    """A real report with these requests; what else stands in it (bytes, connection times) is as it was."""
    gap = 1000 * WINDOW_S / requests
    text = (GOLDEN / "ab" / "plain.txt").read_text()
    for line, value in (
        (r"Concurrency Level: +", concurrency),
        (r"Time taken for tests: +", f"{WINDOW_S:.3f}"),
        (r"Complete requests: +", requests),
        (r"Requests per second: +", f"{requests / WINDOW_S:.2f}"),
        (r"Time per request: +(?=[\d.]+ \[ms\] \(mean\))", f"{gap * concurrency:.3f}"),
        (r"Time per request: +(?=[\d.]+ \[ms\] \(mean, )", f"{gap:.3f}"),
    ):
        text = re.sub(rf"({line})[\d.]+", rf"\g<1>{value}", text)
    return text


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
    kinds = {"user": 0.4 * cpu, "system": 0.2 * cpu, "softirq": 0.4 * cpu}
    return measured(requests, director_cpu_s=kinds, director_in=out, director_out=out, client_in=6_000_000)


def priced(
    proxy: float = 100.0, l2dsr: float = 50.0, per_kib: tuple[float, float] = (4.0, 1.0)
) -> Callable[[Case], Measured]:
    """Costs of a request by its size, in µs, of the proxy and of L2DSR: without noise but for 1 % from block to block,
    alike in both arms."""

    def figures(case: Case) -> Measured:
        kib, requests = int(case.load.file_size) / 1024, 1000
        fixed, grow = (proxy, per_kib[0]) if case.kind == "proxy" else (l2dsr, per_kib[1])
        cpu_s = (fixed + grow * kib) * (1 + 0.01 * case.block) * requests / 1e6
        through = int(requests * (1000 + (1000 * kib if case.kind == "proxy" else 0)))
        return measured(
            requests,
            director_cpu_s={"user": cpu_s},
            director_in=through,
            director_out=through,
            client_in=int(requests * 1000 * kib),
        )

    return figures


class Builder:
    """Makes run folders below `out`, of proxy and l2dsr in three blocks: call it with what each case measured."""

    measured = staticmethod(measured)
    usual = staticmethod(usual)
    priced = staticmethod(priced)
    sizes: ClassVar[list[str]] = ["1 KiB", "64 KiB", "512 KiB"]
    clients, webs, start, window_s = CLIENTS, WEBS, START, WINDOW_S

    def __init__(self, out: Path) -> None:
        self.out = out

    def __call__(
        self, figures: Callable[[Case], Measured | None] = usual, run: Mapping[str, Any] | None = None, **fields: Any
    ) -> RunDir:
        return build(self.out, figures, run, **{"arms": {"proxy": None, "l2dsr": None}, **fields})

    def searched(self, wait_ms: Callable[[Case], int], run: Mapping[str, Any] | None = None, **fields: Any) -> RunDir:
        """A run folder of `bmt knee`, in which each request of a case waited `wait_ms(case)`."""
        folder = self(lambda _: None, run, **fields)
        plan = make_knee_plan(plan_from_json((folder.path / "plan.json").read_text()).scenario, Testbed())
        search, cases, tries = Search(plan), [], []
        rounds = ((None, cases) for cases in search.rounds())
        for percent, found in chain(rounds, search.rounds_at_shares()):
            for case in found:
                _write_case(folder, case, Measured(waits_ms=((wait_ms(case),) * 50,) * len(CLIENTS)))
                tried = judged(folder, search.knee, case, folder.case(case.id))
                tries.append({**tried, "percent": percent})
                if percent is None:
                    search.add(case.arm, tried["level"], tried["kept"])
                cases.append(case)
        folder.write("plan.json", replace(plan, cases=tuple(cases)).to_json())
        folder.write_json("knee.json", {"tries": tries, "arms": {}, "base": search.base()})
        return folder

    def swept(self) -> RunDir:
        """A run folder in which the size of the file was varied, so that a director's cost is known by it."""
        return self(priced(), repetitions=5, factors={"file_size": self.sizes})

    def tables(self, *arguments: Any, **fields: Any) -> Tables:
        return read_tables(self(*arguments, **fields))


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path / "runs")


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
        found, grow = usual(case), int(case.load.file_size) // 1024
        cost = 0.05 * (grow if case.kind == "proxy" else 1)
        waits = tuple(waits[: len(waits) // math.isqrt(grow)] for waits in found.waits_ms)
        used = {kind: cost * seconds for kind, seconds in found.director_cpu_s.items()}
        return replace(found, director_cpu_s=used, waits_ms=waits)

    factors = {"file_size": ["1 KiB", "64 KiB"], "threads": [1, 2]}
    return read_tables(build(tmp_path_factory.mktemp("runs"), figures, factors=factors))


@pytest.fixture(scope="session")
def levers(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """Two levers that are not in the order of their names; the second loses packets and halves the rate."""

    def figures(case: Case) -> Measured:
        found, worse = usual(case), case.lever == "clogged"
        waits = tuple(waits[: len(waits) // (2 if worse else 1)] for waits in found.waits_ms)
        lost = {"TcpExtListenDrops": 40 + case.block, "TcpExtListenOverflows": 40} if worse else {}
        return replace(found, waits_ms=waits, counters=lost, softnet_dropped=100 if worse else 0)

    both = {"free": {"text": "As it is."}, "clogged": {"text": "A small backlog.", "steering": {"rps_cpus": "all"}}}
    return read_tables(
        build(tmp_path_factory.mktemp("runs"), figures, levers=both, factors={"lever": ["free", "clogged"]})
    )


@pytest.fixture(scope="session")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tables]:
    """Runs that went wrong, or are small: everything public must work on them."""
    builder = Builder(tmp_path_factory.mktemp("wrong"))
    none = frozenset({"nstat", "stat", "softirqs", "interrupts", "softnet", "ip_link", "ss_listen", "ab"})
    zero = replace(measured(0), director_cpu_s={"idle": 0.0})
    shared = {"placement": {"rps": False, "separate": False}}
    return {
        "one arm": builder.tables(arms={"proxy": None}),
        "one block, shared CPUs": builder.tables(usual, shared, repetitions=1),
        "no requests": builder.tables(lambda _: zero, repetitions=1),
        "no probes": builder.tables(lambda case: replace(usual(case), without=none), repetitions=1),
        "all failed": builder.tables(lambda case: replace(usual(case), status="failed", error="no"), repetitions=1),
        "not run": builder.tables(lambda _: None, repetitions=1),
    }
