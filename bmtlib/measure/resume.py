"""Going on with a run: what is missing of it, and whether what is measured now may stand beside what is there.

A resumed run is one run: same plan, same profiles, same machine, same programs. Whatever differs is refused by name.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import bmtlib
from bmtlib.errors import InputError
from bmtlib.plan import Case, Plan, make_plan, plan_from_json
from bmtlib.rundir import FORMAT, RunDir
from bmtlib.setup.kernel_keys import known_keys

# Cases that ended as they will always end. All others are tried again.
KEPT = frozenset({"done", "rejected", "left out"})
_NEW_RUN = "start a new run: figures of different conditions do not mix in one"
_CPUINFO = ("model name", "Model", "Hardware")


def plan_of(folder: RunDir) -> Plan:
    """The plan in a run folder. InputError when it is not there, or broken."""
    path = folder.path / "plan.json"
    try:
        return plan_from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"plan.json cannot be read: {error}", where=str(path)) from None
    except InputError as error:
        raise InputError(error.what, where=str(path), todo=error.todo) from None


def check_folder(folder: RunDir, plan: Plan) -> None:
    """Raise one InputError when the run in `folder` cannot be gone on with, as far as its files tell."""
    run, where = folder.run_json(), str(folder.path)
    if run["format"] != FORMAT:
        raise InputError(f"{where} has format {run['format']}, and this bmtlib writes format {FORMAT}", todo=_NEW_RUN)
    if run["bmtlib"] != bmtlib.__version__:
        what = f"{where} was measured by bmtlib {run['bmtlib']}, and this is {bmtlib.__version__}"
        raise InputError(what, todo=_NEW_RUN)
    if not all(case.digest for case in plan.cases):
        raise InputError(f"{where} was planned by a bmtlib that could not go on with a run", todo=_NEW_RUN)
    if plan.digest != run["digest"]:
        raise InputError(
            "plan.json is not the plan of this run: its digest is another than that in run.json", where=where
        )
    now = make_plan(plan.scenario, plan.testbed)
    if now.digest != plan.digest:
        sets = " and ".join(repr(name) for name in plan.scenario.tunings)
        what = f"the profiles {sets} in params/profiles are not those that this run began with"
        raise InputError(what, where=where, todo=f"put them back as in the folder's profiles/, or {_NEW_RUN}")
    if now != plan:
        raise InputError("plan.json was changed: its scenario makes another plan", where=where, todo=_NEW_RUN)
    for case in plan.cases:
        record = _record(folder, case)
        if record is not None and record["status"] in KEPT and record.get("digest") != case.digest:
            what = f"cases/{case.id} is not a case of this plan: its digest is another"
            raise InputError(what, where=where, todo="was it copied from another run? take it out")
    if run["status"] == "done" and not missing(folder, plan):
        raise InputError(
            f"nothing is missing in {where}: the run is done", todo="leave out --resume: a new run is made"
        )


def check_same_plan(folder: RunDir, plan: Plan, asked: Plan) -> None:
    """Raise one InputError when the scenario and testbed that are asked for are not those of the folder."""
    if asked.digest == plan.digest:
        return
    before, now = (
        {"scenario": it.scenario.model_dump(mode="json"), "testbed": it.testbed.model_dump(mode="json")}
        for it in (plan, asked)
    )
    found = list(differences(before, now)) or ["the profiles in params/profiles"]
    raise _refused(folder, "scenario, testbed or settings are not those of the run", found)


def stopped_after(folder: RunDir) -> int | None:
    """The block after which the run ended by its rule; None when it has not, or has none."""
    stopping: dict[str, Any] = folder.run_json().get("stopping") or {}
    return stopping.get("stopped_after")


def needed(folder: RunDir, plan: Plan) -> list[Case]:
    """The plan's cases without those of blocks that a run which ended by its rule did not need."""
    stopped = stopped_after(folder)
    return [case for case in plan.cases if stopped is None or case.block <= stopped]


def missing(folder: RunDir, plan: Plan) -> list[Case]:
    """Cases still to be measured, in order: those without a record, and those that failed or were broken off."""
    return [case for case in needed(folder, plan) if (_record(folder, case) or {}).get("status") not in KEPT]


def _record(folder: RunDir, case: Case) -> dict[str, Any] | None:
    """case.json; None when there is none, or none that can be read."""
    try:
        return folder.case(case.id)
    except InputError:
        return None


def controller() -> dict[str, Any]:
    """This machine for run.json. Its id is a hash: it tells machines apart and names none.

    `sysctls` are of all network namespaces, so a lab's hosts have them and its tuning cannot change them.
    """
    try:
        name = Path("/etc/machine-id").read_text(encoding="utf-8").strip()
    except OSError:
        name = ""
    lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()]
    models = [value.strip() for key, _, value in lines if key.strip() in _CPUINFO]
    return {
        "id": hashlib.sha256(f"bmtlib {name}".encode()).hexdigest()[:12] if name else None,
        "kernel": os.uname().release,
        "cpu": models[0] if models else None,
        "cpus": os.cpu_count(),
        "sysctls": {key: found for key in _shared_keys() if (found := _sysctl(key)) is not None},
    }


def _shared_keys() -> list[str]:
    return [key for key, known in known_keys().items() if known.scope == "host" and "*" not in key]


def _sysctl(key: str) -> str | None:
    try:
        return " ".join(Path("/proc/sys", *key.split(".")).read_text(encoding="utf-8").split())
    except OSError:
        return None


def check_same_conditions(folder: RunDir, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise one InputError when hosts, programs or engines are not what they were. Both: parts of run.json."""
    found = list(differences(_steady(before), _steady(now)))
    if found:
        raise _refused(folder, "this is not the machine, or not the software, that the run began on", found)


def _steady(run: Mapping[str, Any]) -> dict[str, Any]:
    """Without what differs from one start of the same hosts to the next; hosts by name."""
    machine = {key: value for key, value in (run.get("machine") or {}).items() if key != "boot_s"}
    hosts = {host["name"]: host for host in run["hosts"]}
    return {**run, "machine": machine, "hosts": hosts}


def _refused(folder: RunDir, what: str, found: list[str]) -> InputError:
    lines = "".join(f"\n    {line}" for line in found[:20]) + ("\n    ..." if len(found) > 20 else "")
    return InputError(f"the run cannot be gone on with: {what}:{lines}", where=str(folder.path), todo=_NEW_RUN)


def differences(before: object, now: object, path: str = "") -> Iterator[str]:
    """Each value that differs, as a line with its key path.

    >>> list(differences({"a": {"b": 1, "c": [1]}}, {"a": {"b": 2, "c": [1]}, "d": 3}))
    ['a.b: was 1, is 2', 'd: was None, is 3']
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            yield from differences(before.get(key), now.get(key), f"{path}.{key}" if path else str(key))
    elif before != now:
        yield f"{path}: was {before!r}, is {now!r}"
