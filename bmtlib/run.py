"""From names to a measured run folder in three steps: load, start, measure. Command line and notebook go this way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmtlib.doctor import choose_testbed
from bmtlib.knee_plan import at_the_cap, make_knee_plan
from bmtlib.measure.knee import refuse_resume, run_knee
from bmtlib.measure.new_run import create_run
from bmtlib.measure.probe_choice import check_names
from bmtlib.measure.ready import check
from bmtlib.measure.resume import check_folder, check_same_plan, plan_of
from bmtlib.measure.runner import run_plan
from bmtlib.params.load_yaml import find_file, load_inputs, load_profile_set, to_yaml
from bmtlib.params.paths import project_root
from bmtlib.params.profile import ROLES
from bmtlib.plan import Plan, make_plan
from bmtlib.rundir import RunDir


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A plan, its scenario's name, and texts for its run folder by file name: scenario, testbed, profiles.

    `choice` says which testbed `auto` became and why; empty when the testbed was named.
    """

    name: str
    plan: Plan
    texts: dict[str, str]
    choice: str = ""


def load(scenario: str, testbed: str = "netns", settings: Sequence[str] = (), *, search: bool = False) -> Loaded:
    """Read a scenario and a testbed by name or path, with `key=value` overrides. Raises InputError with all errors.

    The testbed `auto` becomes the one with the best LVS that this machine can have now. With `search` the plan is that
    of `bmt knee`, which has its cases yet to find.
    """
    choice = ""
    if testbed == "auto":
        testbed, why = choose_testbed()
        choice = f"{testbed}: {why}"
    found, bed = load_inputs(scenario, testbed, settings)
    check_names(found.probes)
    name = find_file("scenarios", scenario).stem
    texts = {"scenario.yml": to_yaml(found), "testbed.yml": to_yaml(bed)}
    for tuning in found.tunings:
        for role in ROLES:
            if (profile := load_profile_set(tuning, role)) is not None:
                texts[f"profiles/{tuning}-{role}.yml"] = to_yaml(profile)
    plan = make_knee_plan(found, bed) if search else make_plan(found, bed)
    return Loaded(name=name, plan=plan, texts=texts, choice=choice)


def default_out() -> Path:
    """Where run folders go: data/ of the clone, or of the current folder for an installed package."""
    root = project_root()
    return (Path.cwd() if root.name == "share" else root) / "data"


def start(
    loaded: Loaded,
    out: str | Path | None = None,
    *,
    tell: Callable[[str], None] = lambda _: None,
    keep: bool = False,
    break_lock: bool = False,
) -> RunDir:
    """Check that the machines can do it (MachineError, InputError), then make the run folder.

    `tell` gets a line before each step that takes seconds: a kernel's download, a trial of KVM. Of hosts of one's own:
    with `keep` they stay as prepared, with `break_lock` they are taken from whoever holds them.
    """
    check(_whole(loaded.plan), tell=tell).close()
    return create_run(
        loaded.plan,
        loaded.name,
        Path(out) if out else default_out(),
        loaded.texts,
        loaded.choice,
        keep=keep,
        break_lock=break_lock,
    )


def measure(folder: RunDir) -> dict[str, Any]:
    """Measure what is missing of the plan that lies in `folder`; the final run.json."""
    plan = plan_of(folder)
    return (run_knee if plan.search else run_plan)(plan, folder, check(_whole(plan)))


def _whole(plan: Plan) -> Plan:
    """The plan with all that it may have to measure: that of a search has no cases yet."""
    return at_the_cap(plan) if plan.search else plan


def reopen(
    path: str | Path,
    asked: Loaded | None = None,
    *,
    tell: Callable[[str], None] = lambda _: None,
    keep: bool = False,
    break_lock: bool = False,
) -> RunDir:
    """The folder of a run that was broken off, to be gone on with; `measure` does what is missing.

    Raises InputError, before anything is changed, when it cannot be: another format, plan, profile or program; another
    scenario or testbed than `asked`; a run that is under way, or has nothing missing. And what `start` raises.
    """
    folder = RunDir.open(path)
    plan = plan_of(folder)
    if plan.search:
        refuse_resume(folder)
    if asked is not None:
        check_same_plan(folder, plan, asked.plan)
    with folder.held():
        check_folder(folder, plan)
        check(plan, tell=tell).close()
        wishes = {"keep": keep, "break_lock": break_lock}
        folder.write_json("run.json", folder.run_json() | {key: True for key, wish in wishes.items() if wish})
    return folder
