"""One page that shows several runs side by side (`bmt report A B`), made of the notebook 60-compare-runs."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bmtlib.errors import InputError
from bmtlib.params.paths import project_root
from bmtlib.report.execute import execute
from bmtlib.report.page import to_html
from bmtlib.rundir import RunDir
from bmtlib.texts import LANGUAGES, check_language

NOTEBOOK = "60-compare-runs"


def build_comparison(
    runs: Sequence[Path | str],
    out: Path | str = ".",
    despite: Sequence[str] | None = (),
    languages: Sequence[str] = ("en",),
) -> list[Path]:
    """Write compare.html into a folder, in other languages compare.<language>.html; their paths.

    No run folder is changed but for the cache of its tables. despite: groups of `differences.GROUPS` that may differ;
    None: all may. An earlier page stays as it is until the new one is whole. Raises InputError (a run that cannot be
    read, one named twice, what must be equal is not), MachineError (the page cannot be written), BmtError (the notebook
    failed).
    """
    from bmtlib.analysis.differences import differences, refuse

    for name in languages:
        check_language(name)
    folders = [RunDir.open(run) for run in runs]
    if len(folders) < 2:
        raise InputError("one run cannot be compared", todo="name two run folders or more")
    found = differences(folders)  # in any case: it refuses a run that is named twice
    if despite is not None:
        refuse(found, despite)
    given = {"runs": shlex.join(str(folder.path.resolve()) for folder in folders)}
    pages = {}
    with tempfile.TemporaryDirectory(prefix="bmt-compare-") as private:
        for name in languages:
            executed = Path(private) / f"{name}.ipynb"
            execute(project_root() / "notebooks" / f"{NOTEBOOK}.ipynb", executed, {**given, "language": name})
            pages[_page_name(name)] = to_html(
                executed,
                name,
                title=" / ".join(found.columns[4:]),
                sisters=[
                    {"language": other, "name": LANGUAGES[other], "page": _page_name(other)}
                    for other in languages
                    if other != name
                ],
                sign="",
                run_folder="",
                repeat="",
            )
    return [RunDir(out).write(name, page) for name, page in pages.items()]


def _page_name(spoken: str) -> str:
    return "compare.html" if spoken == "en" else f"compare.{spoken}.html"
