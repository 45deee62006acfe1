"""ethtool: when a card raises IRQs (-c), which queue a flow goes to (-x), and by which header fields (-n rx-flow-hash).

Source: ethtool 6.1 (ethtool.c, netlink/coalesce.c), ethtool(8).
"""

from __future__ import annotations

from typing import TypedDict

from bmtlib.parsers.reading import COUNT, Lines

# Every version prints these; newer ones print more behind them.
_COALESCE = tuple(
    f"{direction}-{name}{when}"
    for when in ("", "-low", "-high")
    for direction in ("rx", "tx")
    for name in (("usecs", "frames", "usecs-irq", "frames-irq") if not when else ("usecs", "frame"))
)

_FLOWS = {"TCP over IPV4": "tcp4", "UDP over IPV4": "udp4", "TCP over IPV6": "tcp6", "UDP over IPV6": "udp6"}
_FIELDS = {
    "L2DA": "m",
    "VLAN tag": "v",
    "L3 proto": "t",
    "IP SA": "s",
    "IP DA": "d",
    "L4 bytes 0 & 1 [TCP/UDP src port]": "f",
    "L4 bytes 2 & 3 [TCP/UDP dst port]": "n",
}


class CoalesceRow(TypedDict):
    """One setting of interrupt coalescing.

    setting: "rx-usecs", "adaptive-rx" ...
    value: microseconds or packets; None for a switch, and when the driver has no such setting ("n/a")
    on: of a switch (adaptive-*, cqe-mode-*); None for a number, and when the driver has no such setting
    """

    setting: str
    value: int | None
    on: bool | None


class IndirectionRow(TypedDict):
    """One entry of the indirection table: flows whose hash ends in `entry` go to receive queue `queue`."""

    entry: int
    queue: int


class FlowHashRow(TypedDict):
    """What the hash of one kind of flow is made of.

    flow: "tcp4", "udp4", "tcp6", "udp6"
    fields: letters as `ethtool -N` takes them ("sdfn"), in the order "mvtsdfn"; "" for none, "r" when all is discarded
    """

    flow: str
    fields: str


def parse_coalesce(text: str) -> list[CoalesceRow]:
    """`ethtool -c`: one row per setting."""
    lines = Lines("ethtool", text)
    lines.take(r"Coalesce parameters for \S+:", "'Coalesce parameters for ...'")
    rows = _switches(lines, "Adaptive", "adaptive")
    while lines:
        if lines.take_if(""):
            continue
        if lines.next.startswith("CQE mode"):
            rows += _switches(lines, "CQE mode", "cqe-mode")
            continue
        match = lines.take(rf"(?P<name>[a-z][a-z-]*):\s+((?P<value>{COUNT})|n/a)", "a setting and its number")
        value = None if match["value"] is None else int(match["value"])
        rows.append(CoalesceRow(setting=match["name"], value=value, on=None))
    missing = [name for name in _COALESCE if name not in {row["setting"] for row in rows}]
    if missing:
        lines.fail(f"expected {missing[0]}")
    return rows


def _switches(lines: Lines, label: str, name: str) -> list[CoalesceRow]:
    answer = r"(on|off|n/a)"
    match = lines.take(rf"{label} RX: (?P<rx>{answer})  TX: (?P<tx>{answer}) *", f"'{label} RX: ...  TX: ...'")
    return [
        CoalesceRow(setting=f"{name}-{side}", value=None, on=None if match[side] == "n/a" else match[side] == "on")
        for side in ("rx", "tx")
    ]


def parse_rxfh(text: str) -> list[IndirectionRow]:
    """`ethtool -x`: one row per entry of the indirection table; none when the driver has none (it then says so)."""
    lines = Lines("ethtool", text)
    lines.take(r"RX flow hash indirection table for \S+ with \d+ RX ring\(s\):", "'RX flow hash indirection table ...'")
    rows: list[IndirectionRow] = []
    if not lines.take_if("Operation not supported"):
        while match := lines.take_if(r" *(?P<first>\d{1,6}):(?P<queues>( +\d{1,6})+) *"):
            if int(match["first"]) != len(rows):
                lines.fail(f"expected entry {len(rows)} on the line before")
            rows += [
                IndirectionRow(entry=len(rows) + i, queue=int(queue)) for i, queue in enumerate(match["queues"].split())
            ]
    lines.take(r"RSS hash key:", "'RSS hash key:'")
    lines.take(r"([0-9a-f]{2}(:[0-9a-f]{2})*|Operation not supported)", "the key")
    for heading in ("RSS hash function:", "RSS input transformation:"):  # missing in old, and in older versions
        if lines.take_if(heading) and not lines.take_if(r" *Operation not supported"):
            lines.take(r"    [a-z0-9-]+: (on|off)", "a function that is on or off")
            while lines.take_if(r"    [a-z0-9-]+: (on|off)"):
                pass
    lines.end()
    return rows


def parse_flow_hash(text: str) -> list[FlowHashRow]:
    """`ethtool -n IF rx-flow-hash FLOW`: one row."""
    lines = Lines("ethtool", text)
    flows = "|".join(_FLOWS)
    match = lines.take(
        rf"(?P<flow>{flows}) flows( use these fields for computing Hash flow key:| - (?P<gone>All matching flows .*))",
        "a kind of flow and what becomes of it",
    )
    found = ""
    if match["gone"]:
        found = "r"
    elif not lines.take_if("None"):
        while lines.next in _FIELDS:
            found += _FIELDS[lines.take(r".*", "a field")[0]]
        if not found:
            lines.fail("expected a header field")
    while lines.take_if(""):
        pass
    lines.end()
    return [FlowHashRow(flow=_FLOWS[match["flow"]], fields=found)]
