"""What the notebook 00-check-testbed shows: what the machines can do, which testbed is taken, what a run would be."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence

from bmtlib import doctor
from bmtlib.doctor import Check, choose_testbed, examine
from bmtlib.errors import BmtError, MachineError
from bmtlib.measure.ready import check
from bmtlib.params.load_yaml import load_testbed
from bmtlib.params.testbed import Testbed
from bmtlib.plan import Plan, rows
from bmtlib.report.render import Html, render, table
from bmtlib.run import Loaded, load
from bmtlib.show import hosts, size
from bmtlib.widgets.run_panel_state import Choice, Planned, shown_cases

_WORDS = {True: ("✔\u00a0yes", "ok"), False: ("✘\u00a0no", "reject"), None: ("–", "mark")}


def chosen(testbed: str, settings: Sequence[str] = ()) -> tuple[str, str]:
    """The testbed that would be taken, and why. Downloads and installs nothing."""
    if testbed == "auto":
        return choose_testbed(fetch=False)
    return testbed, f"it was named, and is of kind {_bed(testbed, settings).kind}"


def _bed(name: str, settings: Sequence[str]) -> Testbed:
    return load_testbed(name, [text for text in settings if text.startswith("testbed.")])


def machines(testbed: str, settings: Sequence[str] = ()) -> Html:
    """What this machine can do, or each host of a testbed of one's own; and what to do about each "no"."""
    name, _ = chosen(testbed, settings)
    bed = _bed(name, settings)
    if bed.kind != "ssh":
        return _checks("What this machine can do", {"": examine()})
    from bmtlib.fleet_doctor import examine_fleet
    from bmtlib.hosts.secret import sudo_password

    reports = examine_fleet(bed, secret=sudo_password, tell=print)
    return _checks("What each host can do", {f"{it.host} ({it.role})": it.checks for it in reports})


def _checks(title: str, found: Mapping[str, Iterable[Check]]) -> Html:
    lines = []
    for host, checks in found.items():
        for one in checks:
            word, look = _WORDS[one.ok]
            lines.append(
                {
                    "asked": ": ".join(filter(None, [host, one.name])),
                    "can": Html('<span class="{}">{}</span>').format(look, word),
                    "found": one.value,
                    "to do": one.todo if one.ok is not True else "",
                }
            )
    note = "– is neither: it was not tried, or only some runs need it."
    return table(title, lines, note)


def choice(testbed: str, settings: Sequence[str] = ()) -> Html:
    """Which testbed would be taken, and why."""
    name, why = chosen(testbed, settings)
    return render("facts", facts={"testbed": name, "because": why})


def planned(plan: Plan, command: str = "") -> Planned:
    """A plan as people read it. `command` does it in a terminal."""
    return Planned(
        title=plan.scenario.title,
        question=plan.scenario.question,
        cases=rows(plan),
        size=size(plan),
        hosts=hosts(plan),
        command=command,
    )


def dry_plan(scenario: str, testbed: str, settings: Sequence[str] = ()) -> Html:
    """The cases of a run in their order, without touching a host."""
    name, _ = chosen(testbed, settings)
    found = planned(load(scenario, name, settings).plan)
    cases, note = shown_cases(found)
    return render("facts", facts={"hosts": found.hosts, "size": found.size}) + table(found.title, cases, note)


def verdict(scenario: str, testbed: str, settings: Sequence[str] = ()) -> list[str]:
    """Whether the run can be made here, as sentences; looked up, not tried out."""
    name, why = chosen(testbed, settings)
    loaded = load(scenario, name, settings)
    try:
        _look(loaded)
    except BmtError as error:
        lines = [f"{scenario} cannot be run on testbed {name} yet: {error.what}."]
        return lines + ([f"To do: {error.todo}."] if error.todo else [])
    words = Choice(scenario=scenario, testbed=testbed, settings=shlex.join(settings)).words
    return [
        f"{scenario} can be run here, on testbed {name}: {size(loaded.plan)}.",
        f"Testbed {name}: {why}.",
        f"In a terminal: ./bmt run {shlex.join(words)}",
    ]


def _look(loaded: Loaded) -> None:
    """Raise what keeps the run from being made. A virtual director's kernel may still have to be downloaded."""
    if loaded.plan.testbed.kind == "vm":
        if missing := doctor.missing_programs("vm"):
            raise MachineError(f"programs are missing: {', '.join(missing)}", todo=doctor.install_command(missing))
    else:
        check(loaded.plan).close()
