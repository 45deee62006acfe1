"""What a run would do to its hosts, found out on a lab that is built for this question and changed in nothing."""

from __future__ import annotations

from dataclasses import dataclass

from bmtlib.measure.arms import arm_changes
from bmtlib.measure.runner import Ready
from bmtlib.measure.session import Session
from bmtlib.plan import Plan
from bmtlib.setup.change import Change
from bmtlib.setup.sysctl import NotApplied


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
    with Session(plan, placement=ready.placement, rootless=ready.rootless, run_id="preview", prepare=False) as session:
        for role in ("client", "web", "director"):
            hosts = session.lab.role(role)
            first, last = hosts[0].name, hosts[-1].name
            who = first if first == last else f"{first} to {last}"
            steps += [_step(change, who, "preparation") for change in session.changes[first]]
            steps += [_left(wish, who) for wish in session.not_applied[first]]
        for name, engine in session.engines().items():
            changes = arm_changes(
                plan.scenario.arms[name],
                engine,
                director=session.lab.director,
                facts=session.facts,
                webs=session.lab.role("web"),
                network=plan.testbed.network,
            )
            steps += [_step(change, change.host, f"arm {name} ({engine})") for change in changes]
    return steps


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


def _left(wish: NotApplied, host: str) -> Step:
    return Step(
        host=host,
        when="preparation",
        what=f"sysctl {wish.key}",
        now=wish.now,
        then=wish.want,
        scope="machine",
        reason=wish.why,
        done=False,
    )
