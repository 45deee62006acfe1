"""From a run folder's raw files to tidy tables. `read_tables` is the only way in; everything else stands on its result.

The tables are kept as Parquet files under <run>/tables. Each carries the digest of what it was made from (raw files and
the code that reads them), so a stale, foreign or broken cache is noticed and made anew; a folder that cannot be
written is read without one.
"""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow

import bmtlib
from bmtlib.analysis import read_cpu, read_limits, read_load, read_net, read_waits
from bmtlib.analysis.raw import Raw
from bmtlib.analysis.schema import COLUMNS, FACTOR_COLUMNS, frame
from bmtlib.errors import BmtError
from bmtlib.params.claim import Claim
from bmtlib.params.knee import Knee
from bmtlib.rundir import RunDir

_PACKAGE = Path(bmtlib.__file__).parent
# The code that decides what the tables hold.
_READERS = ("parsers/*.py", "analysis/schema.py", "analysis/raw.py", "analysis/read_*.py", "analysis/tables.py")
_DIGEST = "bmtlib-digest"
_LARGE_BYTES = 10_000_000  # of bundles; starting processes takes a second or two
NOT_TRIED = ("not run", "not needed")  # planned cases without a record


@dataclass(frozen=True, kw_only=True, eq=False)
class Tables:
    """A run in tables. Columns and types are in `schema.COLUMNS`; counts are growth from before the load to after it.

    run: run.json. factors: columns of `cases` that the scenario varies. arms: their names, in the scenario's order.
    claims: what the scenario says that may be wrong. levers, tunings: levels of the factors `lever` and
        `tuning`, in the scenario's order.
    cpus_needed: CPUs that the director needs for the scenario's question. search: what `bmt knee` searched, if it did
    addressing: the testbed's networks: vip, front, back, port

    cases: one row per planned case. status: done, rejected, failed, interrupted, unreadable, left out, "not run", "not
        needed" (the run ended by its rule before); only those that are done take part in comparisons. completed: right
        answers; failed: the rest that ended; sent: both; cut_off: in flight when the time was over. requests_per_s:
        completed / window_s. load_requests, load_s: how the load ends. loop: "closed", or "open" where offered_per_s
        requests/s were asked for whatever came back; planned, unsent: of a load whose number of requests is fixed
    guards: how each case was judged (verdict ok, mark or reject)
    clients: case x client. wait_mean_ms: ab's "Time per request (mean)"; ab computes it as concurrency * time /
        requests. gap_mean_ms: ab's "across all concurrent requests", 1 / rate: the seed's "latency". The other columns
        are those of `parsers.ab.AbRow`; missing for a client that died
    waits: requests by what they waited for the end of the answer, failed ones too, all clients of a case. From connect
        with ab (whole milliseconds), from the request sent with wrk and h2load, from the instant when it was due in an
        open loop
    requests_time: requests by the second of the load in which they ended, failed ones too. time_s: from the start of
        the load to the end of the second; span_s: of it within the load. ab tells the second only in which a request
        began: one that may have ended in either of two is parted evenly between them. None of wrk, which tells nothing
    waits_time: the same as `waits`, by the second in which requests began (with ab: most probably); wait_us is up to
        3.1 % too long
    cpu: case x CPU x kind (user with nice, system, softirq, irq, steal, iowait, idle). host: the one that was asked
        about its machine; role: "director" for the director's own CPUs, "vm" for those that a virtual one runs on,
        "other" for the rest
    cpu_time: the same between two samples: time_s from the start of the load to the later one, span_s between them
    process_cpu: user and system time of processes by name, of those that stand before and after the load; of clients
        that of their load generator ("load"), which began and ended within it
    softirq, softirq_time: how often each kind of softirq ran; irq, irq_time: interrupts, by number or name
    softnet: /proc/net/softnet_stat by CPU
    ipvs_cpu: LVS's own counters by CPU, of CPUs that it came to
    network: case x host x interface, without lo. speed_mbit_per_s: as the card claims, missing where it is made up
    qdisc: what waits to be sent; rate_bytes_per_s: of a shaper
    ports: TIME_WAIT sockets after the load, and how many local ports there are
    counters: growth that is not zero. source: nstat, or ethtool_stats with its interface
    probed: on how many hosts a source of `counters` was read: where it was, a missing counter is zero, else unknown
    web_share: connections that each web host took; source: TcpPassiveOpens, or haproxy_stat where that is not known
    listen: the fullest that a listen queue was seen (accept_queue_most), and the most it may hold (accept_queue_max)
    conntrack: entries of the connection table
    director_sockets: the director's TCP connections, sample by sample: established, those waiting to be accepted among
        them
    haproxy: what limits HAProxy itself: connections at a time, new sessions per second
    engine: what nftables, LVS or HAProxy counted, by item and counter; rows that are not zero
    knee: cases of a search for the knee, and whether each kept the objective
    problems: raw files that a parser refused, with its words
    """

    run: dict[str, Any]
    factors: tuple[str, ...]
    arms: tuple[str, ...]
    claims: tuple[Claim, ...]
    levers: tuple[str, ...]
    tunings: tuple[str, ...]
    cpus_needed: int
    search: Knee | None
    addressing: dict[str, Any]
    cases: pd.DataFrame
    guards: pd.DataFrame
    clients: pd.DataFrame
    waits: pd.DataFrame
    requests_time: pd.DataFrame
    waits_time: pd.DataFrame
    cpu: pd.DataFrame
    cpu_time: pd.DataFrame
    process_cpu: pd.DataFrame
    softirq: pd.DataFrame
    softirq_time: pd.DataFrame
    irq: pd.DataFrame
    irq_time: pd.DataFrame
    softnet: pd.DataFrame
    ipvs_cpu: pd.DataFrame
    network: pd.DataFrame
    qdisc: pd.DataFrame
    ports: pd.DataFrame
    counters: pd.DataFrame
    probed: pd.DataFrame
    web_share: pd.DataFrame
    listen: pd.DataFrame
    conntrack: pd.DataFrame
    director_sockets: pd.DataFrame
    haproxy: pd.DataFrame
    engine: pd.DataFrame
    knee: pd.DataFrame
    problems: pd.DataFrame

    def frames(self) -> dict[str, pd.DataFrame]:
        """All tables by name."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name in COLUMNS}


def read_tables(run: RunDir) -> Tables:
    """The tables of a run, from its cache when that fits. Raises InputError when run.json or plan.json is broken."""
    digest = content_digest(run)
    frames = _load_cache(run, digest)
    if frames is None:
        frames = _build(run)
        _save_cache(run, digest, frames)
    plan = run.read_json("plan.json")
    varied = {factor for case in plan["cases"] for factor in case.get("levels", {})}
    return Tables(
        run=run.run_json(),
        factors=tuple(column for factor, column in FACTOR_COLUMNS.items() if factor in varied),
        arms=tuple(plan["scenario"]["arms"]),
        claims=tuple(map(Claim.model_validate, plan["scenario"].get("claims", []))),
        levers=_levels(plan["scenario"], "lever"),
        tunings=_levels(plan["scenario"], "tuning"),
        cpus_needed=plan["scenario"].get("director_cpus", 1),
        search=Knee.model_validate(plan["scenario"]["knee"]) if plan.get("search") == "knee" else None,
        addressing=plan["testbed"].get("network", {}),
        **frames,
    )


def _levels(scenario: dict[str, Any], factor: str) -> tuple[str, ...]:
    """In the scenario's order, of the product or of the chosen combinations."""
    chosen = [levels[factor] for levels in scenario.get("combinations", []) if factor in levels]
    return tuple(dict.fromkeys([*scenario.get("factors", {}).get(factor, ()), *chosen]))


