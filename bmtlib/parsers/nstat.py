"""`nstat -asz -j` of iproute2: the kernel's SNMP counters, absolute, zeros too. Source: misc/nstat.c, nstat(8).

Per network namespace. nstat leaves out what is no counter, such as TcpCurrEstab and TcpMaxConn.
"""

from __future__ import annotations

from typing import TypedDict

from bmtlib.parsers.reading import Json


class NstatRow(TypedDict):
    """One counter.

    name: group and counter in one word, as nstat has it ("TcpExtListenOverflows")
    count: since the namespace was made
    """

    name: str
    count: int


def parse(text: str) -> list[NstatRow]:
    """One row per counter, in the kernel's order. A text without TCP counters is refused.

    >>> parse('{"kernel":{"TcpActiveOpens":3,"TcpExtListenDrops":0}}')[0]
    {'name': 'TcpActiveOpens', 'count': 3}
    """
    counters = Json.load("nstat", text)["kernel"]
    rows = [NstatRow(name=name, count=value.count()) for name, value in counters.fields()]
    if not counters.has("TcpActiveOpens"):
        counters.fail("has no TcpActiveOpens: not all of the kernel's counters")
    return rows
