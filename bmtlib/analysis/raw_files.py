"""What raw files a run has, case by case and host by host, and what stands in them, as a reader is shown it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from bmtlib.analysis.raw_diff import MOST_LINES, Row, only_changes, readable, side_by_side
from bmtlib.bundles import Bundle
from bmtlib.errors import BmtError
from bmtlib.rundir import RunDir
from bmtlib.texts import say

MOST_SHOWN = 300  # lines of a file that are shown
_BEFORE, _AFTER = ".before.txt", ".after.txt"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What can be chosen of a host: a probe before and after the load, or a single file. names: the raw files."""

    label: str
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A choice, read. rows: of a pair; lines: of a single file. places: where the files lie below the run folder"""

    title: str
    places: tuple[str, ...]
    notes: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    lines: tuple[str, ...] = ()


def case_labels(run: RunDir) -> dict[str, str]:
    """Ids of the cases that were tried -> id with status, in the plan's order."""
    return {case: f"{case} ({_status(run, case)})" for case in run.case_ids()}


def _status(run: RunDir, case: str) -> str:
    try:
        return str(run.case(case).get("status") or "unknown")
    except BmtError:
        return "unreadable"


def host_labels(run: RunDir, case: str) -> dict[str, str]:
    """Hosts with raw files in a case -> name with role; the director first, hosts that run.json does not name last."""
    roles = {str(host.get("name")): str(host.get("role")) for host in run.run_json().get("hosts", [])}
    found = run.raw_hosts(case)
    order = {name: place for place, name in enumerate(sorted(roles, key=lambda name: roles[name] != "director"))}
    labels = {}
    for name in sorted(found, key=lambda name: order.get(name, len(order))):
        role = roles.get(name, "")
        labels[name] = name if role in ("", name) else f"{name} ({role})"
    return labels


def choices(run: RunDir, case: str, host: str) -> list[Choice]:
    """Probes with both of their moments first, nstat (the kernel's own counters) before all; then single files. What is
    missing of a pair makes a single file of the other."""
    names = [name.removesuffix(".gz") for name in run.raw_names(case, host)]
    pairs = [name.removesuffix(_BEFORE) for name in names if name.endswith(_BEFORE)]
    whole = sorted((name for name in pairs if name + _AFTER in names), key=lambda name: (name != "nstat", name))
    paired = {name + moment for name in whole for moment in (_BEFORE, _AFTER)}
    found = [Choice(label=f"{name}: before and after", names=(name + _BEFORE, name + _AFTER)) for name in whole]
    return found + [Choice(label=name, names=(name,)) for name in names if name not in paired]


def shown(run: RunDir, case: str, host: str, choice: Choice, *, changes: bool = True) -> Shown:
    """Read a choice. changes: of a pair, only the lines that differ. InputError when a file is damaged."""
    texts = [run.raw(case, host, name) for name in choice.names]
    places = tuple(_place(run, case, host, name) for name in choice.names)
    title = say("{choice} of {host} in case {case}", choice=choice.label, host=host, case=case)
    if len(texts) == 1:
        lines = readable(texts[0] or "").splitlines()
        return Shown(title=title, places=places, lines=tuple(lines[:MOST_SHOWN]), notes=tuple(_single_notes(lines)))
    before, after = (readable(text or "") for text in texts)
    rows = side_by_side(before, after, hexadecimal=choice.names[0].startswith("softnet"))
    notes = tuple(_pair_notes(before, after, rows))
    found = only_changes(rows) if changes else rows
    more = len(found) - MOST_SHOWN
    if more > 0:
        notes += (say("The first {count} lines are shown, {more} more are not.", count=MOST_SHOWN, more=more),)
    return Shown(title=title, places=places, rows=tuple(islice(found, MOST_SHOWN)), notes=notes)


def _single_notes(lines: Sequence[str]) -> Iterator[str]:
    if not lines:
        yield say("The file is empty.")
    elif len(lines) > MOST_SHOWN:
        yield say("The first {count} of {total:,} lines.", count=MOST_SHOWN, total=len(lines))


def _pair_notes(before: str, after: str, rows: Sequence[Row]) -> Iterator[str]:
    differ = sum(row.kind != "same" for row in rows)
    if not differ:
        yield say("Nothing differs between before and after.")
    else:
        yield say("{differ} of {total} lines differ.", differ=differ, total=len(rows))
    if any(text.count("\n") > MOST_LINES for text in (before, after)):
        yield say("Only the first {count:,} lines are compared.", count=MOST_LINES)


def _place(run: RunDir, case: str, host: str, name: str) -> str:
    """Where a raw file lies, below the run folder; of a bundle also its member."""
    for stored in (name, f"{name}.gz"):
        if (run.path / "cases" / case / host / stored).exists():
            return f"cases/{case}/{host}/{stored}"
    for path in sorted(run.path.glob(f"cases/{case}/*.zip")):
        bundle = Bundle(path)
        there = host in bundle.hosts()
        bundle.close()
        if there:
            return f"cases/{case}/{path.name}: {host}/{name}"
    return f"cases/{case}/{host}/{name}"
