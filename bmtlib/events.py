"""events.jsonl of a run folder: one line for each step, written by the run, read by whoever shows its progress."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from bmtlib.errors import InputError

if TYPE_CHECKING:
    from bmtlib.rundir import RunDir

NAME = "events.jsonl"
_LONGEST = 1 << 20  # bytes of a line; an error's text may be long


def append(path: Path, line: bytes) -> None:
    """Add a line. What a full disk or a crash left of a last one goes: nobody has read it, and ours would be glued to
    it."""
    with path.open("ab+") as stream:
        _cut_torn_line(stream)
        stream.write(line)


def _cut_torn_line(stream: BinaryIO) -> None:
    end = stream.seek(0, os.SEEK_END)
    if end and (stream.seek(end - 1), stream.read(1)) != (end - 1, b"\n"):
        stream.seek(max(0, end - _LONGEST))
        last = stream.read()
        stream.truncate(end - len(last) + last.rfind(b"\n") + 1)


class EventTail:
    """Events as they come: keeps its place in events.jsonl, and nothing of what it read."""

    def __init__(self, run: RunDir, *, from_end: bool = False) -> None:
        self._path = run.path / NAME
        self._offset = self._path.stat().st_size if from_end and self._path.exists() else 0
        self._lines = 0

    def new(self) -> Iterator[dict[str, Any]]:
        """Events since the last call. InputError for a line that is damaged."""
        if not self._path.exists():
            return
        with self._path.open("rb") as stream:
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                self._lines += 1
                try:
                    event = json.loads(line)
                except ValueError as error:
                    what = f"line {self._lines} of events.jsonl is damaged"
                    raise InputError(what, where=str(self._path)) from error
                yield event
