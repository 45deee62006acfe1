"""The claims of the seed study, each with the rule that decides it here, or with what a test of it would need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from bmtlib.analysis.claims import judged
from bmtlib.analysis.judged import Judged, all_of, sentence
from bmtlib.analysis.link_claim import judge_link_claim
from bmtlib.analysis.metrics import df_metrics
from bmtlib.analysis.naming import loop, number
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import once
from bmtlib.params.claim import Claim
from bmtlib.texts import msg, say

# Testbeds whose director has a network card with rings and interrupts of its own.
_WITH_CARD = ("emulated", "virtual", "physical")


@dataclass(frozen=True, kw_only=True)
class SeedClaim:
    """text: what the study says. rule: how it is decided, in words; `judge` does it. needs: the scenario that can.

    fidelity: testbeds that can show it, empty: any; lacks: what the others do not have
    """

    text: str
    rule: str
    needs: str
    judge: Callable[[Tables], Judged]
    fidelity: tuple[str, ...] = ()
    lacks: str = ""


@once
def df_seed_claims(tables: Tables) -> pd.DataFrame:
    """One row per claim of the seed study: claim, result (see data/README.md), evidence, rule, needs."""
    rows = []
    for claim in SEED_CLAIMS:
        found = judge(tables, claim)
        own = {"claim": say(claim.text), "rule": say(claim.rule), "needs": say(claim.needs)}
        rows.append({**own, "result": found.result, "evidence": found.evidence})
    return pd.DataFrame(rows, columns=["claim", "result", "evidence", "rule", "needs"]).astype("string")


def judge(tables: Tables, claim: SeedClaim) -> Judged:
    """What a run says of a claim of the study; where it cannot test it, the evidence names what could."""
    if claim.fidelity and tables.run.get("fidelity") not in claim.fidelity:
        found = _no(say(claim.lacks))
    else:
        found = claim.judge(tables)
    evidence = sentence(found.evidence)
    if found.verdict != "not testable here":
        return replace(found, evidence=evidence)
    needs = say(claim.needs)
    if needs not in evidence:
        evidence = say("{why} To test it: {needs}.", why=evidence, needs=needs)
    return replace(found, evidence=evidence, decide=needs)


def _no(why: str) -> Judged:
    return Judged(verdict="not testable here", evidence=why)


def _by(tables: Tables, note: str = "", **claim: Any) -> Judged:
    """Judged as a scenario's claim: by the same rule and words. What was not measured is not testable here."""
    found = judged(tables, Claim.model_validate({"text": "of the seed study", **claim}))
    said = replace(found, evidence=f"{found.evidence} {note}".rstrip())
    return said if found.found.n else replace(said, verdict="not testable here", agrees=None)


def _arm(tables: Tables, kind: str) -> str | None:
    cases = tables.cases
    return next((arm for arm in tables.arms if (cases.loc[cases["arm"] == arm, "kind"] == kind).any()), None)


def _levels(tables: Tables, kind: str, factor: str) -> list[Any]:
    """Levels of a factor that an arm of this kind was measured at, in order."""
    found = df_metrics(tables)
    if factor not in found:
        return []
    return sorted(found.loc[(found["kind"] == kind) & found[factor].notna(), factor].unique())


def _ten_per_cent(tables: Tables) -> Judged:
    l2dsr, proxy = _arm(tables, "l2dsr"), _arm(tables, "proxy")
    cases = tables.cases
    small = cases[cases["file_size_bytes"] == 5120]
    if not l2dsr or not proxy:
        return _no(say("the scenario does not compare l2dsr with a proxy"))
    if loop(tables) == "open":
        return _no(say("requests are offered at a rate here, and all arms that bear it answer as many"))
    mine = small[small["arm"] == proxy]
    if not (mine["threads"] == 1).any() or small[small["arm"] == l2dsr].empty:
        return _no(say("there is no case of both arms with 5 KiB and one HAProxy thread"))
    of: dict[str, Any] = {"arm": l2dsr, "levels": {}}
    over: dict[str, Any] = {"arm": proxy, "levels": {}}
    if "file_size_bytes" in tables.factors:
        of["levels"]["file_size"] = over["levels"]["file_size"] = 5120
    if "threads" in tables.factors:
        over["levels"]["threads"] = 1
    if "tuning" in tables.factors and (cases["tuning"] == "seed").any():
        of["levels"]["tuning"] = over["levels"]["tuning"] = "seed"
    notes = []
    if tables.run.get("engine", {}).get(l2dsr) != "ipvs":
        notes.append(say("The engine of l2dsr was not LVS but nftables."))
    if tables.run.get("fidelity") == "namespace":
        notes.append(
            say("Clients and web hosts share this machine, so requests/s show what they leave to the director.")
        )
    rule: dict[str, Any] = {"is": "within", "limit": 1.1, "margin": 0.05}
    return _by(tables, " ".join(notes), metric="requests_per_s", of=of, over=over, **rule)


def _single_threaded(tables: Tables) -> Judged:
    found = df_metrics(tables)
    shares = found[(found["kind"] == "l2dsr") & found["ipvs_cpu_share"].notna()]
    if shares.empty:
        return _no(say("there are no counters by CPU of LVS: l2dsr did not run on it, or they were not read"))
    queues = _levels(tables, "l2dsr", "queues")
    if not queues or queues[-1] < 2:
        return _no(say("the director's receive queues were not varied up to two or more"))
    of = {"arm": _arm(tables, "l2dsr"), "levels": {"queues": int(queues[-1])}}
    return _by(tables, metric="ipvs_cpu_share", of=of, **{"is": "above"}, limit=0.9)