def _build(run: RunDir) -> dict[str, pd.DataFrame]:
    raw = Raw(run)
    records = read_load.read_records(raw)
    measured = {case_id: record for case_id, record in records.items() if record["status"] not in NOT_TRIED}
    rows = {
        "cases": read_load.case_rows(records),
        "guards": read_load.guard_rows(measured),
        "knee": read_load.knee_rows(raw),
    }
    parts = list(_parts(run, measured))
    rows |= {name: [row for part, _ in parts for row in part[name]] for name in (parts[0][0] if parts else {})}
    # A file read for two tables may have been refused twice.
    problems = [*raw.problems, *(problem for _, refused in parts for problem in refused)]
    problems = list({tuple(problem.items()): problem for problem in problems}.values())
    return {name: frame(name, rows.get(name, [])) for name in COLUMNS if name != "problems"} | {
        "problems": frame("problems", problems)
    }


_Part = tuple[dict[str, list[dict[str, Any]]], list[dict[str, str | None]]]


def _parts(run: RunDir, records: dict[str, dict[str, Any]]) -> Iterable[_Part]:
    """What is read of each case, and what was refused. Of a large run by several processes at once."""
    cases = [(run.path, {case_id: record}) for case_id, record in records.items()]
    size = sum(path.stat().st_size for path in run.path.glob("cases/*/*.zip"))
    processes = min(len(cases), len(os.sched_getaffinity(0)))
    if processes < 2 or size < _LARGE_BYTES or _is_script():
        # Clients of one case after the other's: its bundles are opened once.
        yield from map(_read_case, cases)
        return
    # Not forked: the process may be a notebook's, with threads of its own.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_read_case, cases)


