"""Counters of one network namespace as the kernel writes them below /proc/net: snmp, netstat and snmp6; dev; sockstat.

The same as `nstat` and `ip -s link` say, without a process on the host. Source: net/ipv4/proc.c, net/ipv6/proc.c,
net/core/net-procfs.c of the kernel, proc(5).
"""

from __future__ import annotations

import re
from typing import TypedDict

from bmtlib.parsers.nstat import NstatRow
from bmtlib.parsers.reading import COUNT, Lines

# States and settings among the counters, which nstat leaves out, too (misc/nstat.c of iproute2).
_NO_COUNTERS = frozenset(
    ("IpForwarding", "IpDefaultTTL", "TcpRtoAlgorithm", "TcpRtoMin", "TcpRtoMax", "TcpMaxConn", "TcpCurrEstab")
)


# snmp6 has a line for each counter; of the others two lines are a group.
_ONE = re.compile(rf"([A-Z]\w+) *\t({COUNT})", re.ASCII)
_NAMES = re.compile(r"([A-Z]\w*):((?: \w+)+)", re.ASCII)
_VALUES = re.compile(rf"([A-Z]\w*):((?: -?{COUNT})+)", re.ASCII)


class DevRow(TypedDict):
    """One interface; counts since it was made. rx_dropped: missed by the card or dropped by the kernel."""

    interface: str
    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


class SockstatRow(TypedDict):
    """TCP sockets now.

    tcp_open: of this namespace, listening ones too, TIME_WAIT not
    tcp_timewait: of this namespace, in TIME_WAIT
    tcp_orphaned, tcp_allocated, tcp_memory_pages: of the whole machine
    """

    tcp_open: int
    tcp_timewait: int
    tcp_orphaned: int
    tcp_allocated: int
    tcp_memory_pages: int


def parse_snmp(text: str) -> list[NstatRow]:
    """snmp, netstat and snmp6, one behind the other: rows as `nstat.parse` has them, in the files' order.

    >>> rows = parse_snmp("Tcp: MaxConn ActiveOpens\\nTcp: -1 3\\nIp6InReceives                   \\t1\\n")
    >>> [(row["name"], row["count"]) for row in rows]
    [('TcpActiveOpens', 3), ('Ip6InReceives', 1)]
    """
    lines = Lines("snmp", text)
    rows: list[NstatRow] = []
    while lines:
        if match := lines.take_if(_ONE):
            rows.append(NstatRow(name=match[1], count=int(match[2])))
            continue
        head = lines.take(_NAMES, "names of a group of counters")
        group = head[1]
        values = lines.take(_VALUES, f"values of the group {group}")
        if values[1] != group:
            lines.fail(f"the values above are of the group {values[1]}, the names of {group}")
        names, counts = head[2].split(), values[2].split()
        if len(names) != len(counts):
            lines.fail(f"{len(names)} names and {len(counts)} values of the group {group} stand above")
        for word, count in zip(names, map(int, counts), strict=True):
            name = group + word
            if name in _NO_COUNTERS:
                continue
            if count < 0:
                lines.fail(f"{name} is negative")
            rows.append(NstatRow(name=name, count=count))
    if not any(row["name"] == "TcpActiveOpens" for row in rows):
        lines.fail("no TcpActiveOpens: not all of the kernel's counters")
    return rows


def parse_dev(text: str) -> list[DevRow]:
    """dev: one row per interface."""
    lines = Lines("netdev", text)
    lines.take(r"Inter-\| +Receive +\| +Transmit", "first heading")
    names = "bytes +packets +errs +drop +fifo"
    lines.take(rf" face \|{names} +frame +compressed +multicast\|{names} +colls +carrier +compressed", "second heading")
    rows = []
    while lines:
        match = lines.take(rf" *(?P<name>\S+):(?P<counts>( +{COUNT}){{16}})", "an interface with 16 counts")
        n = list(map(int, match["counts"].split()))
        rows.append(
            DevRow(
                interface=match["name"],
                rx_bytes=n[0],
                rx_packets=n[1],
                rx_errors=n[2],
                rx_dropped=n[3],
                tx_bytes=n[8],
                tx_packets=n[9],
                tx_errors=n[10],
                tx_dropped=n[11],
            )
        )
    if not rows:
        lines.fail("no interface: there is always a loopback interface")
    return rows


def parse_sockstat(text: str) -> list[SockstatRow]:
    """sockstat: one row.

    >>> parse_sockstat("sockets: used 9\\nTCP: inuse 5 orphan 0 tw 2 alloc 7 mem 1\\nUDP: inuse 0 mem 0\\n"
    ...     "UDPLITE: inuse 0\\nRAW: inuse 0\\nFRAG: inuse 0 memory 0\\n")[0]["tcp_open"]
    5
    """
    lines, n = Lines("sockstat", text), COUNT
    lines.take(rf"sockets: used {n}", "sockets")
    tcp = lines.take(rf"TCP: inuse ({n}) orphan ({n}) tw ({n}) alloc ({n}) mem ({n})", "TCP")
    lines.take(rf"UDP: inuse {n} mem {n}", "UDP")
    lines.take_if(rf"UDPLITE: inuse {n}")
    lines.take(rf"RAW: inuse {n}", "RAW")
    lines.take(rf"FRAG: inuse {n} memory {n}", "FRAG")
    lines.end()
    inuse, orphan, timewait, allocated, memory = map(int, tcp.groups())
    return [
        SockstatRow(
            tcp_open=inuse,
            tcp_timewait=timewait,
            tcp_orphaned=orphan,
            tcp_allocated=allocated,
            tcp_memory_pages=memory,
        )
    ]
