"""What is done on a host and not undone: read from its journal, compared with what is in force, undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bmtlib.errors import HostError
from bmtlib.hosts import journal
from bmtlib.hosts.entry import Entry, read_journal
from bmtlib.hosts.host import WORK, Host

_LONGEST_S = 900  # packages may have to be removed

_READ = """\
cat /proc/sys/kernel/random/boot_id
[ ! -e "$1/journal.jsonl" ] || cat "$1/journal.jsonl"
"""
# Load generators and samplers that lost their controller: they work in folders that are ours alone.
_END_LEFTOVERS = """\
for cwd in /proc/[0-9]*/cwd; do
  case $(readlink "$cwd") in "$1"/cases/*|"$1"/preflight*|"$1"/facts*)
    pid=${cwd%/cwd}; kill -KILL "${pid#/proc/}" 2>/dev/null;;
  esac
done
true
"""
# All that is left of us, where nothing is open any more: the journal, and working files. The lock file goes with them,
# and the name of its owner: scripts that still wait for their turn find that it is not theirs any more.
_CLEAN = """\
[ ! -d "$1" ] || exec 8>>"$1/busy"; [ ! -d "$1" ] || flock -w 60 8 || exit 94
rm -rf "$1" "$2"
"""


@dataclass(frozen=True, kw_only=True)
class Journal:
    """The open changes of one host, in the order in which they were done."""

    boot: str
    entries: list[Entry]


@dataclass(frozen=True, kw_only=True)
class Rolled:
    """What a rollback did on one host: what it undid, and what it could not undo, with what the host said."""

    undone: list[str]
    left: list[str]
    said: str = ""


def open_changes(host: Host) -> Journal:
    """What is done on `host` and not undone, whoever did it."""
    boot, _, text = host.run(["sh", "-c", _READ, "sh", host.state], timeout_s=60).stdout.partition("\n")
    return Journal(boot=boot, entries=read_journal(text))


def unfinished(found: Journal, run_id: str) -> list[str]:
    """Other runs that left changes here which are not meant to stay: their controller was killed or cut off."""
    runs = {entry.run for entry in found.entries if not entry.kept and not entry.gone(found.boot)}
    return sorted(runs - {run_id})


def rollback(host: Host, run_id: str | None, *, clean: bool = True) -> Rolled:
    """Undo what `run_id` did on `host`, the last first; None: all runs. What fails does not keep the rest from it.

    With `clean`, working files go too once nothing is open. Raises HostError where later changes of another run lie
    over those of `run_id`: undone under them, they would come back wrong.
    """
    found = open_changes(host)
    due = [entry for entry in found.entries if run_id in (None, entry.run)]
    host.run(["sh", "-c", _END_LEFTOVERS, "sh", WORK])
    if due:
        first = found.entries.index(due[0])
        over = [entry for entry in found.entries[first:] if entry not in due and entry.what in {d.what for d in due}]
        if over:
            runs = ", ".join(sorted({entry.run for entry in over}))
            what = f"`{over[0].what}` was changed again by {runs}: roll that back first, or all with --all"
            raise HostError(host.name, ["rollback", str(run_id)], None, what)
    due.reverse()
    undone, left, said = _undo(host, found, due)
    if clean and not left and len(due) == len(found.entries):
        host.run(["sh", "-c", _CLEAN, "sh", host.state, WORK], timeout_s=90)
    return Rolled(undone=undone, left=left, said=said)


def _undo(host: Host, found: Journal, due: Sequence[Entry]) -> tuple[list[str], list[str], str]:
    if not due:
        return [], [], ""
    script = journal.rollback_script(due, host.state, found.boot, host.guard)
    result = host.run(["sh", "-s"], stdin=script, timeout_s=_LONGEST_S, check=False)
    ended = journal.outcomes(result.stdout)
    done = [i < len(ended) and ended[i] == "done" for i in range(len(due))]
    undone = [entry.what for entry, ok in zip(due, done, strict=True) if ok]
    left = [entry.what for entry, ok in zip(due, done, strict=True) if not ok]
    return undone, left, result.stderr.strip()


@dataclass(frozen=True, kw_only=True)
class Drift:
    """An open change that is not in force any more as it was made."""

    run: str
    what: str
    want: str | None
    found: str


def verify(host: Host) -> tuple[int, list[Drift]]:
    """How many changes are open on `host`, and which have drifted. Where two are of one thing, the later counts."""
    found = open_changes(host)
    last = list({entry.what: entry for entry in found.entries}.values())
    if not last:
        return 0, []
    script = journal.verify_script(last, host.state)
    lines = host.run(["sh", "-s"], stdin=script, timeout_s=_LONGEST_S).stdout.splitlines()
    if len(lines) != len(last):
        raise HostError(host.name, ["verify"], 0, f"{len(lines)} answers for {len(last)} changes")
    drifts = [
        Drift(run=entry.run, what=entry.what, want=entry.want, found=line.removeprefix("drift").strip())
        for entry, line in zip(last, lines, strict=True)
        if line != "same"
    ]
    return len(found.entries), drifts
