"""CPU numbers in the two notations of the kernel: lists (`0-3,8`) and hexadecimal masks (`rps_cpus`).

Source: cpuset(7), "Formats".
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# The largest NR_CPUS of any mainline architecture (x86-64, MAXSMP): a typing error must not make a set of billions.
_MOST_CPUS = 8192

_RANGE = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?", re.ASCII)


def parse_list(text: str) -> frozenset[int]:
    """CPU numbers of a list as in `/sys/devices/system/cpu/online`, `taskset -c` and `smp_affinity_list`.

    An empty text is an empty set (so the kernel writes it). Raises ValueError for everything else that is not a list.

    >>> sorted(parse_list("0-3,8"))
    [0, 1, 2, 3, 8]
    """
    cpus: set[int] = set()
    for part in text.strip().split(",") if text.strip() else []:
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"{text!r} is not a list of CPUs such as '1' or '0-3,8'")
        first, last = int(match[1]), int(match[2] or match[1])
        if first > last:
            raise ValueError(f"the range {part.strip()!r} in {text!r} runs backwards")
        if last >= _MOST_CPUS:
            raise ValueError(f"no machine has a CPU {last}")
        cpus.update(range(first, last + 1))
    return frozenset(cpus)


def to_list(cpus: Iterable[int]) -> str:
    """The shortest list, in ascending order; the inverse of `parse_list`.

    >>> to_list({8, 0, 1, 2, 3})
    '0-3,8'
    >>> to_list([])
    ''
    """
    ranges: list[tuple[int, int]] = []
    for cpu in sorted(set(cpus)):
        if ranges and ranges[-1][1] == cpu - 1:
            ranges[-1] = (ranges[-1][0], cpu)
        else:
            ranges.append((cpu, cpu))
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def to_mask(cpus: Iterable[int]) -> str:
    """The mask that `rps_cpus`, `xps_cpus` and `smp_affinity` take: hexadecimal, a comma after every 32 CPUs.

    >>> to_mask({0, 1, 8})
    '103'
    >>> to_mask({0, 33})
    '2,00000001'
    >>> to_mask([])
    '0'
    """
    bits = sum(1 << cpu for cpu in set(cpus))
    words = []
    while bits > 0xFFFF_FFFF:
        words.append(f"{bits & 0xFFFF_FFFF:08x}")
        bits >>= 32
    words.append(f"{bits:x}")
    return ",".join(reversed(words))
