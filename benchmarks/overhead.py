"""What bmtlib itself costs, on this machine, now: prints figures, judges nothing.

    .venv/bin/python benchmarks/overhead.py [--pairs 5] [--vm | --study]

0. With --vm nothing but this: a virtual director's boot, the first request it forwards, and 2. on it. With --study
   nothing but 2. by phases in a lab of the study's size (25 web hosts, 200 clients), and a switch of tunings.
1. A lab of 25 web hosts, 30 clients and a director: time until every web host answers, and until it is gone.
2. One case: seconds beside warm-up and load.
3. requests/s of ab under bmtlib against the same ab commands from a bare shell script, in the same lab, pair by pair.
4. The report of the last run folder given by --run (default data/demo), built twice: without and with its table cache.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bmtlib.hosts.host import WORK
from bmtlib.hosts.netns import NetnsHost, environment
from bmtlib.measure.case import CaseRun
from bmtlib.measure.load import ab_command
from bmtlib.measure.preflight import PROOF_BYTES, fetch
from bmtlib.measure.ready import Ready, check
from bmtlib.measure.session import Session
from bmtlib.parsers import ab
from bmtlib.plan import Case
from bmtlib.run import Loaded, load
from bmtlib.rundir import RunDir
from bmtlib.setup.nginx import file_name


def silent(*args: Any, **fields: Any) -> None:
    """Where a case tells of its phases."""


def open_session(loaded: Loaded, ready: Ready) -> Session:
    return Session(loaded.plan, ready, run_id="benchmark")


def case_times(session: Session, cases: Iterable[Case], folder: RunDir) -> None:
    for case in cases:
        record = CaseRun(case, session, folder, silent).run()
        beside = sum(record["phase_s"].values()) - record["phase_s"].get("warmup", 0) - (record["window_s"] or 0)
        print(
            f"  case {case.id}: {record['status']}, {beside:.2f} s beside warm-up and load, skew {record['skew_ms']} ms"
        )


def vm_times(folder: RunDir) -> None:
    loaded = load("quick", "vm", ["repetitions=2", "load.seconds=4", "load.warmup_seconds=1"])
    ready = check(loaded.plan)
    started = time.monotonic()
    with open_session(loaded, ready) as session:
        about = session.lab.about or {}
        print(f"virtual director ({about['accelerator']}, {about['vcpus']} vCPUs): SSH open after {about['boot_s']} s")
        run = CaseRun(next(case for case in loaded.plan.cases if case.kind == "l2dsr"), session, folder, silent)
        run.in_place.put()
        fetch(session.lab.role("client")[0], f"{WORK}/first", [f"{run.base}/preflight/{file_name(PROOF_BYTES)}"])
        print(f"  first request forwarded after {time.monotonic() - started:.1f} s, tuning and web hosts included")
        run.in_place.take_down()
        case_times(session, loaded.plan.cases, folder)


def lab_times(folder: RunDir) -> None:
    settings = ["webs=25", "clients=30", "repetitions=1", "load.seconds=2", "load.warmup_seconds=1"]
    loaded = load("quick", settings=settings)
    ready = check(loaded.plan)
    started = time.monotonic()
    session = open_session(loaded, ready)
    built = time.monotonic() - started
    case = next(case for case in loaded.plan.cases if case.kind == "direct")
    run = CaseRun(case, session, folder, silent)
    run.prove()
    answering = time.monotonic() - started
    print(f"lab of 56 hosts: up in {built:.2f} s, every web host has answered after {answering:.2f} s")
    case_times(session, loaded.plan.cases, folder)
    started = time.monotonic()
    session.close()
    print(f"  down in {time.monotonic() - started:.2f} s")


def study_times(folder: RunDir, rounds: int) -> None:
    """Cases of three arms, so many times, with a load that is small: it is what is beside it that is asked."""
    settings = ["webs=25", "clients=200", "repetitions=1", "load.seconds=3", "load.concurrency=400"]
    loaded = load("quick", settings=[*settings, "factors={tuning: [seed, recommended]}"])
    ready = check(loaded.plan)
    phases: dict[str, list[float]] = {}
    switches = []
    with open_session(loaded, ready) as session:
        cases = [case for case in loaded.plan.cases if case.tuning == session.tuning]
        for case in cases * rounds:
            record = CaseRun(case, session, folder, silent).run()
            spent = {**record["phase_s"], "load": record["phase_s"]["load"] - (record["window_s"] or 0)}
            for phase, seconds in spent.items():
                phases.setdefault(phase, []).append(seconds)
        for tuning in ["recommended", "seed"] * 3:
            started = time.monotonic()
            session.tune(tuning)
            switches.append(time.monotonic() - started)
    print(f"a case at 226 hosts, median and range of {len(cases) * rounds}, seconds (load: beside its window)")
    for phase, found in phases.items():
        print(f"  {phase:10} {statistics.median(found):5.2f}  {min(found):5.2f} - {max(found):5.2f}")
    beside = sum(statistics.median(found) for phase, found in phases.items() if phase not in ("warmup", "load"))
    print(f"  beside warm-up and load: {beside:.2f}, the sum of the medians")
    done = sorted(switches[1:])  # the first may have been none
    print(f"  a switch of tunings: {statistics.median(done):.2f}  {done[0]:.2f} - {done[-1]:.2f}")


def bare_load(session: Session, run: CaseRun) -> list[ab.AbRow]:
    """The case's ab commands from one shell script: all in the background, then wait. What each of them printed."""
    hosts = session.lab.hosts
    with tempfile.TemporaryDirectory() as folder:
        lines = []
        for part in run.parts:
            host = hosts[part.client]
            assert isinstance(host, NetnsHost)
            command = host.enter(
                ["taskset", "-c", ",".join(map(str, sorted(host.cpus))), *ab_command(part, run.case.load, rows=None)]
            )
            # A session of its own, as each of ours has: the kernel's autogroups share CPU time out by session.
            lines.append(f"setsid --wait {shlex.join(command)} > {shlex.quote(folder)}/{part.client} 2>/dev/null &")
        script = "\n".join([*lines, "wait"])
        subprocess.run(["sh", "-c", script], check=True, env=environment(), timeout=900)
        return [ab.parse((Path(folder) / part.client).read_text())[0] for part in run.parts]


