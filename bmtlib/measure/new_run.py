"""A run before it begins: its folder with the plan in it, and run.json with all that will be known at its end."""

from __future__ import annotations

from pathlib import Path

import bmtlib
from bmtlib.plan import Plan
from bmtlib.rundir import FORMAT, RunDir


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
            "controller": None,
            "machine": None,
            "director_cpus": [],
            "other_cpus": [],
            "placement": {},
            "hosts": [],
            "sessions": [],
            "stopping": None,
            "keep": keep,
            "break_lock": break_lock,
            "not_rolled_back": {},
            "error": None,
        },
    )
    return folder
