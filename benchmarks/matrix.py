"""Cells of the seed study under bmtlib, and the same ab commands from a bare shell script, in turns in one lab.

    .venv/bin/python benchmarks/matrix.py                                  # 30,000 connections, both arms, one pair
    .venv/bin/python benchmarks/matrix.py --concurrency 200000 --pairs 3   # 226 hosts

Prints, for each pair, seconds of load and their ratio; seconds that the case took beside its load; how far apart the
clients were let go; and what reading the case's raw files took. Judges nothing. As root, or clients wait for each other
in the scheduler. Compare within one run.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from overhead import bare_load, open_session, silent

from bmtlib.analysis.tables import read_tables
from bmtlib.measure import recorded
from bmtlib.measure.case import CaseRun
from bmtlib.measure.new_run import create_run
from bmtlib.measure.ready import check
from bmtlib.measure.session import Session
from bmtlib.plan import Case
from bmtlib.run import Loaded, load
from bmtlib.rundir import RunDir


def pair(session: Session, case: Case, folder: RunDir, *, ours_first: bool) -> float:
    """Seconds of load under bmtlib / from the shell; prints both."""
    found: dict[str, float] = {}
    for who in ("bmtlib", "shell") if ours_first else ("shell", "bmtlib"):
        run = CaseRun(case, session, folder, silent)
        if who == "bmtlib":
            record = run.run()
            found[who] = record["window_s"] or float("nan")
            beside = sum(record["phase_s"].values()) - record["phase_s"].get("load", 0)
            counts = record["requests"]
            print(
                f"    bmtlib: {record['status']}, {found[who]:.1f} s of load, {beside:.1f} s beside it; "
                f"{counts['completed']:,} answered, {counts['failed']:,} failed; clients let go within "
                f"{record['skew_p99_ms']} ms (99 %)"
            )
        else:
            run.in_place.put()
            began = time.monotonic()
            rows = bare_load(session, run)
            found[who] = time.monotonic() - began
            run.in_place.take_down()
            print(
                f"    shell:  {found[who]:.1f} s, {sum(row['completed'] for row in rows):,} requests of {len(rows)} ab"
            )
    return found["bmtlib"] / found["shell"]


def reading(loaded: Loaded, folder: RunDir) -> None:
    began = time.monotonic()
    tables = read_tables(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    kept = sum(path.stat().st_blocks * 512 for path in folder.path.rglob("*") if path.is_file()) / 1e6
    requests = int(tables.waits["requests"].sum())
    print(f"tables of {requests:,} requests: {time.monotonic() - began:.1f} s, this process at most {peak:.0f} MiB")
    print(f"raw files on disk: {kept:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concurrency", type=int, default=30_000)
    parser.add_argument("--arms", nargs="+", default=["l2dsr", "proxy"], choices=["l2dsr", "proxy"])
    parser.add_argument("--pairs", type=int, default=1)
    options = parser.parse_args()
    clients = -(-options.concurrency // 1000)
    settings = [
        f"clients={clients}",
        "factors={threads: [1]}",
        f"load.concurrency={options.concurrency}",
        "tuning=seed",
    ]
    loaded = load("seed-matrix", settings=settings)
    with tempfile.TemporaryDirectory() as out:
        ready = check(loaded.plan)
        folder = create_run(loaded.plan, loaded.name, out, loaded.texts)
        with open_session(loaded, ready) as session:
            recorded.record(session, folder)
            folder.write_json("run.json", folder.run_json() | {"hosts": recorded.describe(session)})
            for kind in options.arms:
                case = next(case for case in loaded.plan.cases if case.kind == kind)
                print(f"{kind}, {options.concurrency:,} connections, {clients} clients, 25 web hosts", flush=True)
                ratios = [pair(session, case, folder, ours_first=number % 2 == 0) for number in range(options.pairs)]
                print(f"  time of load, bmtlib / shell: median {statistics.median(ratios):.2f} of {options.pairs}")
        reading(loaded, folder)


if __name__ == "__main__":
    main()
