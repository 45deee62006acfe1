"""How fast each interface is: `grep -H '' /sys/class/net/*/speed`. Source: Documentation/ABI/testing/sysfs-class-net.

An interface without a speed (down, loopback, tun) has no readable file or shows -1; a veth shows 10000, which is made
up: nothing holds it to that.
"""

from __future__ import annotations

from typing import TypedDict

from bmtlib.parsers.reading import Lines

COMMAND = "echo interfaces; grep -sH '' /sys/class/net/*/speed; true"


class SpeedRow(TypedDict):
    """One interface; mbit_per_s is None where it has no speed."""

    interface: str
    mbit_per_s: int | None


def parse(text: str) -> list[SpeedRow]:
    """One row per interface that has the file.

    >>> parse("interfaces\\n/sys/class/net/eth0/speed:10000\\n/sys/class/net/tun0/speed:-1\\n")
    [{'interface': 'eth0', 'mbit_per_s': 10000}, {'interface': 'tun0', 'mbit_per_s': None}]
    """
    lines = Lines("link_speed", text)
    lines.take("interfaces", "the heading")
    rows = []
    while lines:
        match = lines.take(r"/sys/class/net/(?P<interface>[^/:\s]+)/speed:(?P<speed>-1|\d{1,10})", "a speed")
        speed = int(match["speed"])
        # The kernel's SPEED_UNKNOWN is -1, which old kernels print as an unsigned number.
        known = 0 < speed < 2**31
        rows.append(SpeedRow(interface=match["interface"], mbit_per_s=speed if known else None))
    return rows
