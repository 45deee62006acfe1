"""The run folder: every path and format below it. The measuring half writes one, the analysing half reads one.

Raw is written once: into a temporary file beside its place, then renamed. `case.json` is written last, so a case that
has one has all its raw files.
"""

from __future__ import annotations

import errno
import fcntl
import gzip
import itertools
import json
import os
import re
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bmtlib import bundles, events
from bmtlib.bundles import Bundle
from bmtlib.errors import InputError, MachineError
from bmtlib.files import write_whole

FORMAT = 1  # raised when a reader of the older form would misread the newer

LOOSE_HOSTS = 8  # of one role in one case: so many have a folder each, files of more are kept in one
_COMPRESSED = ("ab.tsv", "h2load.tsv", "open_loop.tsv", "wrk.tsv")


class RunDir:
    """A run's folder and one method per thing stored. Does not touch the disk before it is asked to."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._opened: tuple[str, list[Bundle]] = ("", [])  # bundles of the case that was read last

    @classmethod
    def create(cls, out: Path | str, name: str, digest: str) -> RunDir:
        """A new, empty run folder in `out`, named by time (UTC), scenario and digest."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "run"
        base = Path(out) / f"{stamp}-{slug[:60]}-{digest[:6]}"
        for path in [base, *(base.with_name(f"{base.name}-{i}") for i in range(2, 100))]:
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                continue
            except OSError as error:
                raise _cannot_write(path, error) from error
            return cls(path)
        raise MachineError(f"cannot find a free name for the run folder {base}")

    @classmethod
    def open(cls, path: Path | str) -> RunDir:
        """An existing run folder. InputError when it is none, or of a newer format."""
        run = cls(path)
        try:
            found = (run.path / "run.json").is_file()
        except OSError as error:  # no right to look, or a name that cannot be
            raise InputError(f"{run.path} is not a run folder: {error.strerror}") from error
        if not found:
            raise InputError(
                f"{run.path} is not a run folder: it has no run.json",
                todo="give a folder that `bmt run` made (its last line names it), or data/demo",
            )
        number = run.run_json().get("format")
        if type(number) is not int or number > FORMAT:
            raise InputError(
                f"{run.path} has format {number!r}; this bmtlib reads formats up to {FORMAT}",
                where=str(run.path / "run.json"),
                todo="use the bmtlib that made it, or a newer one",
            )
        return run

    # --- writing ---------------------------------------------------------------------------------------------------

    def write(self, relative: str, content: str | bytes) -> Path:
        """Write a whole file below the folder, atomically. MachineError when the disk is full or refuses."""
        path = self.path / relative
        try:
            write_whole(path, _encoded(content) if isinstance(content, str) else content)
        except OSError as error:
            raise _cannot_write(path, error) from error
        return path

    def write_json(self, relative: str, value: object) -> Path:
        return self.write(relative, json.dumps(value, indent=1, ensure_ascii=False) + "\n")

    def write_case(self, case_id: str, files: Mapping[str, dict[str, bytes]], roles: Mapping[str, str]) -> None:
        """What all hosts produced in one case: host -> file name -> content. `roles`: role by host.

        Files of a role with many hosts are kept in one: a file system needs 4 KiB for the smallest, and a study of 226
        hosts has a hundred thousand of them.
        """
        for role in dict.fromkeys(roles[host] for host in files):
            mine = {host: content for host, content in files.items() if roles[host] == role}
            if len(mine) > LOOSE_HOSTS:
                self.write(f"cases/{case_id}/{role}.zip", bundles.pack(mine))
                self._opened = "", []
            else:
                for host, content in mine.items():
                    self.write_raw(case_id, host, content)

    def write_raw(self, case_id: str, host: str, files: dict[str, bytes]) -> None:
        """What one host produced in one case: file name -> content. Large logs are kept compressed."""
        for name, content in files.items():
            bundles.check_name(host, name)
            if name in _COMPRESSED:
                name, content = f"{name}.gz", gzip.compress(content, 5, mtime=0)
            self.write(f"cases/{case_id}/{host}/{name}", content)

    def event(self, step: str, state: str, **fields: object) -> None:
        """Append one line to events.jsonl: what progress bars and widgets read."""
        line = json.dumps({"time_s": round(time.time(), 3), "step": step, "state": state, **fields}, ensure_ascii=False)
        try:
            events.append(self.path / events.NAME, _encoded(line + "\n"))
        except OSError as error:
            raise _cannot_write(self.path / events.NAME, error) from error

    @contextmanager
    def held(self, wait_s: float = 5.0) -> Iterator[None]:
        """Work in the folder alone. InputError when another process does, and still does after `wait_s` seconds.

        The lock is on the folder itself, whose files are replaced. The kernel frees it when a process ends, however
        that was.
        """
        deadline = time.monotonic() + wait_s
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            while True:
                try:
                    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() < deadline:
                        time.sleep(0.1)
                        continue
                    sessions = self.run_json().get("sessions") or [{}]
                    raise InputError(
                        f"{self.path} is being measured: process {sessions[-1].get('pid', 'unknown')} is at work in it",
                        todo="wait for its end, or end it with Ctrl-C",
                    ) from None
                except OSError:  # a file system without locks (NFS: not on folders)
                    break
            yield
        finally:
            os.close(folder)

    def set_aside(self, case_id: str) -> None:
        """Move what an earlier try of a case left to failed/<id>-<n>/: it stays as evidence, and is no result."""
        old = self.path / "cases" / case_id
        if not old.exists():
            return
        places = (self.path / "failed" / f"{case_id}-{n}" for n in itertools.count(1))
        place = next(path for path in places if not path.exists())
        try:
            place.parent.mkdir(exist_ok=True)
            old.rename(place)
        except OSError as error:
            raise _cannot_write(place, error) from error

    def sweep(self) -> None:
        """Remove files that a killed process was still writing: they never came to their place."""
        for path in self.path.rglob(".*.new"):
            with suppress(OSError):
                path.unlink()

    # --- reading ---------------------------------------------------------------------------------------------------

    def read_json(self, relative: str) -> dict[str, Any]:
        """A JSON object. InputError when it is missing, truncated or something else."""
        path = self.path / relative
        try:
            value = json.loads(path.read_bytes())
        except FileNotFoundError as error:
            raise InputError(
                f"the run folder lacks {relative}", where=str(path), todo="is the copy complete?"
            ) from error
        except (ValueError, OSError, RecursionError) as error:
            raise InputError(
                f"{relative} cannot be read: {error}", where=str(path), todo="is the copy complete?"
            ) from error
        if not isinstance(value, dict):
            raise InputError(f"{relative} does not hold a JSON object", where=str(path))
        return value

    def run_json(self) -> dict[str, Any]:
        return self.read_json("run.json")

    def case_ids(self) -> list[str]:
        """Ids of the cases that were tried, in the plan's order."""
        done = {path.parent.name for path in self.path.glob("cases/*/case.json")}
        plan = self.read_json("plan.json")
        try:
            planned = [case["id"] for case in plan["cases"]]
        except (KeyError, TypeError) as error:
            raise InputError("plan.json does not hold a plan", where=str(self.path / "plan.json")) from error
        return [case_id for case_id in planned if case_id in done]

    def case(self, case_id: str) -> dict[str, Any]:
        return self.read_json(f"cases/{case_id}/case.json")

    def raw(self, case_id: str, host: str, name: str) -> str | None:
        """A raw file's text, None when the host did not produce it. Compressed ones are opened."""
        path = self.path / "cases" / case_id / host / name
        try:
            if name in _COMPRESSED:
                return gzip.decompress(path.with_name(f"{name}.gz").read_bytes()).decode(errors="replace")
            return path.read_bytes().decode(errors="replace")
        except FileNotFoundError:
            for bundle in self._bundles(case_id):
                if (content := bundle.read(host, name)) is not None:
                    return content.decode(errors="replace")
            return None
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{name} of {host} cannot be read: {error}", where=str(path)) from error

    def _bundles(self, case_id: str) -> list[Bundle]:
        if self._opened[0] != case_id:
            for bundle in self._opened[1]:
                bundle.close()
            self._opened = case_id, [Bundle(path) for path in sorted(self.path.glob(f"cases/{case_id}/*.zip"))]
        return self._opened[1]

    def raw_hosts(self, case_id: str) -> list[str]:
        """Names of the hosts with raw files in one case."""
        loose = {path.name for path in (self.path / "cases" / case_id).glob("*") if path.is_dir()}
        return sorted(loose.union(*(bundle.hosts() for bundle in self._bundles(case_id))))

    def raw_names(self, case_id: str, host: str) -> list[str]:
        """Names of the raw files of one host in one case, as stored."""
        loose = [path.name for path in (self.path / "cases" / case_id / host).glob("*") if path.is_file()]
        return sorted([*loose, *(name for bundle in self._bundles(case_id) for name in bundle.names(host))])

    def events(self) -> Iterator[dict[str, Any]]:
        """All events. A last line without an end is still being written and is left for next time."""
        yield from events.EventTail(self).new()


def _encoded(text: str) -> bytes:
    """UTF-8. A byte of a file name that is no text (Python keeps it as a surrogate) becomes its JSON escape."""
    return text.encode(errors="backslashreplace")


def _cannot_write(path: Path, error: OSError) -> MachineError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return MachineError(
            "the disk is full",
            where=str(path),
            todo="make room, or choose another disk with --out DIR; what was written is kept",
        )
    return MachineError(
        f"cannot write: {os.strerror(error.errno or 0)}",
        where=str(path),
        todo="choose a folder you may write with --out DIR",
    )
