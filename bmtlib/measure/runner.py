"""Runs a plan: brings the testbed up, takes case after case, keeps the run folder true at every moment."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bmtlib
from bmtlib import doctor
from bmtlib.errors import BmtError, InputError, MachineError
from bmtlib.measure.case import CaseRun
from bmtlib.measure.limits import check_limits, unreachable_levels
from bmtlib.measure.session import Session
from bmtlib.params.load_yaml import load_profile_set
from bmtlib.plan import Plan, load_seconds
from bmtlib.rundir import FORMAT, RunDir
from bmtlib.testbeds.bring_up import vcpus_of
from bmtlib.testbeds.kernel import find_kernel
from bmtlib.testbeds.placement import Placement, pin_process, place
from bmtlib.testbeds.vm import GUEST_NOFILE, choose_accelerator

# What one case costs beside warm-up and load: for the estimate of the time left only.
OVERHEAD_S = 1.5


@dataclass(frozen=True, kw_only=True)
class Ready:
    """What `check` found out about this machine for a plan."""

    placement: Placement
    rootless: bool
    vcpus: int | None  # of a virtual director

    @property
    def director_cpus(self) -> frozenset[int]:
        """As the director itself numbers them."""
        return self.placement.director if self.vcpus is None else frozenset(range(self.vcpus))


def check(plan: Plan, *, tell: Callable[[str], None] = lambda _: None) -> Ready:
    """Everything that can be known before a run: programs, rights, limits. Raises MachineError or InputError.

    `tell` gets a line before each step that takes seconds.
    """
    if missing := doctor.missing_programs("vm" if plan.testbed.kind == "vm" else "all"):
        raise MachineError(f"programs are missing: {', '.join(missing)}", todo=doctor.install_command(missing))
    wish = plan.testbed.privilege
    rootless = (doctor.lab_privilege() if wish == "auto" else wish) == "rootless"
    placement = place(plan.testbed.placement.director_cpus, at_least=plan.scenario.director_cpus)
    vcpus = vcpus_of(plan.testbed, placement, plan.scenario.director_cpus)
    ready = Ready(placement=placement, rootless=rootless, vcpus=vcpus)
    check_limits(
        plan,
        director_cpus=ready.director_cpus,
        director_nofile=doctor.nofile_limit() if vcpus is None else GUEST_NOFILE,
        nofile=doctor.nofile_limit(),
        ab_concurrency=doctor.ab_concurrency_limit(),
        ports=_client_ports(plan.scenario.tuning),
    )
    if plan.testbed.kind == "vm":
        choose_accelerator(plan.testbed.vm, find_kernel(plan.testbed.vm.kernel, tell=tell), tell=tell)
    return ready


def _client_ports(tuning: str) -> int | None:
    """Local ports that the tuning profile gives a client, None when it leaves the kernel's range."""
    profile = load_profile_set(tuning, "client")
    setting = profile.sysctl.get("net.ipv4.ip_local_port_range") if profile else None
    if setting is None:
        return None
    first, last = str(setting.value).split()
    return int(last) - int(first) + 1


def create_run(plan: Plan, name: str, out: Path | str, texts: dict[str, str], choice: str = "") -> RunDir:
    """A run folder with the plan in it. `texts` are the resolved scenario.yml and testbed.yml by file name.

    `choice`: what the testbed `auto` became, and why.
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
        if ready.placement.separate:
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
    run_id = folder.run_json()["id"]
    with Session(plan, placement=ready.placement, rootless=ready.rootless, vcpus=ready.vcpus, run_id=run_id) as session:
        session.record(folder)
        _update(
            folder,
            fidelity=session.lab.fidelity,
            privilege="rootless" if ready.rootless else "root",
            engine=session.engines(),
            versions=doctor.program_versions(),
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
