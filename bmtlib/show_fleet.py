"""What `bmt doctor --testbed` prints: a row for each host, then what to do. Text from hosts is never markup."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bmtlib.doctor import Check
from bmtlib.fleet_doctor import HostReport

# Columns, and the findings in each: one column for each finding would be too narrow to read.
COLUMNS = {
    "system": ("reach", "answers", "identity", "system", "kernel", "ip_vs", "CPUs"),
    "network": ("place", "front", "back", "port"),
    "state": ("clock", "space", "programs"),
}
_ALONE = {"system", "space"}  # what needs no name before its value
_SHOWN = 4  # names of hosts in a cell; the rest is counted
_STYLES = {True: "", False: "red", None: "yellow"}


def show_fleet(reports: Sequence[HostReport]) -> None:
    """Every host in the order of the testbed; below, each "no" and each remark once, with the hosts that share it."""
    console = Console()
    table = Table(header_style="bold", show_lines=True)
    for column in ("host", "serves", *COLUMNS):
        table.add_column(column, overflow="fold")
    for report in reports:
        way = [check.value for check in report.checks if check.name == "reach" and check.ok]
        host = Text("\n".join([f"{report.host}, {report.role}", *way]))
        serves = Text("yes", style="green") if report.serves else Text("no", style="red")
        table.add_row(host, serves, *(_cell(report, names) for names in COLUMNS.values()))
    console.print(table)
    if remarks := _remarks(reports):
        table = Table(title=Text("What to do"), title_justify="left", header_style="bold")
        for column in ("hosts", "finding", "to do"):
            table.add_column(column, overflow="fold")
        for (finding, todo), hosts in remarks.items():
            table.add_row(Text(_names(hosts)), Text(finding), Text(todo))
        console.print(table)
    able = sum(report.serves for report in reports)
    console.print(Text(f"{able} of {len(reports)} hosts can serve in their roles. Nothing was changed."))


def to_json(reports: Sequence[HostReport]) -> str:
    return json.dumps([{**asdict(report), "serves": report.serves} for report in reports], indent=1)


def _cell(report: HostReport, names: Sequence[str]) -> Text:
    shown = [check for check in report.checks if check.name in names and not (check.name == "reach" and check.ok)]
    return Text("\n").join(Text(_line(check), style=_STYLES[check.ok]) for check in shown)


def _line(check: Check) -> str:
    return check.value if check.name in _ALONE else f"{check.name}: {check.value}"


def _remarks(reports: Sequence[HostReport]) -> dict[tuple[str, str], list[str]]:
    """(finding, what to do) -> hosts. Those that keep a host from serving come first."""
    found: dict[tuple[str, str], list[str]] = {}
    for worst in (False, None):
        for report in reports:
            for check in report.checks:
                if check.ok is worst and check.todo:
                    found.setdefault((_line(check), check.todo), []).append(report.host)
    return found


def _names(hosts: Sequence[str]) -> str:
    more = f" and {len(hosts) - _SHOWN} more" if len(hosts) > _SHOWN else ""
    return ", ".join(hosts[:_SHOWN]) + more
