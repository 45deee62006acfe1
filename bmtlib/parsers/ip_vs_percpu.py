"""/proc/net/ip_vs_stats_percpu: LVS's counters by CPU. Source: net/netfilter/ipvs/ip_vs_ctl.c.

All numbers are hexadecimal, the CPU's too. The line "~" is not the sum of those above: the kernel copies it every 2 s.
"""

from __future__ import annotations

from typing import TypedDict

from bmtlib.parsers.reading import Lines

_HEX = r"[0-9A-F]{1,16}"


class IpVsCpuRow(TypedDict):
    """One CPU, offline ones too, or the total; counts since ip_vs was loaded in this network namespace.

    cpu: number of the CPU; None for the total, which may be 2 s old
    connections, in_packets, out_packets, in_bytes, out_bytes: in = from the client
    connections_per_s, in_packets_per_s, out_packets_per_s, in_bytes_per_s, out_bytes_per_s: estimates, total only
    """

    cpu: int | None
    connections: int
    in_packets: int
    out_packets: int
    in_bytes: int
    out_bytes: int
    connections_per_s: int | None
    in_packets_per_s: int | None
    out_packets_per_s: int | None
    in_bytes_per_s: int | None
    out_bytes_per_s: int | None


def parse(text: str) -> list[IpVsCpuRow]:
    """One row per CPU, then the total."""
    lines = Lines("ip_vs_percpu", text)
    lines.take(r" +Total Incoming Outgoing +Incoming +Outgoing", "first heading")
    lines.take(r"CPU +Conns +Packets +Packets +Bytes +Bytes", "second heading")
    numbers = rf"(?P<numbers>( +{_HEX}){{5}})"
    rows = []
    while match := lines.take_if(rf" *(?P<cpu>{_HEX}){numbers}"):
        rows.append(_row(int(match["cpu"], 16), match["numbers"], None))
    if not rows:
        lines.fail("expected the counts of a CPU")
    total = lines.take(rf" *~{numbers}", "the total (~)")["numbers"]
    lines.take("", "empty line")
    lines.take(r" +Conns/s +Pkts/s +Pkts/s +Bytes/s +Bytes/s", "heading of the rates")
    rates = lines.take(numbers, "five rates")["numbers"]
    lines.end()
    return [*rows, _row(None, total, rates)]


def _row(cpu: int | None, counts: str, rates: str | None) -> IpVsCpuRow:
    connections, in_packets, out_packets, in_bytes, out_bytes = (int(word, 16) for word in counts.split())
    rate = [None] * 5 if rates is None else [int(word, 16) for word in rates.split()]
    return IpVsCpuRow(
        cpu=cpu,
        connections=connections,
        in_packets=in_packets,
        out_packets=out_packets,
        in_bytes=in_bytes,
        out_bytes=out_bytes,
        connections_per_s=rate[0],
        in_packets_per_s=rate[1],
        out_packets_per_s=rate[2],
        in_bytes_per_s=rate[3],
        out_bytes_per_s=rate[4],
    )
