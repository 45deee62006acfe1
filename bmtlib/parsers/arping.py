"""`arping` of iputils: who answers ARP for an address. Source: arping.c, arping(8).

The times it prints are not returned: up to 20221126 at least, it rounds the milliseconds and then adds 0.5 ms.
"""

from __future__ import annotations

from typing import TypedDict

from bmtlib.parsers.reading import COUNT, Lines

_MAC = r"[0-9A-F]{2}(:[0-9A-F]{2}){5}"


class ArpingRow(TypedDict):
    """One packet that came back.

    ip: address that was asked for
    mac: who has it, lower case
    kind: "reply", or "request" when the other host asks for the same address itself
    broadcast: whether it was sent to all
    """

    ip: str
    mac: str
    kind: str
    broadcast: bool


def parse(text: str) -> list[ArpingRow]:
    """One row per packet received; none when nobody answers. The summary must stand below and count the same.

    >>> head = "ARPING 192.168.16.100 from 192.168.16.11 eth0\\n"
    >>> parse(head + "Sent 2 probes (2 broadcast(s))\\nReceived 0 response(s)\\n")
    []
    """
    lines = Lines("arping", text)
    ip = lines.take(r"ARPING (?P<ip>\S+) from \S+ \S+", "'ARPING address from address interface'")["ip"]
    rows = []
    while match := lines.take_if(
        rf"(?P<cast>Unicast|Broadcast) (?P<kind>reply|request) from (?P<ip>\S+) \[(?P<mac>{_MAC})\] "
        rf"(for (\S+ )?)?(\[{_MAC}\])? (\d+\.\d+ms|UNSOLICITED\?)"
    ):
        row = ArpingRow(
            ip=match["ip"], mac=match["mac"].lower(), kind=match["kind"], broadcast=match["cast"] == "Broadcast"
        )
        rows.append(row)
        if row["ip"] != ip:
            lines.fail(f"the line before is about {row['ip']}, not {ip}")
    lines.take(rf"Sent {COUNT} probes \({COUNT} broadcast\(s\)\)", "a reply, or 'Sent N probes'")
    received = lines.take(rf"Received (?P<n>{COUNT}) response\(s\)( \(\d.*\))?", "'Received N response(s)'")
    lines.end()
    if int(received["n"]) != len(rows):
        lines.fail(f"{received[0]!r}, but {len(rows)} replies are printed")
    return rows
