"""What a run cannot show, worked out from what it was: testbed, engines, load, repetitions, and what went wrong."""

from __future__ import annotations

import pandas as pd

from bmtlib.analysis.compare import df_guards, df_ratio, df_waits
from bmtlib.analysis.naming import bare_level, enumerated, level, loop, percent
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import BUSY_KINDS, done
from bmtlib.cpus import to_list
from bmtlib.parsers.stat import TICKS_PER_S
from bmtlib.stats import FEWEST_BLOCKS
from bmtlib.texts import msg, say, say_n, translated

_LONG_S = 60.0  # TIME_WAIT lasts as long; connection tables and port ranges fill up on this scale
_FEW_TICKS = 50  # of the director's CPU time in a case: below, one tick is worth 2 % of it
_STEAL = 0.01

_CLOSED = msg(
    "The load is a closed loop: a client sends its next request when an answer has come, so a slower arm is asked less "
    "often. Waits at a given rate of requests are another question."
)
_OPEN = msg(
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
            say(
                "All hosts are namespaces of one kernel: there is no network card, no card interrupt, no ring, no wire "
                "and no line rate. Costs can be compared; absolute figures are not those of a network."
            )
        )
    if run.get("fidelity") == "emulated":
        sentences.append(
            say("The director is emulated: only ratios between arms can be meant, never absolute figures.")
        )
    machine = run.get("machine") or {}
    if machine.get("vcpus", 0) > len(machine.get("cpus") or []):
        sentences.append(
            say(
                "The director's {count} CPUs run on {real} of this machine: what a further CPU "
                "brings the director does not show.",
                count=machine["vcpus"],
                real=len(machine["cpus"]),
            )
        )
    if not placement.get("separate", True):
        sentences.append(say("The director shares its CPUs with the other hosts: its cost cannot be told from theirs."))
    elif others and run.get("other_cpus"):
        cpus = to_list(run["other_cpus"])
        sentences.append(
            say(
                "All {count} clients and web hosts share CPU {cpus}: once it is full, its work is what limits.",
                count=len(others),
                cpus=cpus,
            )
        )
    if placement.get("rps") is False:
        sentences.append(
            say(
                "Packets could not be bound to the CPUs of their host (RPS): part of the director's work is on other "
                "CPUs."
            )
        )
    return sentences


def _engines(tables: Tables) -> list[str]:
    cases = done(tables)
    nft = cases.loc[cases["engine"] == "nft", "arm"].unique()
    if not len(nft):
        return []
    return [
        say(
            "{arms} ran on nftables, not on LVS: it picks the web host by a hash of the client's address and "
            "port, keeps no table of connections and has no scheduler. LVS may cost more.",
            arms=enumerated([str(arm) for arm in nft]),
        )
    ]


def _load(tables: Tables) -> list[str]:
    cases = done(tables)
    if cases.empty:
        return []
    sentences = [translated(_OPEN if loop(tables) == "open" else _CLOSED)]
    keepalive = set(cases["keepalive"].dropna())
    if keepalive == {False}:
        sentences.append(say("Every request is a TCP connection of its own: the figures are connections/s too."))
    one_rate = msg("Only one offered rate was measured ({level}): nothing is known of others.")
    one_concurrency = msg("Only one concurrency was measured ({level}): nothing is known of others.")
    scale = ("offered_per_s", one_rate) if loop(tables) == "open" else ("concurrency", one_concurrency)
    one_size = msg("Only one file size was measured ({level}): nothing is known of others.")
    for column, text in (("file_size_bytes", one_size), scale):
        values = cases[column].dropna().unique()
        if len(values) == 1:
            only = bare_level(column, values[0]) if column == "concurrency" else level(column, values[0])
            sentences.append(say(text, level=only))
    longest = cases["window_s"].max()
    if longest < _LONG_S:
        sentences.append(
            say(
                "A case lasted {seconds} s at the most: what needs a minute to build up (TIME_WAIT, full tables) "
                "is not seen.",
                seconds=f"{longest:.0f}",
            )
        )
    middle = df_waits(tables)["p50_ms"].min()
    engines = set(cases["load_engine"].dropna())
    if engines & {"wrk", "h2load"}:
        sentences.append(say("The waits begin when a request is sent: the time to connect is not in them."))
    if middle < 5 and "ab" in engines:
        coarse = say(
            "ab writes waits in whole milliseconds, which is coarse for a median of {median} ms.",
            median=f"{middle:.0f}",
        )
        sentences.append(coarse)
    return sentences


