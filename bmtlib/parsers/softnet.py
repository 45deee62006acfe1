"""/proc/net/softnet_stat: what each CPU's receive softirq did. Source: net/core/net-procfs.c (`softnet_seq_show`).

The file has one line per *online* CPU, in hexadecimal without a heading. It grew: 11 columns up to Linux 5.9, 13 since
5.10 (backlog length, CPU), 15 on later 6.x (the two queues that make up the backlog). All counters are 32 bits wide and
wrap around: take differences modulo 2**32.
"""

from __future__ import annotations

from typing import TypedDict

from bmtlib.parsers.reading import Lines


class SoftnetRow(TypedDict):
    """One online CPU; counts since boot.

    position: number of the line, from 0. Not the CPU's number when a CPU is offline
    cpu: number of the CPU; None with 11 columns, which do not tell
    processed: packets taken from the backlog or by NAPI
    dropped: packets dropped because the CPU's backlog was full (net.core.netdev_max_backlog)
    squeezed: times the softirq stopped with work left over; no packet is lost
    received_rps: times another CPU woke this one (RPS, RFS)
    flow_limit: packets dropped by the flow limit
    backlog_packets: packets waiting now; None with 11 columns
    input_packets, process_packets: the backlog's two queues now; None with fewer than 15 columns
    """

    position: int
    cpu: int | None
    processed: int
    dropped: int
    squeezed: int
    received_rps: int
    flow_limit: int
    backlog_packets: int | None
    input_packets: int | None
    process_packets: int | None


def parse(text: str) -> list[SoftnetRow]:
    """One row per line. Other widths than 11, 13 and 15 columns are refused, as are lines of different widths.

    A file cut at the end of a line cannot be told from that of a machine with fewer CPUs.

    >>> [(row["cpu"], row["dropped"]) for row in parse("0000116e 0000000a" + " 00000000" * 10 + " 00000001\\n")]
    [(1, 10)]
    """
    lines = Lines("softnet", text)
    width = len(lines.next.split())
    if width not in (11, 13, 15):
        lines.fail(f"{width} columns: known are 11, 13 and 15")
    rows: list[SoftnetRow] = []
    while lines:
        line = lines.take(rf"[0-9a-f]{{8}}( [0-9a-f]{{8}}){{{width - 1}}}", f"{width} hexadecimal numbers")[0]
        # Columns 3 to 7 have been written as 0 since 2.6; column 8 (cpu_collision) since 4.7.
        value = dict(enumerate(int(word, 16) for word in line.split()))
        rows.append(
            SoftnetRow(
                position=len(rows),
                cpu=value.get(12),
                processed=value[0],
                dropped=value[1],
                squeezed=value[2],
                received_rps=value[9],
                flow_limit=value[10],
                backlog_packets=value.get(11),
                input_packets=value.get(13),
                process_packets=value.get(14),
            )
        )
    return rows
