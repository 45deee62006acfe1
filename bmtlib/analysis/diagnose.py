"""Who was the bottleneck: for every case one named limit, the counters that prove it, and the runner-up.

Rules say how far each resource was used; nothing here knows more than their order. To add one: a function of the
tables in rules_cpu.py or rules_queues.py that yields a Finding per case, its name in LIMITS, its place in RULES.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from bmtlib.analysis import rules_cpu, rules_queues
from bmtlib.analysis.finding import LIMITS, Finding
from bmtlib.analysis.schema import COLUMNS
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import arranged, keys, once
from bmtlib.texts import say, translated

Rule = Callable[[Tables], Iterable[Finding]]

# In the order in which they are believed where several are at their limit: what refuses connections outright; what lets
# bytes or connections through at a rate of its own; then the CPUs, the fullest first; then HAProxy's maxconn and the
# queues, which fill up because of a full CPU as well.
RULES: tuple[tuple[Rule, ...], ...] = (
    (rules_queues.ports, rules_queues.conntrack),
    (rules_queues.link, rules_queues.rate_limit),
    (rules_cpu.director_cpu, rules_cpu.shared_cpu, rules_cpu.own_cpu, rules_cpu.load_generators),
    (rules_queues.maxconn,),
    (rules_queues.listen_queues, rules_queues.director_drops),
)
# Whether other work on the CPUs took anything from the test nobody can tell: it is named when nothing else is.
_LAST = ("foreign-work",)

_MEASURED = ("done", "rejected", "failed")


@once
def df_bottleneck(tables: Tables) -> pd.DataFrame:
    """One row per case that was tried, in the plan's order.

    case, arm, kind, engine, <levels>, block, status; limit, runner_up: names of LIMITS; words: the limit in words
    pressure, runner_up_pressure: how far each was used, 1 and above: at its limit; evidence, runner_up_evidence
    """
    found: dict[str, list[tuple[int, Finding]]] = {case: [] for case in tables.cases["case"]}
    for place, rules in enumerate(RULES):
        for rule in rules:
            for finding in rule(tables):
                found[finding.case].append((place, finding))
    rows = []
    for row in tables.cases[tables.cases["status"].isin(_MEASURED)].to_dict("records"):
        first, second = name_limit(row["case"], found[row["case"]])
        rows.append(
            {
                **{name: row[name] for name in ("case", *keys(tables), "block", "status")},
                "limit": first.limit,
                "words": translated(LIMITS[first.limit]),
                "pressure": first.pressure,
                "evidence": first.evidence,
                "runner_up": second.limit if second else None,
                "runner_up_pressure": second.pressure if second else None,
                "runner_up_evidence": second.evidence if second else None,
            }
        )
    texts = ("limit", "words", "evidence", "runner_up", "runner_up_evidence")
    types = {name: COLUMNS["cases"][name] for name in ("case", *keys(tables), "block", "status")}
    types |= {**dict.fromkeys(texts, "string"), "pressure": "float64", "runner_up_pressure": "float64"}
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def name_limit(case: str, findings: Iterable[tuple[int, Finding]]) -> tuple[Finding, Finding | None]:
    """The limit and the runner-up among findings with their place in RULES.

    >>> full = Finding(case="b1", limit="director-cpu", pressure=1.05, evidence="busy 95 %")
    >>> queue = Finding(case="b1", limit="accept-queue", pressure=40.0, evidence="200 drops")
    >>> [finding.limit for finding in name_limit("b1", [(2, full), (4, queue)])]
    ['director-cpu', 'accept-queue']
    """
    best: dict[str, tuple[int, Finding]] = {}
    for place, finding in findings:
        if finding.limit not in best or finding.pressure > best[finding.limit][1].pressure:
            best[finding.limit] = (place, finding)

    def rank(item: tuple[int, Finding]) -> tuple[bool, bool, int, float]:
        place, finding = item
        full = finding.pressure >= 1
        return (not full, finding.limit in _LAST, place if full else 0, -finding.pressure)

    order = sorted(best.values(), key=rank)
    ranked = [finding for _, finding in order]
    if not ranked:
        return Finding(case=case, limit="unknown", pressure=0.0, evidence=say("no rule had what it needs")), None
    if ranked[0].pressure >= 1:
        return ranked[0], ranked[1] if len(ranked) > 1 else None
    top = ranked[0]
    evidence = say(
        "nothing is at its limit; the nearest is {limit}, at {share} of it: {evidence}",
        limit=translated(LIMITS[top.limit]),
        share=f"{top.pressure:.0%}",
        evidence=top.evidence,
    )
    return Finding(case=case, limit="low-load", pressure=top.pressure, evidence=evidence), top


@once
def df_limit_by_arm(tables: Tables) -> pd.DataFrame:
    """What limited each arm at each choice of levels, over its cases.

    limit: the most frequent; words: in words; cases, of: how many cases, of how many; runner_up: the most frequent of
    those cases; others: the limits of the other cases; example, evidence: the case that was nearest its limit
    """
    table = df_bottleneck(tables)
    names = keys(tables)
    rows: list[dict[str, Any]] = []
    for values, group in table.groupby(names, dropna=False, sort=False):
        counts = group["limit"].value_counts()
        limit = str(counts.index[0])
        mine = group[group["limit"] == limit].sort_values("pressure", ascending=False)
        runners = mine["runner_up"].dropna().value_counts()
        rows.append(
            {
                **dict(zip(names, values, strict=True)),
                "limit": limit,
                "words": translated(LIMITS[limit]),
                "cases": len(mine),
                "of": len(group),
                "runner_up": str(runners.index[0]) if len(runners) else None,
                "others": ", ".join(f"{name} ({count})" for name, count in counts.iloc[1:].items()),
                "example": mine["case"].iloc[0],
                "evidence": mine["evidence"].iloc[0],
            }
        )
    types = {name: COLUMNS["cases"][name] for name in names}
    types |= dict.fromkeys(("limit", "words"), "string") | {"cases": "int64", "of": "int64"}
    types |= dict.fromkeys(("runner_up", "others", "example", "evidence"), "string")
    return arranged(tables, pd.DataFrame(rows, columns=list(types)).astype(types))


def limit_sentence(tables: Tables) -> str:
    """What limited which arms, in one sentence; empty when no case was measured, or nothing is known."""
    parts: dict[str, list[str]] = {}
    for arm, rows in df_limit_by_arm(tables).groupby("arm", sort=False):
        counts = rows.groupby("limit", sort=False)["cases"].sum()
        limit, cases, of = str(counts.idxmax()), counts.max(), rows["of"].sum()
        if limit != "unknown":
            part = say("{arm} ({cases} of {total} cases)", arm=arm, cases=cases, total=of)
            parts.setdefault(limit, []).append(part)
    texts = [
        say("{limit} for {arms}", limit=translated(LIMITS[limit]), arms=", ".join(arms))
        for limit, arms in parts.items()
    ]
    return say("What limited: {limits}.", limits="; ".join(texts)) if texts else ""
