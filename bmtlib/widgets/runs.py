"""Which runs a widget offers, and their tables, read once."""

from __future__ import annotations

from pathlib import Path

from bmtlib.analysis.tables import Tables, read_tables
from bmtlib.errors import InputError
from bmtlib.params.paths import project_root
from bmtlib.report.parameters import open_run
from bmtlib.rundir import RunDir

_KEPT = 4  # runs whose tables stay in memory


def offered(given: RunDir | None) -> dict[str, RunDir]:
    """Runs by the name under which they can be chosen: the one given, those beside it, and those in data/. New ones
    come first, and runs with a name of their own (demo) last."""
    shelves = [*([given.path.resolve().parent] if given else []), (project_root() / "data").resolve()]
    paths = [given.path.resolve()] if given else []
    for shelf in dict.fromkeys(shelves):
        there = sorted(file.parent for file in shelf.glob("*/run.json"))
        measured = [path for path in there if path.name[:1].isdigit()]  # their names begin with the time
        paths += [*reversed(measured), *(path for path in there if path not in measured)]
    found: dict[str, RunDir] = {}
    for path in dict.fromkeys(paths):
        name = path.name if path.name not in found else str(path)
        found[name] = given if given and path == given.path.resolve() else RunDir(path)
    return found


def as_run(run: RunDir | Path | str | None) -> RunDir:
    """What a notebook was told to read; without a word, the newest run in data/."""
    if isinstance(run, RunDir):
        return run
    if run is not None:
        return open_run(str(run))
    runs = offered(None)
    if not runs:
        raise InputError("there is no run in data/", todo="measure one: bmt run quick")
    return next(iter(runs.values()))


class Reader:
    """Reads runs, and keeps the tables of the last few."""

    def __init__(self) -> None:
        self._tables: dict[Path, Tables] = {}

    def keep(self, run: RunDir, tables: Tables) -> None:
        self._tables[run.path.resolve()] = tables

    def tables(self, run: RunDir) -> Tables:
        """The tables of a run. InputError when it is none, or cannot be read."""
        path = run.path.resolve()
        if path not in self._tables:
            self._tables[path] = read_tables(RunDir.open(path))
            while len(self._tables) > _KEPT:
                self._tables.pop(next(iter(self._tables)))
        return self._tables[path]
