"""What `bmt plan`, `doctor`, `apply`, `verify` and `rollback` print: tables for people (rich).

Text from files and hosts is never markup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bmtlib.doctor import Check
from bmtlib.fleet import Applied
from bmtlib.hosts.rollback import Drift, Rolled
from bmtlib.knee_plan import Search, at_the_cap, make_knee_plan, wish
from bmtlib.measure.estimate import case_s, estimate_s
from bmtlib.measure.preview import Step
from bmtlib.params.repetitions import fewest_blocks, words
from bmtlib.plan import Plan, rows
from bmtlib.widgets.progress import duration

_SCOPES = {"netns": "netns", "host": "host", "machine": "machine", "reboot": "host, needs reboot"}


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    table = Table(title=Text(title), title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row))
    return table


def show_plan(plan: Plan, steps: Sequence[Step]) -> None:
    """The question, the cases in their order, what would be done to which host, and the time it will take."""
    console = Console()
    scenario = plan.scenario
    console.print(Text(f"{scenario.title}\n{scenario.question}\n"))
    cases = rows(plan)
    # A column that says the same of every case says it once, above: narrow terminals have no room for ten columns.
    varied = [column for column in cases[0] if len({row[column] for row in cases}) > 1]
    fixed = [f"{column} {value}" for column, value in cases[0].items() if column not in varied and value]
    console.print(Text(f"Every case: {', '.join(fixed)}") if fixed else "")
    console.print(_table("Cases, in this order", varied, [[row[column] for column in varied] for row in cases]))
    for host, when in dict.fromkeys((step.host, step.when) for step in steps if step.done):
        mine = [step for step in steps if step.done and (step.host, step.when) == (host, when)]
        table = [
            (step.what, step.now or "-", step.then or "-", _SCOPES[step.scope], step.reason, step.profile or "-")
            for step in mine
        ]
        columns = ["change", "now", "then", "scope", "reason", "profile"]
        console.print(_table(f"{host}, {when}", columns, table))
    left = [(step.host, step.what, step.then or "-", step.reason) for step in steps if not step.done]
    if left:
        title = f"Settings of the profile '{' and '.join(scenario.tunings)}' that these hosts cannot have"
        console.print(_table(title, ["host", "what", "wanted", "why not"], left))
    console.print(Text(f"{hosts(plan)}; {size(plan)}; digest {plan.digest[:12]}"))
    if scenario.knee is not None:
        console.print(Text(_search(plan)))
    console.print("Nothing was changed.")


def _search(plan: Plan) -> str:
    """What `bmt knee` would do, which finds its cases as it goes."""
    whole = make_knee_plan(plan.scenario, plan.testbed)
    knee, most = wish(whole), Search(whole).most_cases()
    seconds = most * max(map(case_s, at_the_cap(whole).cases))
    unit = "requests/s" if knee.vary == "rate" else "connections"
    return (
        f"The cases above are those of `bmt run`. `bmt knee` searches in each arm from {knee.lowest:,} {unit} up to "
        f"{knee.highest:,}, to {knee.precision:.0%}, with {knee.confirm} cases at a level: {most} cases at the most, "
        f"about {duration(seconds)}"
    )


def hosts(plan: Plan) -> str:
    """How many hosts there are, and of which kind."""
    scenario = plan.scenario
    return f"1 director, {scenario.webs} web hosts, {scenario.clients} clients on testbed {plan.testbed.kind}"


def size(plan: Plan) -> str:
    """How many cases, and how long they will take."""
    rule = plan.scenario.repetitions
    fewest = [case for case in plan.cases if case.block <= fewest_blocks(rule)]
    most = f"{len(plan.cases)} cases, about {duration(estimate_s(plan.cases))}"
    if len(fewest) == len(plan.cases):
        return most
    least = f"{len(fewest)} cases at least, about {duration(estimate_s(fewest))}"
    return f"{least}; {most} at the most (blocks: {words(rule)})"


def show_checks(checks: Sequence[Check]) -> None:
    """One line for each finding; what to do stands under each "no"."""
    console = Console()
    words = {True: ("yes", "green"), False: ("no", "red"), None: ("-", "dim")}
    table = Table(header_style="bold")
    for column in ("this machine", "", "finding"):
        table.add_column(column, overflow="fold")
    for check in checks:
        word, style = words[check.ok]
        finding = Text(check.value)
        if check.todo and check.ok is not True:
            finding.append(f"\nto do: {check.todo}", style="yellow")
        table.add_row(Text(check.name), Text(word, style=style), finding)
    console.print(table)


def show_applied(applied: Applied, testbed: str) -> None:
    """How many changes were made on which host, what could not be had, and how to take them back."""
    console = Console()
    if not any(applied.changes.values()):
        console.print("Nothing to do: every host is as wished.")
    else:
        rows = [(name, len(changes), len(applied.not_applied[name])) for name, changes in applied.changes.items()]
        console.print(_table("Applied", ["host", "changes", "cannot be had"], rows))
        console.print(
            Text(f"run {applied.run_id}; take back: bmt rollback {applied.run_id} --testbed {testbed}"), soft_wrap=True
        )
    if applied.reboots:
        console.print(Text(f"Needs a reboot, which is yours to do: {', '.join(applied.reboots)}"))


def show_drift(found: Mapping[str, tuple[int, Sequence[Drift]] | BaseException]) -> None:
    """Per host: how many changes are in force; and each that is not any more."""
    console = Console()
    rows = [(name, "cannot be read", str(it)) for name, it in found.items() if isinstance(it, BaseException)]
    rows += [(name, f"{it[0]} changes", f"{len(it[1])} drifted") for name, it in found.items() if isinstance(it, tuple)]
    console.print(_table("Changes in force", ["host", "changes", "found"], rows))
    drifts = [(name, it) for name, pair in found.items() if isinstance(pair, tuple) for it in pair[1]]
    if drifts:
        lines = [(name, it.what, it.want or "-", it.found or "-", it.run) for name, it in drifts]
        console.print(_table("Drifted", ["host", "change", "wanted", "found", "run"], lines))


def show_rolled(found: Mapping[str, Rolled | BaseException]) -> None:
    """Per host: what was undone, what is left, and why."""
    console = Console()
    rows = [
        (name, "-", "all that there is", str(it))
        if isinstance(it, BaseException)
        else (name, len(it.undone), ", ".join(it.left) or "nothing", it.said if it.left else "")
        for name, it in found.items()
    ]
    console.print(_table("Rolled back", ["host", "undone", "left", "why"], rows))
