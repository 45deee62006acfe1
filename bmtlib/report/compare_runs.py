"""One page that shows several runs side by side (`bmt report A B`), made of the notebook 60-compare-runs."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import bmtlib
from bmtlib.errors import BmtError, InputError, MachineError
from bmtlib.params.paths import project_root
from bmtlib.report.execute import execute
from bmtlib.report.render import TEMPLATES
from bmtlib.rundir import RunDir

NOTEBOOK = "60-compare-runs"


def build_comparison(runs: Sequence[Path | str], to: Path, despite: Sequence[str] | None = ()) -> Path:
    """Write the page and return its path; nothing is measured, and no run folder is changed but for its cache.

    despite: groups of `differences.GROUPS` that may differ; None: all may. An earlier page stays until the new one is
    whole. Raises InputError (a run that cannot be read, one named twice, what must be equal is not), MachineError (the
    page cannot be written), BmtError (the notebook failed).
    """
    from bmtlib.analysis.differences import differences, refuse

    folders = [RunDir.open(run) for run in runs]
    if len(folders) < 2:
        raise InputError("one run cannot be compared", todo="name two run folders or more")
    found = differences(folders)  # in any case: it refuses a run that is named twice
    if despite is not None:
        refuse(found, despite)
    with tempfile.TemporaryDirectory(prefix="bmt-compare-") as private:
        executed = Path(private) / f"{NOTEBOOK}.ipynb"
        words = shlex.join(str(folder.path.resolve()) for folder in folders)
        execute(project_root() / "notebooks" / f"{NOTEBOOK}.ipynb", executed, {"runs": words})
        page = _page(executed, " / ".join(str(folder.run_json().get("id")) for folder in folders))
    return _write(to, page)


def _page(executed: Path, title: str) -> str:
    import nbformat
    from nbconvert.exporters import HTMLExporter

    notebook: Any = nbformat.read(executed, as_version=4)
    # The notebook's own title and question are for those who open it: the page has its head.
    notebook.cells = [cell for cell in notebook.cells if not cell.source.startswith("# ")]
    notebook.metadata.title = title
    notebook.metadata.generator = f"bmtlib {bmtlib.__version__}"
    exporter = HTMLExporter(
        extra_template_basedirs=[str(TEMPLATES)],
        template_name="page",
        exclude_anchor_links=True,
        exclude_input_prompt=True,
    )
    page, _ = exporter.from_notebook_node(notebook)
    if not page.rstrip().endswith("</html>"):
        raise BmtError("the page is incomplete")
    return str(page)


def _write(to: Path, page: str) -> Path:
    temporary = to.with_name(f".{to.name}.new")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
        temporary.replace(to)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        why = f"cannot write the page: {error.strerror}"
        raise MachineError(why, where=str(to), todo="choose another place with --to FILE.html") from error
    return to
