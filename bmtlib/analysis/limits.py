"""What a run cannot show, worked out from what it was: testbed, engines, load, repetitions, and what went wrong."""

from __future__ import annotations

import pandas as pd

from bmtlib.analysis.compare import df_guards, df_ratio, df_waits
from bmtlib.analysis.naming import bare_level, loop, percent
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import BUSY_KINDS, done
from bmtlib.cpus import to_list
from bmtlib.parsers.stat import TICKS_PER_S
from bmtlib.stats import FEWEST_BLOCKS

_LONG_S = 60.0  # TIME_WAIT lasts as long; connection tables and port ranges fill up on this scale
_FEW_TICKS = 50  # of the director's CPU time in a case: below, one tick is worth 2 % of it
_STEAL = 0.01

_CLOSED = (
    "The load is a closed loop: a client sends its next request when an answer has come, so a slower arm is asked less "
    "often. Waits at a given rate of requests are another question."
)
_OPEN = (
    "The load is an open loop: requests are due at a fixed rate, and waits count from then, whatever became of earlier "
    "requests. How many requests/s an arm can answer at the most is another question."
)


def limits(tables: Tables) -> list[str]:
    """One sentence for each thing that this run cannot show, the most general first."""
    found = [*_testbed(tables), *_engines(tables), *_load(tables), *_repetitions(tables), *_faults(tables)]
    return [sentence for sentence in found if sentence]


def _testbed(tables: Tables) -> list[str]:
    run = tables.run
    placement, hosts = run.get("placement") or {}, run.get("hosts") or []
    others = [host for host in hosts if host["role"] != "director"]
    sentences = []
    if run.get("fidelity") == "namespace":
        sentences.append(
            "All hosts are namespaces of one kernel: there is no network card, no card interrupt, no ring, no wire and "
            "no line rate. Costs can be compared; absolute figures are not those of a network."
        )
    if run.get("fidelity") == "emulated":
        sentences.append("The director is emulated: only ratios between arms can be meant, never absolute figures.")
    machine = run.get("machine") or {}
    if machine.get("vcpus", 0) > len(machine.get("cpus") or []):
        sentences.append(
            f"The director's {machine['vcpus']} CPUs run on {len(machine['cpus'])} of this machine: what a further CPU "
            "brings the director does not show."
        )
    if not placement.get("separate", True):
        sentences.append("The director shares its CPUs with the other hosts: its cost cannot be told from theirs.")
    elif others and run.get("other_cpus"):
        cpus = to_list(run["other_cpus"])
        sentences.append(
            f"All {len(others)} clients and web hosts share CPU {cpus}: once it is full, its work is what limits."
        )
    if placement.get("rps") is False:
        sentences.append(
            "Packets could not be bound to the CPUs of their host (RPS): part of the director's work is on other CPUs."
        )
    return sentences


def _engines(tables: Tables) -> list[str]:
    cases = done(tables)
    nft = cases.loc[cases["engine"] == "nft", "arm"].unique()
    if not len(nft):
        return []
    return [
        f"{' and '.join(nft)} ran on nftables, not on LVS: it picks the web host by a hash of the client's address and "
        "port, keeps no table of connections and has no scheduler. LVS may cost more."
    ]


def _load(tables: Tables) -> list[str]:
    cases = done(tables)
    if cases.empty:
        return []
    sentences = [_OPEN if loop(tables) == "open" else _CLOSED]
    keepalive = set(cases["keepalive"].dropna())
    if keepalive == {False}:
        sentences.append("Every request is a TCP connection of its own: the figures are connections/s too.")
    scale = ("offered_per_s", "offered rate") if loop(tables) == "open" else ("concurrency", "concurrency")
    for column, what in (("file_size_bytes", "file size"), scale):
        values = cases[column].dropna().unique()
        if len(values) == 1:
            only = bare_level(column, values[0])
            sentences.append(f"Only one {what} was measured ({only}): nothing is known of others.")
    longest = cases["window_s"].max()
    if longest < _LONG_S:
        sentences.append(
            f"A case lasted {longest:.0f} s at the most: what needs a minute to build up (TIME_WAIT, full tables) "
            "is not seen."
        )
    middle = df_waits(tables)["p50_ms"].min()
    engines = set(cases["load_engine"].dropna())
    if engines & {"wrk", "h2load"}:
        sentences.append("The waits begin when a request is sent: the time to connect is not in them.")
    if middle < 5 and "ab" in engines:
        sentences.append(f"ab writes waits in whole milliseconds, which is coarse for a median of {middle:.0f} ms.")
    return sentences


def _repetitions(tables: Tables) -> list[str]:
    ratios = df_ratio(tables)
    ratios = ratios[(ratios["measure"] == "requests_per_s") & (ratios["n"] > 0)]
    if ratios.empty:
        return []
    fewest = int(ratios["n"].min())
    if fewest < FEWEST_BLOCKS:
        return [f"With {fewest} block{'s' if fewest > 1 else ''} to compare there is no interval: no ratio is decided."]
    reach = max((ratios["high"] / ratios["ratio"] - 1).max(), (1 - ratios["low"] / ratios["ratio"]).max())
    unseen = percent(max(reach, 0.01))
    text = f"With {fewest} blocks, less than about {unseen} more or fewer requests/s would not have shown."
    if fewest < 6:
        text += " The interval of so few rests on the assumption that blocks scatter normally (Student's t)."
    if looks := (tables.run.get("stopping") or {}).get("looks"):
        times = f"{len(looks)} time{'s' if len(looks) > 1 else ''}"
        text += (
            f" The interval was looked at {times} and could have ended the run: one that may end it holds a little "
            "less often than it says."
        )
    return [text]


def _faults(tables: Tables) -> list[str]:
    sentences = []
    guards = df_guards(tables)
    needed = tables.cases[tables.cases["status"] != "not needed"]
    not_done, marks = (needed["status"] != "done").sum(), (guards["verdict"] == "mark").sum()
    if not_done:
        sentences.append(f"{not_done} of {len(needed)} cases are not done and take no part in any figure.")
    if marks:
        cases = guards.loc[guards["verdict"] == "mark", "case"].nunique()
        sentences.append(f"{cases} case{' carries a mark' if cases == 1 else 's carry marks'} of the guards.")
    if len(tables.problems):
        sentences.append(
            f"Raw files that were not understood: {len(tables.problems)}. What they hold is missing from the figures."
        )
    cpu = tables.cpu[tables.cpu["case"].isin(done(tables)["case"])]
    total = cpu["cpu_s"].sum()
    if total and cpu.loc[cpu["cpu_kind"] == "steal", "cpu_s"].sum() / total > _STEAL:
        share = cpu.loc[cpu["cpu_kind"] == "steal", "cpu_s"].sum() / total
        sentences.append(f"Other guests of the hypervisor took {percent(share)} of this machine's CPU time.")
    return [*sentences, *_coarse_cpu(tables, cpu)]


def _coarse_cpu(tables: Tables, cpu: pd.DataFrame) -> list[str]:
    through = done(tables).loc[lambda cases: cases["kind"] != "direct", "case"]
    mine = cpu[(cpu["role"] == "director") & cpu["cpu_kind"].isin(BUSY_KINDS) & cpu["case"].isin(through)]
    ticks = mine.groupby("case")["cpu_s"].sum().min() * TICKS_PER_S
    if not ticks < _FEW_TICKS:
        return []
    step_ms = 1000 // TICKS_PER_S
    return [
        f"CPU time is counted in steps of {step_ms} ms, and the director used only {ticks:.0f} of them in one case."
    ]
