"""/proc/interrupts: how often each interrupt reached each CPU. Source: kernel/irq/proc.c, arch/x86/kernel/irq.c."""

from __future__ import annotations

import re
from typing import TypedDict

from bmtlib.parsers.reading import COUNT, Lines


class InterruptRow(TypedDict):
    """One interrupt on one CPU; counts since boot, 32 bits wide (they wrap around).

    irq: its number as text ("43"), or a name for what is no device ("LOC", "RES", "ERR")
    cpu: number of the CPU (offline ones are absent); None for the sums ERR and MIS
    count: times it was taken
    description: chip, hardware number, trigger and devices ("PCI-MSI 180225-edge virtio9-input.0"), or what a name
        stands for; runs of blanks are one blank; "" for the sums
    """

    irq: str
    cpu: int | None
    count: int
    description: str


def parse(text: str) -> list[InterruptRow]:
    """One row per interrupt and CPU, in the order of the file.

    Works for x86 and Arm, which both end in named lines with a sum of errors among them (ERR, Err): without it the
    text is cut off. A cut behind that line goes unnoticed.

    >>> rows = parse("           CPU0       CPU2\\n 43:  3792   1   PCI-MSI 180225-edge   eth0-rx\\nERR:   0\\n")
    >>> rows[1]
    {'irq': '43', 'cpu': 2, 'count': 1, 'description': 'PCI-MSI 180225-edge eth0-rx'}
    """
    lines = Lines("interrupts", text)
    heading = lines.take(r" +CPU\d+( +CPU\d+)* *", "heading with the CPUs")[0]
    cpus = [int(cpu) for cpu in re.findall(r"\d+", heading)]
    counts = rf"(?P<counts>( +{COUNT}){{{len(cpus)}}})"
    rows: list[InterruptRow] = []
    complete = False
    while lines:
        if match := lines.take_if(rf" *(?P<irq>ERR|MIS|Err): +(?P<count>{COUNT})"):
            rows.append(InterruptRow(irq=match["irq"], cpu=None, count=int(match["count"]), description=""))
            complete = complete or match["irq"] != "MIS"
            continue
        match = lines.take(
            rf" *(?P<irq>\d+|[A-Z][A-Za-z0-9]*):{counts} +(?P<description>[^\s\d]\S*( +\S+)*) *",
            f"interrupt, {len(cpus)} counts and a description",
        )
        description = " ".join(match["description"].split())
        rows += [
            InterruptRow(irq=match["irq"], cpu=cpu, count=int(count), description=description)
            for cpu, count in zip(cpus, match["counts"].split(), strict=True)
        ]
    if not complete:
        lines.fail("expected the sum of errors (ERR)")
    return rows
