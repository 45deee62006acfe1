"""What `bmt plan` and `bmt doctor` print: tables for people (rich). Text from files and hosts is never markup."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bmtlib.doctor import Check
from bmtlib.measure.runner import estimate_s
from bmtlib.params.load_yaml import load_profile_set
from bmtlib.params.profile import ROLES
from bmtlib.plan import Plan, rows


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    table = Table(title=Text(title), title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row))
    return table


def show_plan(plan: Plan) -> None:
    """The question, the cases in their order, the settings each role would get, and the time it will take."""
    console = Console()
    scenario = plan.scenario
    console.print(Text(f"{scenario.title}\n{scenario.question}\n"))
    cases = rows(plan)
    console.print(_table("Cases, in this order", list(cases[0]), [list(row.values()) for row in cases]))
    settings = [
        (role, key, setting.value, setting.reason)
        for role in ROLES
        if (profile := load_profile_set(scenario.tuning, role)) is not None
        for key, setting in profile.sysctl.items()
    ]
    title = f"Kernel settings of the profile '{scenario.tuning}' (a lab applies those of a network namespace alone)"
    console.print(_table(title, ["role", "key", "value", "reason"], settings))
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
