"""Can a comparison be trusted? The same arms must not be called different, and a handicap must be found.

    .venv/bin/python benchmarks/trust.py [--runs 10] [--keep DIR] [--only same|handicap]

Runs benchmarks/trust.yml (a proxy against the same proxy) so many times as it is: at most one run in ten may call them
different. Then as often with arm b at a disadvantage: while its cases run, a program of real-time priority takes a
tenth of the director's CPU. At least nine runs in ten must find b lower. Judged is what the interval says of
requests/s; a report also obeys marks of guards, and where clients have few CPUs these mark nearly every case. One
line per run; exit code 0 when both hold, 1 when not. A run takes about a minute on a quiet machine, and up to two and
a half where blocks lie far apart. Needs root and a director of one CPU.
"""

from __future__ import annotations

import argparse
import collections
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bmtlib.analysis.compare import df_ratio, df_trials
from bmtlib.analysis.tables import read_tables
from bmtlib.measure.ready import check
from bmtlib.measure.runner import run_plan
from bmtlib.plan import plan_from_json
from bmtlib.run import load, start
from bmtlib.rundir import RunDir

HANDICAP = 0.10
PERIOD_S = 0.005
MOST_DIFFERENT, FEWEST_FOUND = 0.1, 0.9  # of the runs


def hold(cpu: int) -> None:
    """Take HANDICAP of the CPU's time, before everybody else, until killed.

    Counted in pieces of work and not in time: interrupts go on meanwhile, and their time is not lost to the director.
    What a piece is worth in time is the lower quartile of the latest pieces, most of which no interrupt met: the same
    work takes longer once the rest of the machine is busy, so it cannot be tried beforehand.
    """
    os.sched_setaffinity(0, {cpu})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    latest = collections.deque((_piece() for _ in range(200)), maxlen=200)
    begin = time.perf_counter()
    while True:
        for _ in range(round(HANDICAP * PERIOD_S / sorted(latest)[len(latest) // 4])):
            latest.append(_piece())
        begin = max(begin + PERIOD_S, time.perf_counter() - PERIOD_S)  # late by more: not made up for at once
        time.sleep(max(0.0, begin - time.perf_counter()))


def _piece() -> float:
    """The seconds that a piece of work took: some 10 us."""
    begin = time.perf_counter()
    for _ in range(500):
        pass
    return time.perf_counter() - begin


class Handicapped(RunDir):
    """A run folder that is told of every step of its run, and holds the director's CPU while arm b is measured."""

    holder: subprocess.Popen[bytes] | None = None

    def event(self, step: str, state: str, **fields: object) -> None:
        super().event(step, state, **fields)
        if step == "case" and state == "start" and fields.get("arm") == "b":
            cpus = self.run_json()["director_cpus"]
            assert len(cpus) == 1, "the director has one CPU in this benchmark"
            self.holder = subprocess.Popen([sys.executable, __file__, "--hold", str(cpus[0])])
        elif step != "case" or state in ("done", "failed", "rejected", "interrupted"):
            self.release()

    def release(self) -> None:
        if self.holder is not None:
            assert self.holder.poll() is None, "what holds the CPU ended by itself"
            self.holder.kill()
            self.holder.wait()
            self.holder = None


def one_run(out: Path, seed: int, kind: type[RunDir]) -> dict[str, Any]:
    """A run with an order of its own: its row of df_ratio for requests/s, and how far its blocks lie apart."""
    loaded = load(str(Path(__file__).with_name("trust.yml")), settings=[f"seed={seed}"])
    folder = kind(start(loaded, out).path)
    plan = plan_from_json((folder.path / "plan.json").read_text())
    try:
        run_plan(plan, folder, check(plan))
    finally:
        if isinstance(folder, Handicapped):
            folder.release()
    tables = read_tables(folder)
    ratios, trials = df_ratio(tables), df_trials(tables)
    row = ratios[ratios["measure"] == "requests_per_s"].iloc[0].to_dict()
    said = "higher" if row["low"] > 1 else "lower" if row["high"] < 1 else "undecided"
    figures = {str(name): value for name, value in row.items()} | {"verdict": said}
    return figures | {"rate": trials["requests_per_s"].median()}


def series(name: str, out: Path, runs: int, kind: type[RunDir]) -> list[str]:
    print(f"{name}: b against a\n run  requests/s  b / a   95 % interval   blocks  verdict")
    verdicts = []
    for number in range(1, runs + 1):
        row = one_run(out / name, number, kind)
        figures = f"{row['rate']:10,.0f}  {row['ratio']:.3f}   {row['low']:.3f} - {row['high']:.3f}   {row['n']:6}"
        print(f"{number:4}  {figures}  {row['verdict']}", flush=True)
        verdicts.append(str(row["verdict"]))
    return verdicts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--only", choices=["same", "handicap"])
    parser.add_argument("--keep", type=Path, help="keep the run folders there")
    parser.add_argument("--hold", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.hold is not None:
        hold(options.hold)
    good = True
    with tempfile.TemporaryDirectory() as folder:
        out = options.keep or Path(folder)
        if options.only != "handicap":
            different = sum(verdict != "undecided" for verdict in series("same", out, options.runs, RunDir))
            good = different <= max(1, MOST_DIFFERENT * options.runs)
            print(f"called different: {different} of {options.runs}\n")
        if options.only != "same":
            found = series("handicap", out, options.runs, Handicapped).count("lower")
            good = good and found >= FEWEST_FOUND * options.runs
            print(f"the handicap of {HANDICAP:.0%} was found: {found} of {options.runs}")
    print("the comparison can be trusted" if good else "the comparison cannot be trusted")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
