"""Our own look at a host's CPUs, cards and interrupts (setup/hardware_script.py): sections of what commands said."""

from __future__ import annotations

from typing import TypedDict

from bmtlib.parsers.reading import Lines


class SectionRow(TypedDict):
    """What one command said.

    title: the command ("ethtool -g eth0"), or the name of a part of the script ("masks eth0")
    exit_code: 0 when it could tell
    text: standard output and error, without empty lines at the end; "" for nothing
    """

    title: str
    exit_code: int
    text: str


def parse(text: str) -> list[SectionRow]:
    """One row per section, in order. The text ends in a section "end": without it it is cut off.

    >>> parse("@@ 1 ethtool -l eth0\\n| netlink error: no\\n@@ 0 end\\n")
    [{'title': 'ethtool -l eth0', 'exit_code': 1, 'text': 'netlink error: no\\n'}]
    """
    lines = Lines("hardware", text)
    rows: list[SectionRow] = []
    while True:
        match = lines.take(r"@@ (?P<code>\d{1,3}) (?P<title>\S.*)", "a section's exit code and title")
        if match["title"] == "end":
            break
        said = ""
        while said_line := lines.take_if(r"\| (?P<line>.*)"):
            said += said_line["line"] + "\n"
        rows.append(SectionRow(title=match["title"], exit_code=int(match["code"]), text=said))
    lines.end()
    if not rows:
        lines.fail("expected a section before the end")
    return rows