def bare_rate(session: Session, run: CaseRun) -> float:
    """requests/s of the case's ab commands from one shell script."""
    rows = bare_load(session, run)
    return sum(row["completed"] for row in rows) / max(row["duration_s"] for row in rows)


def our_rate(session: Session, case: Case, folder: RunDir) -> float:
    record = CaseRun(case, session, folder, silent).run()
    return float(
        sum(client["completed"] for client in record["clients"])
        / max(client["seconds"] for client in record["clients"])
    )


def pairs(folder: RunDir, count: int) -> None:
    loaded = load("quick", settings=["repetitions=1", "load.seconds=4"])
    ready = check(loaded.plan)
    with open_session(loaded, ready) as session:
        for kind in ("l2dsr", "direct"):
            case = next(case for case in loaded.plan.cases if case.kind == kind)
            ratios = []
            for number in range(count):
                run = CaseRun(case, session, folder, silent)
                first_ours = number % 2 == 0
                ours = our_rate(session, case, folder) if first_ours else 0.0
                run.in_place.put()
                run.warm_up()
                bare = bare_rate(session, run)
                run.in_place.take_down()
                ours = ours or our_rate(session, case, folder)
                ratios.append(ours / bare)
                figures = f"bmtlib {ours:,.0f}/s, bare shell {bare:,.0f}/s, ratio {ratios[-1]:.3f}"
                print(f"  {kind} pair {number + 1}: {figures}")
            print(f"requests/s, bmtlib / bare shell, {kind}: median {statistics.median(ratios):.3f} of {count} pairs")


def report_times(run: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / run.name
        shutil.copytree(run, copy)
        shutil.rmtree(copy / "tables", ignore_errors=True)
        for what in ("first", "second"):
            started = time.monotonic()
            subprocess.run([sys.executable, "-m", "bmtlib", "report", str(copy)], check=True, stdout=subprocess.DEVNULL)
            print(f"report of {run.name}, {what} time: {time.monotonic() - started:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--run", type=Path, default=Path(__file__).parent.parent / "data" / "demo")
    parser.add_argument("--vm", action="store_true")
    parser.add_argument("--study", action="store_true")
    options = parser.parse_args()
    if options.vm:
        with tempfile.TemporaryDirectory() as folder:
            vm_times(RunDir(folder))
        return
    with tempfile.TemporaryDirectory() as folder:
        if options.study:
            study_times(RunDir(folder), options.pairs)
            return
        lab_times(RunDir(folder))
        pairs(RunDir(folder), options.pairs)
    report_times(options.run)


if __name__ == "__main__":
    main()
