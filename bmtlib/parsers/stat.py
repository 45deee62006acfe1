"""/proc/stat: where the CPUs' time went, and the machine's sums. Source: fs/proc/stat.c, proc(5).

Times are in ticks of USER_HZ, which is 100 a second on every architecture that bmtlib meets (`getconf CLK_TCK`).
`guest` is contained in `user`, `guest_nice` in `nice`; idle and iowait can go backwards on some kernels.
"""

from __future__ import annotations

import re
from typing import TypedDict

from bmtlib.parsers.reading import COUNT, Lines

TICKS_PER_S = 100


class CpuRow(TypedDict):
    """One CPU, or all of them; times since boot in ticks.

    cpu: number of the CPU (offline ones are absent); None for the sum
    user_ticks, nice_ticks, system_ticks, idle_ticks, iowait_ticks, irq_ticks, softirq_ticks, steal_ticks,
    guest_ticks, guest_nice_ticks: 1 / TICKS_PER_S seconds
    """

    cpu: int | None
    user_ticks: int
    nice_ticks: int
    system_ticks: int
    idle_ticks: int
    iowait_ticks: int
    irq_ticks: int
    softirq_ticks: int
    steal_ticks: int
    guest_ticks: int
    guest_nice_ticks: int


class SystemRow(TypedDict):
    """The machine's sums, since boot.

    interrupts, context_switches, forks, softirqs: counts
    boot_epoch_s: when it booted
    running, blocked: tasks now
    """

    interrupts: int
    context_switches: int
    boot_epoch_s: int
    forks: int
    running: int
    blocked: int
    softirqs: int


def parse(text: str) -> list[CpuRow]:
    """One row for the sum of all CPUs, then one per online CPU."""
    return _read(text)[0]


def parse_system(text: str) -> list[SystemRow]:
    """The rest of the same text: one row."""
    return _read(text)[1]


def _read(text: str) -> tuple[list[CpuRow], list[SystemRow]]:
    lines = Lines("stat", text)
    times = rf"(?P<times>( {COUNT}){{10}})"
    cpus = [_cpu_row(lines.take(rf"cpu(?P<cpu>) {times}", "the sum of all CPUs"))]
    while match := lines.take_if(rf"cpu(?P<cpu>\d+){times}"):
        cpus.append(_cpu_row(match))
    if len(cpus) == 1:
        lines.fail("expected the times of a CPU (10 numbers)")

    def first(name: str, more: str = "") -> int:
        return int(lines.take(rf"{name} (?P<n>{COUNT}){more}", name)["n"])

    interrupts = first("intr", rf"( {COUNT})* ?")
    system = SystemRow(
        interrupts=interrupts,
        context_switches=first("ctxt"),
        boot_epoch_s=first("btime"),
        forks=first("processes"),
        running=first("procs_running"),
        blocked=first("procs_blocked"),
        softirqs=first("softirq", rf"( {COUNT}){{10}}"),
    )
    lines.end()
    return cpus, [system]


def _cpu_row(match: re.Match[str]) -> CpuRow:
    user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice = map(int, match["times"].split())
    return CpuRow(
        cpu=int(match["cpu"]) if match["cpu"] else None,
        user_ticks=user,
        nice_ticks=nice,
        system_ticks=system,
        idle_ticks=idle,
        iowait_ticks=iowait,
        irq_ticks=irq,
        softirq_ticks=softirq,
        steal_ticks=steal,
        guest_ticks=guest,
        guest_nice_ticks=guest_nice,
    )
