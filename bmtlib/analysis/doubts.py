"""What leaves a verdict undecided beside its figures: cases left out, marks of guards, a machine that cannot tell."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import pandas as pd

from bmtlib.analysis.costs import separable
from bmtlib.analysis.judged import Verdict
from bmtlib.analysis.naming import percent
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.used import MOST_LEFT_OUT, against, doubt, used
from bmtlib.params.claim import Claim
from bmtlib.texts import say

# What the number of CPUs does not change: shares of the director's packets among the CPUs that it sees.
_WITHOUT_CPUS = ("ipvs_cpu_share", "packet_cpu_share")

Sides = Iterable[tuple[str, pd.DataFrame]]  # what is compared, in words, and its planned cases


def left_out(tables: Tables, sides: Sides) -> tuple[str, str]:
    """Why so many cases are left out that the rest decides nothing; and those that are left out without that."""
    spoilt: list[str] = []
    few: list[str] = []
    for words, cases in sides:
        found = used(tables, cases)
        if found["left_out"]:
            (few if found["decides"] else spoilt).append(f"{words}: {found['why']}")
    too_many = say("too many cases are left out ({cases})", cases="; ".join(spoilt)) if spoilt else ""
    return too_many, say("left out: {cases}", cases="; ".join(few)) if few else ""


def fewer_left_out() -> str:
    """What decides where too many cases are left out."""
    return say("a run of which at most {most} of each side is left out", most=percent(MOST_LEFT_OUT))


def after_marks(
    tables: Tables, verdict: Verdict, value: float, inside: tuple[float, float], metric: str, sides: Sides
) -> tuple[Verdict, str]:
    """The verdict on `value` after marks of guards have had their say, and what they say."""
    if verdict not in ("supported", "not supported"):
        return verdict, ""
    named = [(words, doubt(tables, cases, metric)) for words, cases in sides]
    said = "; ".join(f"{words}: {it.why}" for words, it in named if it.why)
    if not said:
        return verdict, ""
    if any(against(way, metric, *(it for _, it in named)) for way in _ways(verdict, value, inside)):
        return "undecided", said
    return verdict, say("{marks}: without it the verdict would only be plainer", marks=said)


def without_marks() -> str:
    """What decides where marks leave it open."""
    return say("a run in which guards do not mark its cases")


def _ways(verdict: Verdict, value: float, inside: tuple[float, float]) -> list[Literal["higher", "lower"]]:
    """What a verdict says of the value, against the ends of what the claim allows."""
    least, most = inside
    if verdict == "not supported":
        return ["higher" if value > most else "lower"]
    ways: list[Literal["higher", "lower"]] = []
    if math.isfinite(least):
        ways.append("higher")
    if math.isfinite(most):
        ways.append("lower")
    return ways


def unable(tables: Tables, claim: Claim) -> tuple[str, str]:
    """Why this machine cannot decide the claim, whatever was measured, and what could; both empty when it can.

    The director's CPU time is its own only on CPUs of its own. And a virtual director may see more CPUs than the
    machine gives it: then a second one brings it nothing, whatever the arm makes of it.
    """
    if claim.metric == "director_cpu_us_per_request" and not separable(tables):
        why = say("other hosts share the director's CPUs, so its CPU time cannot be told from theirs")
        return why, say("a director on CPUs of its own")
    machine = tables.run.get("machine") or {}
    had = len(machine.get("cpus") or tables.run.get("director_cpus") or [])
    same_arm = claim.over is not None and claim.over.arm == claim.of.arm
    if not had or had >= tables.cpus_needed or not same_arm or claim.metric in _WITHOUT_CPUS:
        return "", ""
    why = say(
        "the question needs {needed} CPUs for the director, and it had {had} "
        "(testbed.placement.director_cpus gives it more)",
        needed=tables.cpus_needed,
        had=had,
    )
    return why, say("a director with {needed} CPUs", needed=tables.cpus_needed)
