"""What `bmt plan` and `bmt doctor` print: tables for people (rich). Text from files and hosts is never markup."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bmtlib.doctor import Check
from bmtlib.measure.preview import Step
from bmtlib.measure.runner import estimate_s
from bmtlib.plan import Plan, rows


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
        table = [(step.what, step.now or "-", step.then or "-", step.scope) for step in mine]
        console.print(_table(f"{host}, {when}", ["change", "now", "then", "scope"], table))
    left = [(step.host, step.what, step.then or "-", step.reason) for step in steps if not step.done]
    if left:
        title = f"Settings of the profile '{scenario.tuning}' that these hosts cannot have"
        console.print(_table(title, ["host", "what", "wanted", "why not"], left))
    hosts = f"1 director, {scenario.webs} web hosts, {scenario.clients} clients on testbed {plan.testbed.kind}"
    console.print(Text(f"{hosts}; {len(plan.cases)} cases, about {estimate_s(plan):.0f} s; digest {plan.digest[:12]}"))
    console.print("Nothing was changed.")


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
