"""`sysctl -a` of procps: every kernel setting that can be read. Keys that cannot are named on standard error."""

from __future__ import annotations

from typing import TypedDict

from bmtlib.parsers.reading import Lines


class SysctlRow(TypedDict):
    """One setting.

    key: with dots ("net.core.somaxconn"); a dot inside an interface's name is a slash, as sysctl prints it
    value: text as printed, "" when empty; several numbers are separated by tabs, several lines by newlines
    """

    key: str
    value: str


def parse(text: str) -> list[SysctlRow]:
    """One row per key, in sysctl's order. A cut at the end of a line goes unnoticed.

    >>> parse("net.ipv4.tcp_rmem = 4096\\t131072\\t6291456\\n")
    [{'key': 'net.ipv4.tcp_rmem', 'value': '4096\\t131072\\t6291456'}]
    """
    lines = Lines("sysctl", text)
    rows: list[SysctlRow] = []
    while lines:
        match = lines.take(r"(?P<key>[a-z]\w*(\.[^\s=]+)+) = (?P<value>.*)", "'key = value'")
        if rows and rows[-1]["key"] == match["key"]:  # sysctl repeats the key before each line of a long value
            rows[-1]["value"] += "\n" + match["value"]
        else:
            rows.append(SysctlRow(key=match["key"], value=match["value"]))
    return rows


def local_ports(text: str) -> int | None:
    """How many local ports connections may use (net.ipv4.ip_local_port_range); None where the key is not among them.

    >>> local_ports("net.ipv4.ip_local_port_range = 32768\\t60999\\n")
    28232
    """
    for row in parse(text):
        if row["key"] == "net.ipv4.ip_local_port_range":
            low, _, high = row["value"].partition("\t")
            return int(high) - int(low) + 1
    return None
