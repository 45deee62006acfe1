"""Where the CPUs' time went, and what interrupted them: differences around the load, and second by second within it.

The files cover a whole machine; the host that was asked speaks for it: the director, and one host of every other
machine. `role` says whose CPU a row is about (case.json has the director's, run.json those that a virtual one runs on).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bmtlib.analysis.raw import Raw
from bmtlib.parsers import shell_times
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


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A host that may have been asked about its machine in a case."""

    case: str
    host: str
    start_epoch_s: float | None
    director_cpus: frozenset[int]  # none, when the machine is not the director's
    vm_cpus: frozenset[int]  # those of this machine that a virtual director runs on, and nobody else

    def row(self, cpu: int) -> Row:
        role = "director" if cpu in self.director_cpus else "vm" if cpu in self.vm_cpus else "other"
        return {"case": self.case, "host": self.host, "cpu": cpu, "role": role}


def _asked(raw: Raw, records: Mapping[str, Row]) -> Iterator[_Asked]:
    run = raw.run.run_json()
    vm = frozenset((run.get("machine") or {}).get("cpus") or []) - frozenset(run.get("other_cpus") or [])
    for case_id, record in records.items():
        for host, role in raw.roles.items():
            own = frozenset(record.get("director_cpus") or []) if role == "director" else frozenset()
            yield _Asked(
                case=case_id,
                host=host,
                start_epoch_s=record.get("start_epoch_s"),
                director_cpus=own,
                vm_cpus=frozenset() if role == "director" else vm,
            )


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
    for asked in _asked(raw, records):
        if (found := raw.around(asked.case, asked.host, "stat")) is None:
            continue
        before, after = map(_seconds, found)
        rows += [
            # idle and iowait may run backwards by a tick (proc(5)).
            {**asked.row(cpu), "cpu_kind": kind, "cpu_s": max(0.0, after[cpu, kind] - before[cpu, kind])}
            for cpu, kind in after
            if (cpu, kind) in before
        ]
    return rows


def cpu_time_rows(raw: Raw, records: Mapping[str, Row]) -> list[Row]:
    return [
        {**asked.row(cpu), **times, "cpu_kind": kind, "cpu_s": max(0.0, value)}
        for asked in _asked(raw, records)
        for times, changes in _steps(raw, asked, "stat", _seconds)
        for (cpu, kind), value in changes.items()
    ]


def process_rows(raw: Raw, records: Mapping[str, Row]) -> list[Row]:
    """CPU seconds by host and name of process; a load generator's are what its shell noted."""
    rows: list[Row] = []
    for case_id in records:
        for host, role in raw.roles.items():
            spent: dict[str, float] = {}
            if found := raw.around(case_id, host, "processes"):
                before, after = ({(row["pid"], row["name"]): row for row in part} for part in found)
                for key in before.keys() & after.keys():
                    ticks = sum(after[key][name] - before[key][name] for name in ("user_ticks", "system_ticks"))
                    spent[key[1]] = spent.get(key[1], 0.0) + ticks / TICKS_PER_S
            if times := raw.parsed(case_id, host, "load.times", shell_times.parse):
                spent["load"] = times[0]["user_s"] + times[0]["system_s"]
            rows += [
                {"case": case_id, "host": host, "role": role, "process": name, "cpu_s": seconds}
                for name, seconds in sorted(spent.items())
            ]
    return rows


def softirq_rows(raw: Raw, records: Mapping[str, Row]) -> list[Row]:
    rows: list[Row] = []
    for asked in _asked(raw, records):
        if (found := raw.around(asked.case, asked.host, "softirqs")) is None:
            continue
        before, after = (_counts(rows, "kind") for rows in found)
        rows += [
            {**asked.row(cpu), "softirq": kind, "count": count} for (kind, cpu), count in _growth(before, after).items()
        ]
    return rows


def softirq_time_rows(raw: Raw, records: Mapping[str, Row]) -> list[Row]:
    return [
        {**asked.row(cpu), **times, "softirq": kind, "count": value % _WRAP}
        for asked in _asked(raw, records)
        for times, changes in _steps(raw, asked, "softirqs", lambda rows: _counts(rows, "kind"))
        for (kind, cpu), value in changes.items()
    ]


