"""A run folder as one zip file that proves itself (SHA-256 of every file), and the same bytes for the same folder."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from bmtlib.errors import InputError, MachineError
from bmtlib.report.crate import NAME, crate
from bmtlib.rundir import RunDir

SUMS = "SHA256SUMS"
_PACKED = (".gz", ".zip", ".png", ".parquet")  # deflating them again gains nothing
_PIECE = 1 << 20
_MADE_HERE = (NAME, SUMS)


def archive(run: RunDir, to: Path | str | None = None, *, unfinished: bool = False, license_name: str = "") -> Path:
    """Pack a run folder as `to` (else <its name>.zip in the current folder) and return the path.

    Inside is one folder of the run's name, with SHA256SUMS for `sha256sum -c` and ro-crate-metadata.json made anew. An
    archive that is there already is replaced when the new one is whole. Raises InputError when the run has not ended
    (unless `unfinished`), or holds links; MachineError when it cannot be written.
    """
    target = Path(to) if to is not None else Path(f"{run.path.resolve().name}.zip")
    if target.is_dir() or target.resolve().is_relative_to(run.path.resolve()):
        raise InputError(f"{target} cannot be the archive", todo="give the name of a file outside of the run folder")
    with ExitStack() as stack:
        if not unfinished:
            _refuse_unfinished(run)
            stack.enter_context(run.held(wait_s=0))
        return _write(run, target, crate(run, license_name))


def _refuse_unfinished(run: RunDir) -> None:
    status = run.run_json().get("status")
    if status in ("planned", "running"):
        raise InputError(
            f"{run.path} has not ended: its status is {status!r}",
            todo="wait for its end; if its process was killed, `bmt run --resume` goes on with it; or --unfinished",
        )


def _write(run: RunDir, target: Path, description: str) -> Path:
    temporary = target.with_name(f".{target.name}.new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            _pack(run, stream, description.encode())
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            why = f"cannot write the archive: {error.strerror or error}"
            raise MachineError(
                why, where=str(error.filename or target), todo="choose another place with --to"
            ) from error
        raise
    return target


def _pack(run: RunDir, stream: BinaryIO, description: bytes) -> None:
    top, sums = run.path.resolve().name, []
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as packed:
        for name in _names(run):
            with (run.path / name).open("rb") as source:
                sums.append((name, _add(packed, f"{top}/{name}", source)))
        sums.append((NAME, _add(packed, f"{top}/{NAME}", BytesIO(description))))
        _add(
            packed,
            f"{top}/{SUMS}",
            BytesIO("".join(_line(*row) for row in sorted(sums)).encode(errors="surrogateescape")),
        )


def _names(run: RunDir) -> Iterator[str]:
    """Files below the folder, sorted; without those that were never finished."""
    for path in sorted(run.path.rglob("*")):
        name = path.relative_to(run.path).as_posix()
        if path.is_symlink():
            raise InputError(f"{name} is a link", where=str(path), todo="put the file itself in its place")
        if path.is_file() and name not in _MADE_HERE and not (path.name.startswith(".") and path.name.endswith(".new")):
            yield name


def _add(packed: zipfile.ZipFile, name: str, source: BinaryIO) -> str:
    """Put a file in, with nothing of it but name and content; its SHA-256."""
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.create_system, entry.external_attr = 3, 0o100644 << 16
    entry.compress_type = zipfile.ZIP_STORED if name.endswith(_PACKED) else zipfile.ZIP_DEFLATED
    total = hashlib.sha256()
    with packed.open(entry, "w", force_zip64=True) as inside:
        while piece := source.read(_PIECE):
            total.update(piece)
            inside.write(piece)
    return total.hexdigest()


def _line(name: str, digest: str) -> str:
    """As sha256sum writes it, which marks a line whose name had to be escaped.

    >>> _line("run.json", "00"), _line("a\\nb", "00")
    ('00  run.json\\n', '\\\\00  a\\\\nb\\n')
    """
    safe = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{chr(92) if safe != name else ''}{digest}  {safe}\n"