def _repetitions(tables: Tables) -> list[str]:
    ratios = df_ratio(tables)
    ratios = ratios[(ratios["measure"] == "requests_per_s") & (ratios["n"] > 0)]
    if ratios.empty:
        return []
    fewest = int(ratios["n"].min())
    if fewest < FEWEST_BLOCKS:
        return [
            say_n(
                "With {n} block to compare there is no interval: no ratio is decided.",
                "With {n} blocks to compare there is no interval: no ratio is decided.",
                fewest,
            )
        ]
    reach = max((ratios["high"] / ratios["ratio"] - 1).max(), (1 - ratios["low"] / ratios["ratio"]).max())
    unseen = percent(max(reach, 0.01))
    texts = [
        say(
            "With {blocks} blocks, less than about {share} more or fewer requests/s would not have shown.",
            blocks=fewest,
            share=unseen,
        )
    ]
    if fewest < 6:
        texts.append(say("The interval of so few rests on the assumption that blocks scatter normally (Student's t)."))
    if looks := (tables.run.get("stopping") or {}).get("looks"):
        texts.append(
            say_n(
                "The interval was looked at {n} time and could have ended the run: one that may end it holds a little "
                "less often than it says.",
                "The interval was looked at {n} times and could have ended the run: one that may end it holds a little "
                "less often than it says.",
                len(looks),
            )
        )
    return [" ".join(texts)]


def _faults(tables: Tables) -> list[str]:
    sentences = []
    guards = df_guards(tables)
    needed = tables.cases[tables.cases["status"] != "not needed"]
    not_done, marks = (needed["status"] != "done").sum(), (guards["verdict"] == "mark").sum()
    if not_done:
        sentences.append(
            say(
                "{count} of {total} cases are not done and take no part in any figure.",
                count=not_done,
                total=len(needed),
            )
        )
    if marks:
        cases = guards.loc[guards["verdict"] == "mark", "case"].nunique()
        sentences.append(say_n("{n} case carries a mark of the guards.", "{n} cases carry marks of the guards.", cases))
    if len(tables.problems):
        sentences.append(
            say(
                "Raw files that were not understood: {count}. What they hold is missing from the figures.",
                count=len(tables.problems),
            )
        )
    cpu = tables.cpu[tables.cpu["case"].isin(done(tables)["case"])]
    total = cpu["cpu_s"].sum()
    if total and cpu.loc[cpu["cpu_kind"] == "steal", "cpu_s"].sum() / total > _STEAL:
        share = cpu.loc[cpu["cpu_kind"] == "steal", "cpu_s"].sum() / total
        sentences.append(
            say("Other guests of the hypervisor took {share} of this machine's CPU time.", share=percent(share))
        )
    return [*sentences, *_coarse_cpu(tables, cpu)]


def _coarse_cpu(tables: Tables, cpu: pd.DataFrame) -> list[str]:
    through = done(tables).loc[lambda cases: cases["kind"] != "direct", "case"]
    mine = cpu[(cpu["role"] == "director") & cpu["cpu_kind"].isin(BUSY_KINDS) & cpu["case"].isin(through)]
    ticks = mine.groupby("case")["cpu_s"].sum().min() * TICKS_PER_S
    if not ticks < _FEW_TICKS:
        return []
    step_ms = 1000 // TICKS_PER_S
    return [
        say(
            "CPU time is counted in steps of {step_ms} ms, and the director used only {ticks} of them in one case.",
            step_ms=step_ms,
            ticks=f"{ticks:.0f}",
        )
    ]
