"""Where the CPUs' time went, and what interrupted them: differences around the load, and second by second within it.

The files cover the whole machine and are the director's; `role` says whose CPU a row is about (case.json has the list).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from bmtlib.analysis.raw import Raw
from bmtlib.parsers.stat import TICKS_PER_S

Row = dict[str, Any]
Key = tuple[Any, ...]

_WRAP = 2**32  # softnet_stat, interrupts and softirqs count in 32 bits

# /proc/stat has more kinds: guest time is inside user's, and nice is user's time at another priority.
_KINDS = {
    "user": ("user_ticks", "nice_ticks"),
    "system": ("system_ticks",),
    "softirq": ("softirq_ticks",),
    "irq": ("irq_ticks",),
    "steal": ("steal_ticks",),
    "iowait": ("iowait_ticks",),
    "idle": ("idle_ticks",),
}


def _director_cases(raw: Raw, records: Mapping[str, Row]) -> Iterator[tuple[str, Row, str]]:
    for case_id, record in records.items():
        for host in raw.hosts("director"):
            yield case_id, record, host


def _cpu_role(record: Row, cpu: int) -> str:
    return "director" if cpu in (record.get("director_cpus") or []) else "other"


def _seconds(rows: Sequence[Any]) -> dict[Key, float]:
    """CPU seconds since boot by (cpu, kind)."""
    return {
        (row["cpu"], kind): sum(row[name] for name in names) / TICKS_PER_S
        for row in rows
        if row["cpu"] is not None
        for kind, names in _KINDS.items()
    }


def _counts(rows: Sequence[Any], name: str) -> dict[Key, int]:
    """Counts since boot by (name, cpu), of rows that belong to a CPU."""
    return {(row[name], row["cpu"]): row["count"] for row in rows if row["cpu"] is not None}


def cpu_rows(raw: Raw, records: Mapping[str, Row]) -> list[Row]:
    rows: list[Row] = []
    for case_id, record, host in _director_cases(raw, records):
        if (found := raw.around(case_id, host, "stat")) is None:
            continue
        before, after = map(_seconds, found)
        rows += [
            # idle and iowait may run backwards by a tick (proc(5)).
            {
                "case": case_id,
                "cpu": cpu,
                "role": _cpu_role(record, cpu),
                "cpu_kind": kind,
                "cpu_s": max(0.0, after[cpu, kind] - before[cpu, kind]),
            }
            for cpu, kind in after
            if (cpu, kind) in before
        ]
    return rows


def cpu_time_rows(raw: Raw, records: Mapping[str, Row]) -> list[Row]:
    return [
        {**row, "cpu": key[0], "cpu_kind": key[1], "role": _cpu_role(record, key[0]), "cpu_s": max(0.0, value)}
        for case_id, record, host in _director_cases(raw, records)
        for row, changes in _steps(raw, case_id, record, host, "stat", _seconds)
        for key, value in changes.items()
    ]


def softirq_rows(raw: Raw, records: Mapping[str, Row]) -> list[Row]:
    rows: list[Row] = []
    for case_id, record, host in _director_cases(raw, records):
        if (found := raw.around(case_id, host, "softirqs")) is None:
            continue
        before, after = (_counts(rows, "kind") for rows in found)
        rows += [
            {"case": case_id, "softirq": kind, "cpu": cpu, "role": _cpu_role(record, cpu), "count": count}
            for (kind, cpu), count in _growth(before, after).items()
        ]
    return rows


def softirq_time_rows(raw: Raw, records: Mapping[str, Row]) -> list[Row]:
    return [
        {**row, "softirq": key[0], "cpu": key[1], "role": _cpu_role(record, key[1]), "count": value % _WRAP}
        for case_id, record, host in _director_cases(raw, records)
        for row, changes in _steps(raw, case_id, record, host, "softirqs", lambda rows: _counts(rows, "kind"))
        for key, value in changes.items()
    ]


def irq_rows(raw: Raw, records: Mapping[str, Row]) -> list[Row]:
    rows: list[Row] = []
    for case_id, record, host in _director_cases(raw, records):
        if (found := raw.around(case_id, host, "interrupts")) is None:
            continue
        before, after = (_counts(rows, "irq") for rows in found)
        names = {row["irq"]: row["description"] for row in found[1]}
        rows += [
            {
                "case": case_id,
                "irq": irq,
                "description": names[irq],
                "cpu": cpu,
                "role": _cpu_role(record, cpu),
                "count": count,
            }
            for (irq, cpu), count in _growth(before, after).items()
        ]
    return rows


def softnet_rows(raw: Raw, records: Mapping[str, Row]) -> list[Row]:
    names = ("processed", "dropped", "squeezed", "received_rps", "flow_limit")
    rows: list[Row] = []
    for case_id, record, host in _director_cases(raw, records):
        if (found := raw.around(case_id, host, "softnet")) is None:
            continue
        # Old kernels do not say which CPU a line is about: then its position has to do.
        before, after = ({_cpu_of(row): row for row in part} for part in found)
        rows += [
            {
                "case": case_id,
                "cpu": cpu,
                "role": _cpu_role(record, cpu),
                **{name: (row[name] - before[cpu][name]) % _WRAP for name in names},
            }
            for cpu, row in after.items()
            if cpu in before
        ]
    return rows


def _cpu_of(row: Any) -> int:
    return int(row["position"] if row["cpu"] is None else row["cpu"])


def _growth(before: Mapping[Key, int], after: Mapping[Key, int]) -> dict[Key, int]:
    """Differences that are not zero; a counter that appeared meanwhile grew from zero."""
    changes = {key: (value - before.get(key, 0)) % _WRAP for key, value in after.items()}
    return {key: change for key, change in changes.items() if change}


def _steps(
    raw: Raw, case_id: str, record: Row, host: str, probe: str, read: Callable[[Sequence[Any]], Mapping[Key, Any]]
) -> Iterator[tuple[Row, dict[Key, Any]]]:
    """Differences between neighbouring samples with their time: seconds from the load's start to the later one."""
    samples = raw.during(case_id, host, probe)
    if not samples:
        return
    start = record.get("start_epoch_s") or samples[0][0]
    values = [(epoch_s, read(rows)) for epoch_s, rows in samples]
    for (earlier, before), (later, after) in pairwise(values):
        row = {"case": case_id, "time_s": later - start, "span_s": later - earlier}
        yield row, {key: value - before[key] for key, value in after.items() if key in before}
