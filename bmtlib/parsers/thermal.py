"""How often CPUs were throttled for heat, and how fast they run now: files of sysfs, as `grep -H ''` prints them.

Source: Documentation/ABI/testing/sysfs-devices-system-cpu (thermal_throttle), Documentation/admin-guide/pm/cpufreq.rst.
Virtual machines and many others have none of them.
"""

from __future__ import annotations

from typing import TypedDict

from bmtlib.parsers.reading import COUNT, Lines

_CPU = "/sys/devices/system/cpu/cpu[0-9]*"
COMMAND = (
    f"echo cpus; grep -sH '' {_CPU}/thermal_throttle/*_throttle_count {_CPU}/cpufreq/scaling_cur_freq"
    f" {_CPU}/cpufreq/cpuinfo_max_freq; true"
)


class ThermalRow(TypedDict):
    """One file of one CPU.

    item: core_throttle_count, package_throttle_count (since boot); scaling_cur_freq, cpuinfo_max_freq (kHz)
    """

    cpu: int
    item: str
    value: int


def parse(text: str) -> list[ThermalRow]:
    """One row per file, none where the machine has none.

    >>> parse("cpus\\n/sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count:3\\n")
    [{'cpu': 0, 'item': 'core_throttle_count', 'value': 3}]
    """
    lines = Lines("thermal", text)
    lines.take("cpus", "the heading")
    rows = []
    while lines:
        match = lines.take(
            rf"/sys/devices/system/cpu/cpu(?P<cpu>\d{{1,5}})/(thermal_throttle|cpufreq)/(?P<item>\w+):(?P<value>{COUNT})",
            "a file of a CPU",
        )
        rows.append(ThermalRow(cpu=int(match["cpu"]), item=match["item"], value=int(match["value"])))
    return rows
