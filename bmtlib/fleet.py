"""The verbs for hosts of one's own, beside measuring: apply, verify, roll back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from bmtlib.errors import InputError
from bmtlib.measure.arms import arm_changes
from bmtlib.measure.ready import check
from bmtlib.measure.session import Session
from bmtlib.params.testbed import Testbed
from bmtlib.run import Loaded
from bmtlib.setup.change import Change
from bmtlib.setup.sysctl import NotApplied


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What `apply` did, by host; `run_id` names it for `bmt rollback`."""

    run_id: str
    changes: dict[str, list[Change]]
    not_applied: dict[str, list[NotApplied]]

    @property
    def reboots(self) -> list[str]:
        """Hosts on which something waits for a reboot."""
        return [name for name, changes in self.changes.items() if any(change.scope == "reboot" for change in changes)]


def need_ssh(testbed: Testbed, verb: str) -> None:
    """InputError for a testbed whose hosts are made for a run and gone after it."""
    if testbed.kind != "ssh":
        raise InputError(
            f"a testbed of kind {testbed.kind} is made for each run, and gone after it: there is nothing to {verb}",
            where="testbed: kind",
            todo=f"bmt {verb} ... --testbed FILE, whose kind is ssh; `bmt lab up` keeps a lab",
        )


def apply(loaded: Loaded, *, arm: str | None, take_over: str, tell: Callable[[str], None]) -> Applied:
    """Prepare the user's hosts for a scenario, and put `arm` in place if one is named; all of it, or nothing."""
    plan = loaded.plan
    need_ssh(plan.testbed, "apply")
    if arm is not None and arm not in plan.scenario.arms:
        raise InputError(f"the scenario has no arm {arm!r}", todo=f"--arm {' | '.join(plan.scenario.arms)}")
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-apply-{loaded.name}-{plan.digest[:6]}"
    ready = check(plan, tell=tell)
    with Session(plan, ready, run_id=run_id, keep=True, take_over=take_over) as session:
        changes = {name: list(done) for name, done in session.changes.items()}
        if arm is not None:
            director = session.lab.director
            by_host = arm_changes(
                plan.scenario.arms[arm],
                session.engines()[arm],
                director=director,
                facts=session.facts,
                webs=session.lab.role("web"),
                network=plan.testbed.network,
                cpus=director.cpus,
            )
            for name in sorted(by_host, key=lambda name: name == director.name):
                session.lab.hosts[name].apply(by_host[name])
                changes[name] += by_host[name]
        session.settle()
    return Applied(run_id=run_id, changes=changes, not_applied=session.not_applied)