def _ring_drops(tables: Tables) -> Judged:
    found = df_metrics(tables)
    lossy = found[(found["drops_accept"] > 0) & found["drops_nic"].notna()]
    if len(lossy) < 2:
        return _no(say("in fewer than two cases listening sockets dropped anything"))
    ring = int((lossy["drops_nic"] > 0).sum())
    said = say(
        "Of {total} cases in which ListenDrops grew, the card lost packets too in {ring}: the study's counter is that "
        "of the accept queue.",
        total=len(lossy),
        ring=ring,
    )
    return Judged(
        verdict=all_of("supported" if lost else "not supported" for lost in lossy["drops_nic"] > 0),
        evidence=said,
        shown=say("in {ring} of {total} cases", ring=ring, total=len(lossy)),
        decide=say("a load under which all cases agree") if 0 < ring < len(lossy) else "",
        metric="drops_nic",
        cases=tuple(lossy["case"]),
    )


def _pinning(tables: Tables) -> Judged:
    found = df_metrics(tables)
    levers = set(found["lever"].dropna()) if "lever" in found else set()
    if not {"spread", "pinned"} <= levers:
        return _no(say("interrupts were not pinned and spread in the same run"))
    arm = str(found.loc[found["lever"] == "pinned", "arm"].iloc[0])
    if not found.loc[(found["arm"] == arm) & (found["lever"] == "spread"), "drops_nic"].gt(0).any():
        return _no(say("with spread interrupts the card lost nothing, so there was nothing to cure"))
    of, over = ({"arm": arm, "levels": {"lever": name}} for name in ("pinned", "spread"))
    return _by(tables, metric="drops_nic", of=of, over=over, **{"is": "below"}, limit=0.5)


def _latency(tables: Tables) -> Judged:
    found = df_metrics(tables)
    arm = next((name for kind in ("l2dsr", "proxy") if (name := _arm(tables, kind))), None)
    mine = found[found["arm"] == arm]
    if mine["wait_p50_ms"].notna().sum() == 0:
        return _no(say("no wait was measured with l2dsr or a proxy"))
    gap = 1000 / mine["requests_per_s"].median()
    note = say("1 / rate, which the study calls latency, is {gap} ms here.", gap=number(gap))
    return _by(tables, note, metric="wait_p50_ms", of={"arm": arm}, **{"is": "below"}, limit=0.08)


def _needs_hardware(tables: Tables) -> Judged:
    queues = _levels(tables, "l2dsr", "queues")
    if len(queues) < 2:
        return _no(say("the director's receive queues were not varied"))
    arm = _arm(tables, "l2dsr")
    of, over = ({"arm": arm, "levels": {"queues": int(count)}} for count in (queues[-1], queues[0]))
    return _by(tables, metric="requests_per_s", of=of, over=over, **{"is": "below"}, limit=1.1)


SEED_CLAIMS = (
    SeedClaim(
        text=msg("Below 5 Gbit/s L2DSR answers about 10 % more requests/s than the proxy."),
        rule=msg(
            "l2dsr / proxy with one thread, 5 KiB: requests/s within 1.05 and 1.15. The study's own proxy of eight "
            "threads answered 2.6 times what its L2DSR did"
        ),
        needs="bmt run quick",
        judge=_ten_per_cent,
    ),
    SeedClaim(
        text=msg("With 10 or 20 Gbit/s L2DSR gains more."),
        rule=msg(
            "what a director could carry on such links, by its CPU time and bytes per request over the file size: "
            "more than 1.1 times with l2dsr at every size"
        ),
        needs="bmt run file-size",
        judge=judge_link_claim,
    ),
    SeedClaim(
        text=msg("LVS is single threaded."),
        rule=msg("with the most receive queues one CPU has more than 90 % of LVS's packets"),
        needs="bmt run lvs-queues --testbed vm",
        judge=_single_threaded,
    ),
    SeedClaim(
        text=msg("The drops that ListenDrops counts come from the ring of the network card."),
        rule=msg("in each case in which listening sockets drop, the card loses packets as well"),
        needs="bmt run packet-drops --testbed vm",
        judge=_ring_drops,
        fidelity=_WITH_CARD,
        lacks=msg("the director has no network card with a ring here"),
    ),
    SeedClaim(
        text=msg("Pinning interrupts to CPUs cures these drops."),
        rule=msg("the card loses less than half as many packets with pinned interrupts as with spread ones"),
        needs=msg("bmt run irq-affinity on hosts with real cards, under a load that makes them drop"),
        judge=_pinning,
    ),
    SeedClaim(
        text=msg("A request takes 0.03 to 0.08 ms."),
        rule=msg("half of the requests wait less than 0.08 ms. The study's figure is 1 / rate"),
        needs=msg("any run with l2dsr or a proxy"),
        judge=_latency,
    ),
    SeedClaim(
        text=msg("For more than that one needs an L4 switch in hardware."),
        rule=msg("with the most receive queues LVS answers less than 1.1 times the requests/s of one queue"),
        needs=msg("bmt run lvs-queues --testbed vm, or on hosts of one's own"),
        judge=_needs_hardware,
        fidelity=_WITH_CARD,
        lacks=msg("the director has no network card with queues here"),
    ),
)
