"""What a run would do to its hosts, found out on a lab that is built for this question and changed in nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from bmtlib.measure.limits import unreachable_levels
from bmtlib.measure.ready import Ready
from bmtlib.measure.session import Session
from bmtlib.measure.tuning import case_tuning
from bmtlib.params.factors import DIRECTOR_FACTORS
from bmtlib.plan import Case, Plan
from bmtlib.setup.change import Change
from bmtlib.setup.sysctl import NotApplied


@dataclass(frozen=True, kw_only=True)
class Step:
    """One change, or one wish that a host cannot have (`done` False). `host` names the hosts that are alike.

    `when`: "preparation"; what is done beside it on hosts that are to stay so; or the arm whose cases need it.
    `profile`: where the wish comes from, "" for the test's own.
    """

    host: str
    when: str
    what: str
    now: str | None
    then: str | None
    scope: str
    reason: str
    profile: str
    done: bool


def preview(plan: Plan, ready: Ready) -> list[Step]:
    """All steps in the order of a run. Hosts for which the same is to be done are shown as one."""
    steps = []
    with Session(plan, ready, run_id="preview", prepare=False) as session:
        for role in ("client", "web", "director"):
            planned = {
                host.name: [
                    *(_step(change, _when(change)) for change in session.changes[host.name]),
                    *(_left(wish, "preparation") for wish in session.not_applied[host.name]),
                ]
                for host in session.lab.role(role)
            }
            steps += _together(planned)
        for tuning in plan.scenario.factors.get("tuning", ()):
            for role in ("client", "web", "director"):
                names = [host.name for host in session.lab.role(role) if host.name in session.tunings]
                when = f"tuning {tuning}"
                wishes = {name: session.tunings[name][tuning] for name in names}
                steps += _together(
                    {
                        name: [*(_step(change, when) for change in changes), *(_left(wish, when) for wish in skipped)]
                        for name, (changes, skipped) in wishes.items()
                    }
                )
        left_out = unreachable_levels(plan, director_cpus=ready.director_cpus, max_queues=session.lab.queues)
        for when, case in _tunings([case for case in plan.cases if case.id not in left_out]).items():
            changes, skipped = case_tuning(case, session.lab.director, session.hardware)
            steps += [_step(change, when) for change in changes]
            steps += [_left(wish, when) for wish in skipped]
        for name, engine in session.engines().items():
            by_host = session.arm_changes(plan.scenario.arms[name], engine)
            when = f"arm {name} ({engine})"
            for role in ("web", "director"):
                hosts = [host.name for host in session.lab.role(role)]
                steps += _together({name: [_step(it, when) for it in by_host.get(name, [])] for name in hosts})
    return steps


def _together(planned: dict[str, list[Step]]) -> list[Step]:
    """The steps of hosts of one role, those of hosts that are alike only once."""
    groups: dict[tuple[Step, ...], list[str]] = {}
    for name, steps in planned.items():
        groups.setdefault(tuple(replace(step, host="") for step in steps), []).append(name)
    return [replace(step, host=_names(names, len(planned))) for steps, names in groups.items() for step in steps]


def _names(names: list[str], all_of_role: int) -> str:
    """
    >>> _names(["web01", "web02", "web03"], 3), _names(["web01"], 3), _names(["web01", "web03"], 3)
    ('web01 to web03', 'web01', 'web01, web03')
    """
    if len(names) > 1 and len(names) == all_of_role:
        return f"{names[0]} to {names[-1]}"
    return ", ".join(names)


def _tunings(cases: Iterable[Case]) -> dict[str, Case]:
    """One case for each choice of levels that tunes the director, by its words: "lever small-ring"."""
    found: dict[str, Case] = {}
    for case in cases:
        levels = [f"{factor} {case.levels[factor]}" for factor in DIRECTOR_FACTORS if factor in case.levels]
        if levels:
            found.setdefault(", ".join(levels), case)
    return found


def _when(change: Change) -> str:
    return "to stay so (apply, run --keep)" if change.to_stay else "preparation"


def _step(change: Change, when: str) -> Step:
    return Step(
        host=change.host,
        when=when,
        what=change.what,
        now=change.before,
        then=change.want,
        scope=change.scope,
        reason=change.reason,
        profile=change.profile,
        done=True,
    )


def _left(wish: NotApplied, when: str) -> Step:
    return Step(
        host=wish.host,
        when=when,
        what=wish.key if " " in wish.key else f"sysctl {wish.key}",
        now=wish.now,
        then=wish.want,
        scope="machine",
        reason=wish.why,
        profile="",
        done=False,
    )
