"""Runs a plan: brings the testbed up, takes case after case, keeps the run folder true at every moment."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from bmtlib.errors import BmtError, InputError
from bmtlib.measure import recorded, resume
from bmtlib.measure.case import CaseRun
from bmtlib.measure.estimate import case_s, estimate_s
from bmtlib.measure.limits import unreachable_levels
from bmtlib.measure.ready import Ready
from bmtlib.measure.session import Session
from bmtlib.measure.stopping import Stopping
from bmtlib.params.repetitions import Repetitions
from bmtlib.plan import Case, Plan
from bmtlib.rundir import RunDir
from bmtlib.testbeds.placement import pin_process


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _update(folder: RunDir, **fields: Any) -> dict[str, Any]:
    """Set `fields` in run.json; its new content."""
    current = folder.run_json() | fields
    folder.write_json("run.json", current)
    return current


def run_plan(plan: Plan, folder: RunDir, ready: Ready) -> dict[str, Any]:
    """Measure what is missing of `plan` in `folder`: all of a new run, the rest of one that was broken off.

    Returns the final run.json. `status` there: done (every case was tried), interrupted (Ctrl-C), failed (with
    `error`). Cases that failed or were rejected say so themselves. Ctrl-C is answered by an orderly end and is not
    raised again. InputError when nothing is missing, or when what is there cannot be gone on with: then it stays as it
    is.
    """
    with folder.held():
        if folder.run_json()["status"] != "planned":
            resume.check_folder(folder, plan)
        return Run(plan, folder, ready).run()


class Run:
    """One session of a run: from the first event to the last."""

    def __init__(self, plan: Plan, folder: RunDir, ready: Ready) -> None:
        self.plan, self.folder, self.ready = plan, folder, ready
        self.before = folder.run_json()
        self.cases = resume.needed(folder, plan)
        self.todo = {case.id for case in resume.missing(folder, plan)}
        self.refused = False  # what is there stays as it is
        self.place = ""  # in the folder, of what the hosts were before this session, and what it changed

    def run(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"status": "done", "error": None}
        self._begin()
        # The controller keeps off the director's CPUs: their busy time is a result. Given back afterwards, or the next
        # run of the same process (a notebook's kernel) would find no CPU for its director.
        cpus, placement = os.sched_getaffinity(0), self.ready.placement
        try:
            if placement.separate and placement.others:
                pin_process(placement.others)
            self._run_cases()
        except KeyboardInterrupt:
            fields = {"status": "interrupted", "error": _error("ended by Ctrl-C")}
        except BmtError as error:
            fields = {"status": "failed", "error": _error(error.what, error.where, error.todo)}
            raise
        except BaseException as error:
            fields = {"status": "failed", "error": _error(f"{type(error).__name__}: {error}")}
            raise
        finally:
            pin_process(cpus)
            final = self._end(fields)
        return final

    def _begin(self) -> None:
        self.folder.sweep()
        sessions = [{**it, "status": "killed"} if it["status"] == "running" else it for it in self.before["sessions"]]
        session: dict[str, Any] = {
            "started": _now(),
            "ended": None,
            "status": "running",
            "pid": os.getpid(),
            "versions": {},
        }
        started = self.before["started"] or session["started"]
        _update(self.folder, status="running", error=None, started=started, sessions=[*sessions, session])
        coming, kept = self._coming(), len(self.cases) - len(self.todo)
        by_arm = {arm: [case_s(case) for case in coming if case.arm == arm] for arm in self.plan.scenario.arms}
        self.folder.event(
            "run",
            "start",
            pid=os.getpid(),
            other_cpus=sorted(self.ready.placement.others),
            cases=kept + len(coming),
            kept=kept,
            estimate_s=round(estimate_s(coming), 1),
            arms={arm: (len(them), round(sum(them), 1)) for arm, them in by_arm.items()},
        )

    def _coming(self) -> list[Case]:
        """What this session is to measure."""
        return [case for case in self.cases if case.id in self.todo]

    def _prepared_for(self) -> Plan:
        """The plan that hosts are prepared for."""
        return self.plan

    def _end(self, fields: dict[str, Any]) -> dict[str, Any]:
        ended = _now()
        *earlier, session = self.folder.run_json()["sessions"]
        status = "refused" if self.refused else fields["status"]
        if self.refused:
            fields = {key: self.before[key] for key in ("status", "error")}
        sessions = [*earlier, session | {"ended": ended, "status": status}]
        final = _update(self.folder, ended=ended, sessions=sessions, **fields)
        self.folder.event("run", status)
        return final

    def _run_cases(self) -> None:
        plan, folder, ready = self.plan, self.folder, self.ready
        folder.event("testbed", "start", hosts=plan.scenario.webs + plan.scenario.clients + 1)
        asked = folder.run_json()
        session = Session(
            self._prepared_for(),
            ready,
            run_id=asked["id"],
            keep=asked["keep"],
            take_over="any" if asked["break_lock"] else "",
            resumed=len(asked["sessions"]) > 1,
        )
        try:
            self._record(session)
            self._run_cases_on(session)
            recorded.record_changes(session, folder, self.place)
            if ready.fleet and asked["keep"]:
                session.settle()
        finally:
            session.close()
            if session.left:
                folder.event("testbed", "not rolled back", hosts=sorted(session.left))
            _update(folder, not_rolled_back=session.left)

    def _record(self, session: Session) -> None:
        """What the hosts are, for run.json; of a later session it must be what it was."""
        ready, folder = self.ready, self.folder
        found = {
            "fidelity": session.lab.fidelity,
            "privilege": "rootless" if ready.rootless else "root",
            "engine": session.engines(),
            "versions": recorded.versions(session),
            # A fleet may be measured from any machine.
            "controller": None if ready.fleet else resume.controller(),
            "director_cpus": sorted(ready.director_cpus),
            "other_cpus": sorted(ready.placement.others),
            "machine": session.lab.about,
            "placement": {"rps": session.lab.rps, "separate": ready.placement.separate},
            "hosts": recorded.describe(session),
        }
        *earlier, mine = folder.run_json()["sessions"]
        _update(folder, sessions=[*earlier, mine | {"versions": found["versions"]}])
        if not self.before["hosts"]:
            recorded.record(session, folder)
            _update(folder, **found)
        else:
            try:
                resume.check_same_conditions(folder, {key: self.before[key] for key in found}, found)
            except InputError:
                self.refused = True
                raise
            self.place = f"sessions/{len(self.before['sessions']) + 1}/"
            recorded.record(session, folder, self.place)
        folder.event("testbed", "done")

    def _run_cases_on(self, session: Session) -> None:
        plan, folder = self.plan, self.folder
        left_out = unreachable_levels(plan, director_cpus=self.ready.director_cpus, max_queues=session.lab.queues)
        rule = plan.scenario.repetitions
        # A run that has ended by its rule has no more blocks to come, only cases that failed.
        going = resume.stopped_after(folder) is None
        stopping = Stopping(plan, rule, left_out) if isinstance(rule, Repetitions) and going else None
        for block, cases in groupby(self.cases, key=lambda case: case.block):
            for case in cases:
                if case.id in self.todo:
                    record = self._run_case(session, case, left_out.get(case.id))
                else:
                    record = folder.case(case.id)
                if stopping is not None:
                    stopping.add(record)
            if stopping is not None and self._enough(stopping, block):
                break

    def _run_case(self, session: Session, case: Case, left_out: str | None) -> Mapping[str, Any]:
        tell, folder = _teller(self.folder, case), self.folder
        folder.set_aside(case.id)
        case_run = CaseRun(case, session, folder, tell)
        if left_out is not None:
            case_run.leave_out(left_out)
            tell("left out", reason=left_out, arm=case.arm)
            return case_run.record
        tell("start", arm=case.arm, block=case.block)
        started = time.monotonic()
        record = case_run.run()
        rate = record["requests"]["completed"] / record["window_s"] if record["window_s"] else None
        tell(
            record["status"],
            requests_per_s=rate and round(rate, 1),
            took_s=round(time.monotonic() - started, 3),
            error=record["error"],
        )
        if record["status"] == "failed" and (case_run.dirty or not session.sound()):
            folder.event("testbed", "rebuild")
            session.reopen()
            folder.event("testbed", "done")
        return record

    def _enough(self, stopping: Stopping, block: int) -> bool:
        """Look at the ratios after a block, and keep what was seen; whether the run may end."""
        later = any(case.block > block and case.id not in self.todo for case in self.cases)
        if block < stopping.rule.min or later:  # a resumed run has looked at this block before
            return False
        look = stopping.look(block)
        reason = stopping.reason(look, block)
        found = self.folder.run_json()["stopping"] or {"looks": []}
        looks = [it for it in found["looks"] if it["block"] != block] + ([asdict(look)] if look else [])
        stopped = block if reason else None
        rule = stopping.rule.model_dump(mode="json")
        _update(self.folder, stopping={"rule": rule, "looks": looks, "stopped_after": stopped, "reason": reason})
        last = [case.id for case in self.plan.cases if case.block <= block]
        self.folder.event(
            "stopping",
            "stop" if reason else "look",
            block=block,
            cases=len(last) if reason else len(self.plan.cases),
            half_width=look and look.half_width,
            reason=reason,
        )
        return reason is not None


def _error(what: str, where: str = "", todo: str = "") -> dict[str, str]:
    return {"what": what, "where": where, "todo": todo}


def _teller(folder: RunDir, case: Case) -> Callable[..., None]:
    def tell(state: str, **fields: Any) -> None:
        folder.event("case", state, case=case.id, number=case.index + 1, **fields)

    return tell
