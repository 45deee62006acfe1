"""`times` of a POSIX shell: CPU time of the shell and of the children it has waited for. Source: POSIX, dash, bash."""

from __future__ import annotations

from typing import TypedDict

from bmtlib.parsers.reading import Lines

_TIME = r"(\d{1,6})m(\d{1,2}\.\d{2,6})s"


class TimesRow(TypedDict):
    """CPU seconds of the children: what the shell ran. The kernel counts in ticks of 10 ms."""

    user_s: float
    system_s: float


def parse(text: str) -> list[TimesRow]:
    """One row.

    >>> parse("0m0.000000s 0m0.010000s\\n1m0.140000s 0m0.110000s\\n")
    [{'user_s': 60.14, 'system_s': 0.11}]
    """
    lines = Lines("times", text)
    lines.take(rf"{_TIME} {_TIME}", "the shell's own times")
    match = lines.take(rf"{_TIME} {_TIME}", "the times of the children")
    lines.end()
    minutes_u, seconds_u, minutes_s, seconds_s = match.groups()
    user_s, system_s = int(minutes_u) * 60 + float(seconds_u), int(minutes_s) * 60 + float(seconds_s)
    return [TimesRow(user_s=round(user_s, 6), system_s=round(system_s, 6))]