def irq_rows(raw: Raw, records: Mapping[str, Row]) -> list[Row]:
    rows: list[Row] = []
    for asked in _asked(raw, records):
        if (found := raw.around(asked.case, asked.host, "interrupts")) is None:
            continue
        before, after = (_counts(rows, "irq") for rows in found)
        names = _descriptions(found[1])
        rows += [
            {**asked.row(cpu), "irq": irq, "description": names[irq], "count": count}
            for (irq, cpu), count in _growth(before, after).items()
        ]
    return rows


def irq_time_rows(raw: Raw, records: Mapping[str, Row]) -> list[Row]:
    """Zeros too, but only of interrupts that came at all between the first and the last sample."""
    rows: list[Row] = []
    for asked in _asked(raw, records):
        names: dict[str, str] = {}

        def counts(sample: Sequence[Any], names: dict[str, str] = names) -> dict[Key, int]:
            names.update(_descriptions(sample))
            return _counts(sample, "irq")

        steps = list(_steps(raw, asked, "interrupts", counts))
        came = {irq for _, changes in steps for (irq, _), value in changes.items() if value % _WRAP}
        rows += [
            {**asked.row(cpu), **times, "irq": irq, "description": names[irq], "count": value % _WRAP}
            for times, changes in steps
            for (irq, cpu), value in changes.items()
            if irq in came
        ]
    return rows


def _descriptions(rows: Sequence[Any]) -> dict[str, str]:
    return {row["irq"]: row["description"] for row in rows}


def softnet_rows(raw: Raw, records: Mapping[str, Row]) -> list[Row]:
    names = ("processed", "dropped", "squeezed", "received_rps", "flow_limit")
    rows: list[Row] = []
    for asked in _asked(raw, records):
        if (found := raw.around(asked.case, asked.host, "softnet")) is None:
            continue
        # Old kernels do not say which CPU a line is about: then its position has to do.
        before, after = ({_cpu_of(row): row for row in part} for part in found)
        rows += [
            {**asked.row(cpu), **{name: (row[name] - before[cpu][name]) % _WRAP for name in names}}
            for cpu, row in after.items()
            if cpu in before
        ]
    return rows


def ipvs_cpu_rows(raw: Raw, records: Mapping[str, Row]) -> list[Row]:
    """LVS's counters of each CPU that it came to; what fell was set to zero meanwhile, and says nothing."""
    names = ("connections", "in_packets", "out_packets", "in_bytes", "out_bytes")
    rows: list[Row] = []
    for asked in _asked(raw, records):
        if (found := raw.around(asked.case, asked.host, "ip_vs_percpu")) is None:
            continue
        before, after = ({row["cpu"]: row for row in part if row["cpu"] is not None} for part in found)
        for cpu, row in after.items():
            changes = {name: row[name] - before[cpu][name] for name in names if cpu in before}
            if any(changes.values()) and min(changes.values()) >= 0:
                rows.append({**asked.row(cpu), **changes})
    return rows


def _cpu_of(row: Any) -> int:
    return int(row["position"] if row["cpu"] is None else row["cpu"])


def _growth(before: Mapping[Key, int], after: Mapping[Key, int]) -> dict[Key, int]:
    """Differences that are not zero; a counter that appeared meanwhile grew from zero."""
    changes = {key: (value - before.get(key, 0)) % _WRAP for key, value in after.items()}
    return {key: change for key, change in changes.items() if change}


def _steps(
    raw: Raw, asked: _Asked, probe: str, read: Callable[[Sequence[Any]], Mapping[Key, Any]]
) -> Iterator[tuple[Row, dict[Key, Any]]]:
    """Differences between neighbouring samples with their time: seconds from the load's start to the later one."""
    samples = raw.during(asked.case, asked.host, probe)
    if not samples:
        return
    start = asked.start_epoch_s or samples[0][0]
    values = [(epoch_s, read(rows)) for epoch_s, rows in samples]
    for (earlier, before), (later, after) in pairwise(values):
        times = {"time_s": later - start, "span_s": later - earlier}
        yield times, {key: value - before[key] for key, value in after.items() if key in before}
