"""From a run folder to its report: four notebooks executed side by side, and one page that needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bmtlib
from bmtlib.errors import BmtError
from bmtlib.params.paths import project_root
from bmtlib.report.execute import execute
from bmtlib.report.render import TEMPLATES
from bmtlib.rundir import RunDir
from bmtlib.texts import LANGUAGES, check_language, language, translated

# The notebook that the page is made of; and those for readers who want to look closer, in JupyterLab.
REPORT = "90-report"
CLOSER = ("20-compare-arms", "40-irq-affinity", "50-packet-drops")


def build_report(run: Path | str) -> Path:
    """Write a run's report.html; its path. As `build_reports`."""
    return build_reports(run)[0]


def build_reports(run: Path | str, languages: Sequence[str] = ("en",)) -> list[Path]:
    """Execute the notebooks on a run folder and write its report in each language; nothing is measured. Their paths.

    English is report.html, others are report.<language>.html; each page links to those that are there beside it.

    The executed notebooks are kept in <run>/notebooks. An earlier report stays as it is until the new one is whole.
    Raises InputError (no run folder, or one that cannot be read), MachineError (it cannot be written), BmtError (a
    notebook failed: names notebook, cell and error).
    """
    for name in languages:
        check_language(name)
    folder = RunDir.open(run)
    kept = {"run": folder.path, "figures": figures_folder(folder.path)}
    given: list[tuple[str, str, Mapping[str, Path | str]]] = [(name, name, kept) for name in CLOSER]
    given += [(REPORT, in_language(REPORT, name), {"run": folder.path, "language": name}) for name in languages]
    with ThreadPoolExecutor(len(given)) as pool:
        jobs = [pool.submit(_execute, folder, *words) for words in given]
    for job in jobs:
        job.result()
    there = {name for name in LANGUAGES if (folder.path / f"{in_language('report', name)}.html").exists()}
    return [
        folder.write(f"{in_language('report', name)}.html", _page(folder, name, there.union(languages) - {name}))
        for name in languages
    ]


def in_language(name: str, spoken: str) -> str:
    """The name (without its ending) of a file that each language has of its own.

    >>> in_language("report", "en"), in_language("report", "ko")
    ('report', 'report.ko')
    """
    return name if spoken == "en" else f"{name}.{spoken}"


def figures_folder(run: Path) -> Path:
    """Where a run's figures go: into figures/ of the project for its own runs, else beside the run's other files."""
    root = project_root()
    inside = run.resolve().parent == root / "data" and os.access(root / "figures", os.W_OK)
    return root / "figures" if inside else run / "figures"


def _execute(folder: RunDir, name: str, copy: str, parameters: Mapping[str, Path | str]) -> None:
    execute(project_root() / "notebooks" / f"{name}.ipynb", folder.path / "notebooks" / f"{copy}.ipynb", parameters)


def _page(folder: RunDir, spoken: str, others: Set[str]) -> str:
    """The executed report notebook as HTML, in a language; with links to its sisters in `others`."""
    import nbformat
    from nbconvert.exporters import HTMLExporter

    notebook: Any = nbformat.read(folder.path / "notebooks" / f"{in_language(REPORT, spoken)}.ipynb", as_version=4)
    scenario = folder.run_json().get("scenario", {})
    notebook.metadata.title = str(scenario.get("title") or folder.path.name)
    notebook.metadata.generator = f"bmtlib {bmtlib.__version__}"
    exporter = HTMLExporter(
        extra_template_basedirs=[str(TEMPLATES)],
        template_name="page",
        exclude_anchor_links=True,
        exclude_input_prompt=True,
    )
    notebook.metadata.language = spoken
    notebook.metadata.sisters = [
        {"language": name, "name": LANGUAGES[name], "page": f"{in_language('report', name)}.html"}
        for name in LANGUAGES
        if name in others
    ]
    exporter.environment.globals["translated"] = translated
    with language(spoken):
        page, _ = exporter.from_notebook_node(notebook)
    if not page.rstrip().endswith("</html>"):
        raise BmtError("the report page is incomplete", where=str(folder.path))
    return str(page)
