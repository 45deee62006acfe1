"""From a run folder to its report: its notebooks executed side by side, and one page that needs nothing else."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from bmtlib.params.paths import project_root
from bmtlib.report.crate import write_crate
from bmtlib.report.execute import execute, reserve
from bmtlib.report.freshness import made_of, sign
from bmtlib.report.page import make_page, page_name
from bmtlib.rundir import RunDir
from bmtlib.texts import LANGUAGES, check_language

# The notebook that the page is made of; and those for readers who want to look closer, in JupyterLab.
REPORT = "90-report"
CLOSER = ("20-compare-arms", "21-waits", "22-director-cost", "30-irq-and-drops")

_Wish = tuple[str, str, Mapping[str, Path | str]]  # notebook, name of its executed copy, parameters


def build_report(run: Path | str) -> Path:
    """Write a run's report.html; its path. As `build_reports`."""
    return build_reports(run)[0]


def build_reports(run: Path | str, languages: Sequence[str] = ("en",), out: Path | str | None = None) -> list[Path]:
    """Execute the notebooks on a run folder and write its report in each language; nothing is measured. Their paths.

    English is report.html, others are report.<language>.html; each page links to those that are there beside it.

    The executed notebooks are kept in <run>/notebooks, and ro-crate-metadata.json describes all that is there. With
    `out`, a folder, pages alone are made, and there; nothing is written into the run folder but the cache of its
    tables, where that is possible. An earlier report stays as it is until the new one is whole.

    Raises InputError (no run folder, or one that cannot be read), MachineError (it cannot be written), BmtError (a
    notebook failed: names notebook, cell and error).
    """
    for name in languages:
        check_language(name)
    folder = RunDir.open(run)
    digest = made_of(folder)
    _make_tables(folder)
    if out is None:
        _execute(folder, folder.path / "notebooks", languages, CLOSER)
        pages = _write(folder, folder.path / "notebooks", folder.path, languages, digest)
        write_crate(folder)
        return pages
    with tempfile.TemporaryDirectory(prefix="bmt-report-") as private:
        _execute(folder, Path(private), languages)
        return _write(folder, Path(private), Path(out), languages, digest)


def current_reports(
    run: Path | str, languages: Sequence[str] = ("en",), out: Path | str | None = None
) -> list[Path] | None:
    """The reports that are there, when to build them again would change nothing; else None. Raises InputError."""
    for name in languages:
        check_language(name)
    folder = RunDir.open(run)
    place = folder.path if out is None else Path(out)
    kept = [folder.path / "notebooks" / f"{name}.ipynb" for name in CLOSER] if out is None else []
    if not all(path.is_file() and path.stat().st_size for path in kept):  # empty: its building was broken off
        return None
    digest = made_of(folder)
    pages = [place / page_name(name) for name in languages]
    wanted = [_sign(digest, _sisters(place, languages, name)) for name in languages]
    return pages if [sign(page) for page in pages] == wanted else None


def figures_folder(run: Path) -> Path:
    """Where a run's figures go: into figures/ of the project for its own runs, else beside the run's other files."""
    root = project_root()
    inside = run.resolve().parent == root / "data" and os.access(root / "figures", os.W_OK)
    return root / "figures" if inside else run / "figures"


def _make_tables(folder: RunDir) -> None:
    """Once, here: notebooks that start together would each make the same."""
    from bmtlib.analysis.tables import read_tables

    with suppress(Exception):  # it comes again in a notebook, which is kept with it and named
        read_tables(folder)


def _execute(folder: RunDir, place: Path, languages: Sequence[str], closer: Sequence[str] = ()) -> None:
    """As many notebooks at a time as there are CPUs; that of the report first, which takes the longest."""
    wishes: list[_Wish] = [(REPORT, _copy_name(name), {"run": folder.path, "language": name}) for name in languages]
    kept = {"run": folder.path, "figures": figures_folder(folder.path)}
    wishes += [(name, name, kept) for name in closer]
    for _, copy, _ in wishes:  # the report links to all of them
        reserve(place / f"{copy}.ipynb")
    sources = project_root() / "notebooks"
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        jobs = [
            pool.submit(execute, sources / f"{name}.ipynb", place / f"{copy}.ipynb", given)
            for name, copy, given in wishes
        ]
    for job in jobs:
        job.result()


def _write(folder: RunDir, notebooks: Path, place: Path, languages: Sequence[str], digest: str) -> list[Path]:
    pages = {}
    for name in languages:
        others = _sisters(place, languages, name)
        copy = notebooks / f"{_copy_name(name)}.ipynb"
        pages[page_name(name)] = make_page(folder, copy, place, name, others, _sign(digest, others))
    return [RunDir(place).write(name, page) for name, page in pages.items()]


def _sisters(place: Path, languages: Sequence[str], spoken: str) -> list[str]:
    """Other languages whose pages are there, or are being made."""
    return [name for name in LANGUAGES if name != spoken and (name in languages or (place / page_name(name)).exists())]


def _sign(digest: str, sisters: Sequence[str]) -> str:
    return " ".join([digest, *sisters])


def _copy_name(spoken: str) -> str:
    """The executed report notebook of a language."""
    return REPORT if spoken == "en" else f"{REPORT}.{spoken}"
