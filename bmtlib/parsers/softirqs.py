"""/proc/softirqs: how often each kind of softirq ran on each CPU. Source: fs/proc/softirqs.c."""

from __future__ import annotations

import re
from typing import TypedDict

from bmtlib.parsers.reading import COUNT, Lines

_KINDS = ("HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "(?:IRQ_POLL|BLOCK_IOPOLL)", "TASKLET", "SCHED", "HRTIMER", "RCU")


class SoftirqRow(TypedDict):
    """One kind on one CPU; counts since boot, 32 bits wide (they wrap around).

    kind: HI, TIMER, NET_TX, NET_RX, BLOCK, IRQ_POLL (BLOCK_IOPOLL before Linux 4.5), TASKLET, SCHED, HRTIMER, RCU
    cpu: number of the CPU; offline ones are here too
    count: times it ran
    """

    kind: str
    cpu: int
    count: int


def parse(text: str) -> list[SoftirqRow]:
    """One row per kind and CPU, in the order of the file."""
    lines = Lines("softirqs", text)
    heading = lines.take(r" +CPU\d+( +CPU\d+)* *", "heading with the CPUs")[0]
    cpus = [int(cpu) for cpu in re.findall(r"\d+", heading)]
    rows: list[SoftirqRow] = []
    for kind in _KINDS:
        line = lines.take(
            rf" *(?P<kind>{kind}):(?P<counts>( +{COUNT}){{{len(cpus)}}})", f"{kind} and {len(cpus)} counts"
        )
        counts = line["counts"].split()
        rows += [SoftirqRow(kind=line["kind"], cpu=cpu, count=int(n)) for cpu, n in zip(cpus, counts, strict=True)]
    lines.end()
    return rows
