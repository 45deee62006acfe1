"""The verbs for hosts of one's own, beside measuring: apply, verify, roll back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bmtlib.errors import InputError
from bmtlib.hosts.every import every
from bmtlib.hosts.lock import acquire, owner_now
from bmtlib.hosts.rollback import Drift, Rolled, rollback, verify
from bmtlib.hosts.secret import sudo_password
from bmtlib.hosts.ssh import SshHost
from bmtlib.measure.ready import check
from bmtlib.measure.session import Session
from bmtlib.params.load_yaml import load_testbed
from bmtlib.params.testbed import Testbed
from bmtlib.run import Loaded
from bmtlib.rundir import RunDir
from bmtlib.setup.change import Change
from bmtlib.setup.sysctl import NotApplied
from bmtlib.testbeds.inventory import all_logins
from bmtlib.testbeds.ssh import Company

Tell = Callable[[str], None]


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


def apply(loaded: Loaded, *, arm: str | None, take_over: str, tell: Tell) -> Applied:
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
            for name, wanted in session.arm_changes(plan.scenario.arms[arm], session.engines()[arm]).items():
                session.lab.hosts[name].apply(wanted)
                changes[name] += wanted
        session.settle()
    return Applied(run_id=run_id, changes=changes, not_applied=session.not_applied)


def verify_all(testbed: Testbed, *, tell: Tell) -> dict[str, tuple[int, list[Drift]] | BaseException]:
    """By host: how many changes are in force, and which have drifted; or why it could not be asked."""
    need_ssh(testbed, "verify")
    logins = all_logins(testbed, tell=tell)
    company = Company(logins, sudo_password)
    try:
        found = every(company.hosts.values(), verify)
        return {login.name: found.get(login.name, company.refused.get(login.name)) for login in logins}  # type: ignore[misc]
    finally:
        company.close()


def rollback_of(
    run: str | None, *, everything: bool, testbed: str | None, settings: Sequence[str]
) -> tuple[Testbed, str | None]:
    """The testbed, and the run to undo there; None: all. InputError when the user's words name none, or both."""
    if (run is None) != everything:
        raise InputError("needs either a run or --all", todo="bmt rollback RUN, or bmt rollback --all --testbed FILE")
    folder = RunDir.open(run) if run is not None and Path(run).is_dir() else None
    if testbed is None and folder is None:
        raise InputError("on which hosts?", todo="--testbed FILE, or the run's folder")
    place = testbed if testbed is not None or folder is None else str(folder.path / "testbed.yml")
    assert place is not None
    return load_testbed(place, settings), folder.run_json()["id"] if folder else run


def rollback_all(
    testbed: Testbed, run_id: str | None, *, take_over: str, tell: Tell
) -> dict[str, Rolled | BaseException]:
    """By host: what was undone and what is left; or why nothing could be done there. Every host is tried."""
    need_ssh(testbed, "rollback")
    logins = all_logins(testbed, tell=tell)
    tell(f"reaching {len(logins)} hosts over SSH")
    company = Company(logins, sudo_password)
    owner = owner_now(f"rollback of {run_id or 'all'}")

    def give_back(host: SshHost) -> Rolled:
        lock = acquire(host, owner, take_over=take_over)
        try:
            return rollback(host, run_id)
        finally:
            lock.release()

    try:
        found = every(company.hosts.values(), give_back)
        return {login.name: found.get(login.name, company.refused.get(login.name)) for login in logins}  # type: ignore[misc]
    finally:
        company.close()
