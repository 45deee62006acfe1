"""From a run folder to its report: four notebooks executed side by side, and one page that needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bmtlib
from bmtlib.errors import BmtError
from bmtlib.params.paths import project_root
from bmtlib.report.execute import execute
from bmtlib.report.render import TEMPLATES
from bmtlib.rundir import RunDir

# The notebook that the page is made of; and those for readers who want to look closer, in JupyterLab.
REPORT = "90-report"
CLOSER = ("20-compare-arms", "40-irq-affinity", "50-packet-drops")


def build_report(run: Path | str) -> Path:
    """Execute the notebooks on a run folder and write its report.html; nothing is measured. Returns the page's path.

    The executed notebooks are kept in <run>/notebooks. An earlier report stays as it is until the new one is whole.
    Raises InputError (no run folder, or one that cannot be read), MachineError (it cannot be written), BmtError (a
    notebook failed: names notebook, cell and error).
    """
    folder = RunDir.open(run)
    kept = {"run": folder.path, "figures": figures_folder(folder.path)}
    given = {**dict.fromkeys(CLOSER, kept), REPORT: {"run": folder.path}}
    with ThreadPoolExecutor(len(given)) as pool:
        jobs = [pool.submit(_execute, folder, name, parameters) for name, parameters in given.items()]
    for job in jobs:
        job.result()
    return folder.write("report.html", _page(folder))


def figures_folder(run: Path) -> Path:
    """Where a run's figures go: into figures/ of the project for its own runs, else beside the run's other files."""
    root = project_root()
    inside = run.resolve().parent == root / "data" and os.access(root / "figures", os.W_OK)
    return root / "figures" if inside else run / "figures"


def _execute(folder: RunDir, name: str, parameters: Mapping[str, Path]) -> None:
    execute(project_root() / "notebooks" / f"{name}.ipynb", folder.path / "notebooks" / f"{name}.ipynb", parameters)


def _page(folder: RunDir) -> str:
    """The executed report notebook as HTML."""
    import nbformat
    from nbconvert.exporters import HTMLExporter

    notebook: Any = nbformat.read(folder.path / "notebooks" / f"{REPORT}.ipynb", as_version=4)
    scenario = folder.run_json().get("scenario", {})
    notebook.metadata.title = str(scenario.get("title") or folder.path.name)
    notebook.metadata.generator = f"bmtlib {bmtlib.__version__}"
    exporter = HTMLExporter(
        extra_template_basedirs=[str(TEMPLATES)],
        template_name="page",
        exclude_anchor_links=True,
        exclude_input_prompt=True,
    )
    page, _ = exporter.from_notebook_node(notebook)
    if not page.rstrip().endswith("</html>"):
        raise BmtError("the report page is incomplete", where=str(folder.path))
    return str(page)
