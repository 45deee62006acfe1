"""A host's two clocks: /proc/uptime, the time of day (`date +%s.%N`), /proc/uptime once more. Source: date(1), proc(5).

The time of day can be stepped or slewed, the time since boot (CLOCK_BOOTTIME, in steps of 10 ms) cannot: the difference
of their growth is what somebody did to the former. Read before and behind it, the latter says how sure that is.
"""

from __future__ import annotations

from typing import TypedDict

from bmtlib.parsers.reading import Lines

COMMAND = "read -r a _ < /proc/uptime; date +%s.%N; read -r b _ < /proc/uptime; echo $a $b"

_STEP_S = 0.01


class ClockRow(TypedDict):
    """epoch_s: time of day; uptime_s: since boot, at the same moment, give or take uncertainty_s."""

    epoch_s: float
    uptime_s: float
    uncertainty_s: float


def parse(text: str) -> list[ClockRow]:
    """One row.

    >>> parse("1795744436.893961648\\n1105.27 1105.29\\n")
    [{'epoch_s': 1795744436.8939617, 'uptime_s': 1105.28, 'uncertainty_s': 0.02}]
    """
    lines = Lines("clock", text)
    epoch = lines.take(r"(?P<s>\d{1,12}\.\d{9})", "seconds of the epoch")
    uptime = lines.take(r"(?P<before>\d{1,12}\.\d{2}) (?P<after>\d{1,12}\.\d{2})", "seconds since boot, twice")
    lines.end()
    before, after = float(uptime["before"]), float(uptime["after"])
    if after < before:
        lines.fail("the time since boot ran backwards")
    return [
        ClockRow(
            epoch_s=float(epoch["s"]),
            uptime_s=round((before + after) / 2, 6),
            uncertainty_s=round((after - before) / 2 + _STEP_S, 6),
        )
    ]
