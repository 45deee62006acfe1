"""CPU time of every process of one PID namespace: /proc/PID/stat, cut to four fields. Source: proc(5).

`sed` prints `<pid> <user ticks> <system ticks> <name>` for each; COMMAND is what the probe runs. A process that ends
takes its figures with it, so only of those that stand at both moments is a difference known. Unless the kernel keeps
softirqs apart (CONFIG_IRQ_TIME_ACCOUNTING) it charges them to the process that they interrupt, whomever they serve.
"""

from __future__ import annotations

from typing import TypedDict

from bmtlib.parsers.reading import COUNT, Lines

# A process may end between the shell's list of files and the reading of its own.
COMMAND = (
    r"sed -En 's/^([0-9]+) \((.*)\) \S+( \S+){10} ([0-9]+) ([0-9]+) .*/\1 \4 \5 \2/p' /proc/[0-9]*/stat 2>/dev/null;"
    " true"
)


class ProcessRow(TypedDict):
    """One process. user_ticks, system_ticks: since it began, all its threads; 1 / stat.TICKS_PER_S seconds each."""

    pid: int
    name: str
    user_ticks: int
    system_ticks: int


def parse(text: str) -> list[ProcessRow]:
    """One row per process.

    >>> parse("7 150 1037 nginx\\n")
    [{'pid': 7, 'name': 'nginx', 'user_ticks': 150, 'system_ticks': 1037}]
    """
    lines = Lines("processes", text)
    rows = []
    while lines:
        match = lines.take(rf"(?P<pid>\d{{1,10}}) (?P<user>{COUNT}) (?P<system>{COUNT}) (?P<name>.*)", "a process")
        rows.append(
            ProcessRow(
                pid=int(match["pid"]),
                name=match["name"],
                user_ticks=int(match["user"]),
                system_ticks=int(match["system"]),
            )
        )
    return rows