def _is_script() -> bool:
    """A new process would run the user's own script once more, from its first line."""
    main = sys.modules["__main__"]
    return main.__spec__ is None and hasattr(main, "__file__")


def _read_case(case: tuple[Path, dict[str, dict[str, Any]]]) -> _Part:
    path, measured = case
    raw = Raw(RunDir(path))
    counters, probed = read_net.counter_rows(raw, measured)
    waits, requests_time, waits_time = read_waits.wait_rows(raw, measured)
    rows = {
        "clients": read_load.client_rows(raw, measured),
        "waits": waits,
        "requests_time": requests_time,
        "waits_time": waits_time,
        "cpu": read_cpu.cpu_rows(raw, measured),
        "cpu_time": read_cpu.cpu_time_rows(raw, measured),
        "process_cpu": read_cpu.process_rows(raw, measured),
        "softirq": read_cpu.softirq_rows(raw, measured),
        "softirq_time": read_cpu.softirq_time_rows(raw, measured),
        "irq": read_cpu.irq_rows(raw, measured),
        "irq_time": read_cpu.irq_time_rows(raw, measured),
        "softnet": read_cpu.softnet_rows(raw, measured),
        "ipvs_cpu": read_cpu.ipvs_cpu_rows(raw, measured),
        "network": read_net.network_rows(raw, measured),
        "qdisc": read_limits.qdisc_rows(raw, measured),
        "ports": read_limits.port_rows(raw, measured),
        "counters": counters,
        "probed": probed,
        "web_share": read_net.web_share_rows(raw, measured),
        "listen": read_net.listen_rows(raw, measured),
        "conntrack": read_net.conntrack_rows(raw, measured),
        "director_sockets": read_limits.director_socket_rows(raw, measured),
        "haproxy": read_limits.haproxy_rows(raw, measured),
        "engine": read_net.engine_rows(raw, measured),
    }
    return rows, raw.problems


def content_digest(run: RunDir) -> str:
    """SHA-256 over the files that tables are made of, and over the code that makes them."""
    total = hashlib.sha256(bmtlib.__version__.encode())
    sources = [path for pattern in _READERS for path in sorted(_PACKAGE.glob(pattern))]
    raw = [path for path in sorted((run.path / "cases").rglob("*")) if path.is_file()]
    for path in [*sources, run.path / "run.json", run.path / "plan.json", run.path / "knee.json", *raw]:
        base = _PACKAGE if path.is_relative_to(_PACKAGE) else run.path
        total.update(f"\0{path.relative_to(base)}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest() if path.exists() else b"-")
    return total.hexdigest()


def _load_cache(run: RunDir, digest: str) -> dict[str, pd.DataFrame] | None:
    frames = {}
    for name, columns in COLUMNS.items():
        try:
            found = pd.read_parquet(run.path / "tables" / f"{name}.parquet")
            if found.attrs.pop(_DIGEST, None) != digest:
                return None
            frames[name] = found[list(columns)].astype(columns)
        except (OSError, ValueError, KeyError, TypeError, pyarrow.ArrowException):
            return None
    return frames


def _save_cache(run: RunDir, digest: str, frames: dict[str, pd.DataFrame]) -> None:
    try:
        for name, table in frames.items():
            run.write(f"tables/{name}.parquet", parquet(table, {_DIGEST: digest}))
    except BmtError:
        return  # read-only, or no room: the tables are there all the same


def parquet(table: pd.DataFrame, attrs: dict[str, Any] | None = None) -> bytes:
    """A table as the content of a Parquet file, with `attrs` in its metadata."""
    marked, buffer = table.copy(deep=False), io.BytesIO()
    marked.attrs.update(attrs or {})
    marked.to_parquet(buffer, index=False)
    return buffer.getvalue()
