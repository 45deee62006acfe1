"""Runs a plan: brings the testbed up, takes case after case, keeps the run folder true at every moment."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bmtlib
from bmtlib.errors import BmtError, InputError
from bmtlib.measure.case import CaseRun
from bmtlib.measure.limits import unreachable_levels
from bmtlib.measure.ready import Ready
from bmtlib.measure.session import Session
from bmtlib.plan import Plan, load_seconds
from bmtlib.rundir import FORMAT, RunDir
from bmtlib.testbeds.placement import pin_process

# What one case costs beside warm-up and load: for the estimate of the time left only.
OVERHEAD_S = 1.5


def create_run(
    plan: Plan,
    name: str,
    out: Path | str,
    texts: dict[str, str],
    choice: str = "",
    *,
    keep: bool = False,
    break_lock: bool = False,
) -> RunDir:
    """A run folder with the plan in it. `texts` are the resolved scenario.yml and testbed.yml by file name.

    `choice`: what the testbed `auto` became, and why. `keep`, `break_lock`: as the user wants it for hosts of his own.
    """
    folder = RunDir.create(out, name, plan.digest)
    for file_name, text in texts.items():
        folder.write(file_name, text)
    folder.write("plan.json", plan.to_json())
    folder.write_json(
        "run.json",
        {
            "format": FORMAT,
            "id": folder.path.name,
            "scenario": {"name": name, "title": plan.scenario.title, "question": plan.scenario.question},
            "testbed": plan.testbed.kind,
            "testbed_choice": choice or None,
            "fidelity": None,
            "privilege": None,
            "digest": plan.digest,
            "status": "planned",
            "started": None,
            "ended": None,
            "engine": {},
            "versions": {},
            "bmtlib": bmtlib.__version__,
            "machine": None,
            "director_cpus": [],
            "other_cpus": [],
            "placement": {},
            "hosts": [],
            "keep": keep,
            "break_lock": break_lock,
            "not_rolled_back": {},
            "error": None,
        },
    )
    return folder


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _update(folder: RunDir, **fields: Any) -> dict[str, Any]:
    """Set `fields` in run.json; its new content."""
    current = folder.run_json() | fields
    folder.write_json("run.json", current)
    return current


def run_plan(plan: Plan, folder: RunDir, ready: Ready) -> dict[str, Any]:
    """Run every case of `plan` into `folder`; the final content of run.json.

    `status` there: done (every case was tried), interrupted (Ctrl-C), failed (with `error`). Cases that failed or were
    rejected say so themselves. Ctrl-C is answered by an orderly end and is not raised again.
    """
    if (status := folder.run_json()["status"]) != "planned":
        raise InputError(
            f"{folder.path} has been measured already: its status is {status}",
            where=str(folder.path / "run.json"),
            todo="leave out `run`: a new folder is made",
        )
    fields: dict[str, Any] = {"status": "done"}
    _update(folder, status="running", started=_now())
    folder.event(
        "run",
        "start",
        pid=os.getpid(),
        other_cpus=sorted(ready.placement.others),
        cases=len(plan.cases),
        estimate_s=round(estimate_s(plan), 1),
    )
    # The controller keeps off the director's CPUs: their busy time is a result. Given back afterwards, or the next run
    # of the same process (a notebook's kernel) would find no CPU for its director.
    cpus = os.sched_getaffinity(0)
    try:
        if ready.placement.separate and ready.placement.others:
            pin_process(ready.placement.others)
        _run_cases(plan, folder, ready)
    except KeyboardInterrupt:
        fields = {"status": "interrupted", "error": {"what": "ended by Ctrl-C", "where": "", "todo": ""}}
    except BmtError as error:
        fields = {"status": "failed", "error": {"what": error.what, "where": error.where, "todo": error.todo}}
        raise
    except BaseException as error:
        fields = {"status": "failed", "error": {"what": f"{type(error).__name__}: {error}", "where": "", "todo": ""}}
        raise
    finally:
        pin_process(cpus)
        final = _update(folder, ended=_now(), **fields)
        folder.event("run", fields["status"])
    return final


def estimate_s(plan: Plan) -> float:
    """Seconds the cases will take, load and all."""
    known = load_seconds(plan)
    # A counted load ends when it ends: 2,000 requests/s is a cautious guess for a small machine.
    counted = sum((case.load.requests or 0) / 2000 + case.load.warmup_seconds for case in plan.cases)
    return (counted if known is None else known) + OVERHEAD_S * len(plan.cases)


def _run_cases(plan: Plan, folder: RunDir, ready: Ready) -> None:
    folder.event("testbed", "start", hosts=plan.scenario.webs + plan.scenario.clients + 1)
    asked = folder.run_json()
    take_over = "any" if asked["break_lock"] else ""
    session = Session(plan, ready, run_id=asked["id"], keep=asked["keep"], take_over=take_over)
    try:
        _run_cases_on(session, plan, folder, ready)
        if ready.fleet and asked["keep"]:
            session.settle()
    finally:
        session.close()
        if session.left:
            folder.event("testbed", "not rolled back", hosts=sorted(session.left))
            _update(folder, not_rolled_back=session.left)


def _run_cases_on(session: Session, plan: Plan, folder: RunDir, ready: Ready) -> None:
    session.record(folder)
    _update(
        folder,
        fidelity=session.lab.fidelity,
        privilege="rootless" if ready.rootless else "root",
        engine=session.engines(),
        versions=session.versions(),
        director_cpus=sorted(ready.director_cpus),
        other_cpus=sorted(ready.placement.others),
        machine=session.lab.about,
        placement={"rps": session.lab.rps, "separate": ready.placement.separate},
        hosts=session.describe(),
    )
    folder.event("testbed", "done")
    left_out = unreachable_levels(plan, director_cpus=ready.director_cpus, max_queues=session.lab.queues)
    for number, case in enumerate(plan.cases, 1):
        tell = _teller(folder, case.id, number)
        case_run = CaseRun(case, session, folder, tell)
        if case.id in left_out:
            case_run.leave_out(left_out[case.id])
            tell("left out", reason=left_out[case.id])
            continue
        tell("start", arm=case.arm, block=case.block)
        record = case_run.run()
        rate = record["requests"]["completed"] / record["window_s"] if record["window_s"] else None
        tell(record["status"], requests_per_s=rate and round(rate, 1), error=record["error"])
        if record["status"] == "failed" and (case_run.dirty or not session.sound()):
            folder.event("testbed", "rebuild")
            session.reopen()
            folder.event("testbed", "done")


def _teller(folder: RunDir, case_id: str, number: int) -> Callable[..., None]:
    def tell(state: str, **fields: Any) -> None:
        folder.event("case", state, case=case_id, number=number, **fields)

    return tell
