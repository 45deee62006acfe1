"""Whether a report has to be made again: it carries a digest of all that it was made of."""

from __future__ import annotations

import hashlib
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import bmtlib
from bmtlib.params.paths import project_root
from bmtlib.rundir import RunDir

_PACKAGE = Path(bmtlib.__file__).parent
# What draws and writes, and may do so otherwise in its next version.
_MAKERS = ("matplotlib", "nbconvert", "numpy", "pandas", "scipy")
_MADE = ("tables", "notebooks", "figures", "report*", "ro-crate*", ".*")
_SIGN = re.compile(rb'<meta (?=[^>]*name="bmt-made-of")[^>]*content="([^"]*)"')
_HEAD_BYTES = 4096  # of a page, in which the sign is


def made_of(folder: RunDir) -> str:
    """SHA-256 over a run folder's own files, over bmtlib's code and notebooks, and over versions of what it stands on.

    Neither times nor places of files count, so the same run gives the same digest on any machine.
    """
    total = hashlib.sha256()
    for package in _MAKERS:
        total.update(f"{_version(package)}\0".encode())
    code = [path for path in _PACKAGE.rglob("*") if path.suffix != ".pyc"]
    notebooks = (project_root() / "notebooks").glob("*.ipynb")
    for base, paths in ((_PACKAGE, code), (project_root(), notebooks), (folder.path, _own_files(folder.path))):
        for path in sorted(paths):
            if path.is_file():
                total.update(f"{path.relative_to(base)}\0".encode(errors="surrogateescape"))
                with path.open("rb") as stream:
                    total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


def _own_files(run: Path) -> list[Path]:
    """All of a run folder, but for what is made from the rest at any time (data/README.md)."""
    kept = [entry for entry in run.iterdir() if not any(entry.match(pattern) for pattern in _MADE)]
    return [path for entry in kept for path in ([entry] if entry.is_file() else entry.rglob("*"))]


def sign(page: Path) -> str:
    """What a page says it was made of; empty when there is no page, or one that does not say."""
    try:
        with page.open("rb") as stream:
            found = _SIGN.search(stream.read(_HEAD_BYTES))
    except OSError:
        return ""
    return found[1].decode() if found else ""


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package
