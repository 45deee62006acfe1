"""What a run would do to its hosts, found out on a lab that is built for this question and changed in nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bmtlib.measure.arms import arm_changes
from bmtlib.measure.limits import unreachable_levels
from bmtlib.measure.ready import Ready
from bmtlib.measure.session import Session
from bmtlib.measure.tuning import case_tuning
from bmtlib.params.factors import DIRECTOR_FACTORS
from bmtlib.plan import Case, Plan
from bmtlib.setup.change import Change
from bmtlib.setup.sysctl import NotApplied
from bmtlib.testbeds.bed import Bed


@dataclass(frozen=True, kw_only=True)
class Step:
    """One change, or one wish that a host cannot have (`done` False). `host` names the hosts that are alike.

    `when`: "preparation", or the arm whose cases need it.
    """

    host: str
    when: str
    what: str
    now: str | None
    then: str | None
    scope: str
    reason: str
    done: bool


def preview(plan: Plan, ready: Ready) -> list[Step]:
    """All steps in the order of a run. Hosts of a role are set up alike, so each role is shown once."""
    steps = []
    with Session(plan, ready, run_id="preview", prepare=False) as session:
        for role in ("client", "web", "director"):
            first = session.lab.role(role)[0].name
            who = _alike(session.lab, role)
            steps += [_step(change, who, "preparation") for change in session.changes[first]]
            steps += [_left(wish, who, "preparation") for wish in session.not_applied[first]]
        left_out = unreachable_levels(plan, director_cpus=ready.director_cpus, max_queues=session.lab.queues)
        for when, case in _tunings([case for case in plan.cases if case.id not in left_out]).items():
            changes, skipped = case_tuning(case, session.lab.director, session.hardware)
            steps += [_step(change, change.host, when) for change in changes]
            steps += [_left(wish, wish.host, when) for wish in skipped]
        for name, engine in session.engines().items():
            by_host = arm_changes(
                plan.scenario.arms[name],
                engine,
                director=session.lab.director,
                facts=session.facts,
                webs=session.lab.role("web"),
                network=plan.testbed.network,
                cpus=session.lab.director.cpus,
            )
            when = f"arm {name} ({engine})"
            for role in ("web", "director"):
                first = session.lab.role(role)[0].name
                steps += [_step(change, _alike(session.lab, role), when) for change in by_host.get(first, [])]
    return steps


def _alike(lab: Bed, role: str) -> str:
    hosts = lab.role(role)
    first, last = hosts[0].name, hosts[-1].name
    return first if first == last else f"{first} to {last}"


def _tunings(cases: Iterable[Case]) -> dict[str, Case]:
    """One case for each choice of levels that tunes the director, by its words: "lever small-ring"."""
    found: dict[str, Case] = {}
    for case in cases:
        levels = [f"{factor} {case.levels[factor]}" for factor in DIRECTOR_FACTORS if factor in case.levels]
        if levels:
            found.setdefault(", ".join(levels), case)
    return found


def _step(change: Change, host: str, when: str) -> Step:
    return Step(
        host=host,
        when=when,
        what=change.what,
        now=change.before,
        then=change.want,
        scope=change.scope,
        reason=change.reason,
        done=True,
    )


def _left(wish: NotApplied, host: str, when: str) -> Step:
    return Step(
        host=host,
        when=when,
        what=wish.key if " " in wish.key else f"sysctl {wish.key}",
        now=wish.now,
        then=wish.want,
        scope="machine",
        reason=wish.why,
        done=False,
    )
