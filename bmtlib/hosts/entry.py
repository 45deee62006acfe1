"""What the journal of a host says: which changes are done there and not undone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bmtlib.setup.change import Command


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A change as the journal has it, done and not undone. `boot` is the boot of the host in which it was done."""

    run: str
    what: str
    before: str | None
    want: str | None
    undo: Command
    check: Command | None
    expect: str
    lasting: bool
    boot: str
    kept: bool = False

    def gone(self, boot: str) -> bool:
        """Whether a reboot since has undone it."""
        return not self.lasting and self.boot != boot


def read_journal(text: str) -> list[Entry]:
    """What is done and not undone, in the order in which it was done.

    A line that is no JSON was cut off by a power failure or a full disk; its change was not begun then.
    """
    entries: list[Entry] = []
    boots: dict[str, str] = {}
    kept: set[str] = set()
    for line in _lines(text):
        run = str(line.get("run"))
        if "boot" in line:
            boots[run] = str(line["boot"])
        elif "do" in line:
            check = line.get("check")
            entries.append(
                Entry(
                    run=run,
                    what=line["do"],
                    before=line["before"],
                    want=line["want"],
                    undo=_command(line["undo"]),
                    check=check and _command(check),
                    expect=line.get("expect", ""),
                    lasting=line.get("lasting", False),
                    boot=boots.get(run, ""),
                )
            )
        elif "kept" in line:
            kept.add(run)
        elif (what := line.get("undone", line.get("failed"))) is not None:
            # The same thing may be changed twice: by a profile, and over it by a case. Undone is the later one.
            last = next(
                (i for i in reversed(range(len(entries))) if (entries[i].run, entries[i].what) == (run, what)), -1
            )
            if last >= 0:
                del entries[last]
    return [Entry(**{**vars(entry), "kept": entry.run in kept}) for entry in entries]


def _lines(text: str) -> Iterable[dict[str, Any]]:
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def _command(value: dict[str, Any]) -> Command:
    return Command(argv=tuple(value["argv"]), stdin=value["stdin"])
