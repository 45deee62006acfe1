"""The executed report notebook as one HTML page, which needs nothing else and can be repeated from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import bmtlib
from bmtlib.errors import BmtError
from bmtlib.report.embedded import embedded
from bmtlib.report.render import TEMPLATES
from bmtlib.rundir import RunDir
from bmtlib.texts import LANGUAGES, language, translated


def page_name(spoken: str) -> str:
    """The file of the report in a language.

    >>> page_name("en"), page_name("ko")
    ('report.html', 'report.ko.html')
    """
    return "report.html" if spoken == "en" else f"report.{spoken}.html"


def make_page(folder: RunDir, notebook: Path, place: Path, spoken: str, others: Sequence[str], sign: str) -> str:
    """A page in a language that is to lie in the folder `place`, with links to its sisters in `others`.

    `sign` tells what it was made of, see `freshness`.
    """
    away = os.path.relpath(folder.path.resolve(), place.resolve())
    with language(spoken):
        title = translated(str(folder.run_json().get("scenario", {}).get("title") or folder.path.name))
    return to_html(
        notebook,
        spoken,
        title=title,
        sisters=[{"language": name, "name": LANGUAGES[name], "page": page_name(name)} for name in others],
        sign=sign,
        run_folder="" if away == "." else f"{quote(away)}/",
        repeat=embedded(folder),
    )


def to_html(notebook: Path, spoken: str, **about: object) -> str:
    """An executed notebook as a page in a language. `about`: what the template says of it: title, sisters ..."""
    import nbformat
    from nbconvert.exporters import HTMLExporter

    executed: Any = nbformat.read(notebook, as_version=4)
    # A notebook's own title and question are for those who open it: the page has its head.
    executed.cells = [cell for cell in executed.cells if not cell.source.startswith("# ")]
    executed.cells = [cell for chapter in _chapters(executed.cells) if _says_something(chapter) for cell in chapter]
    executed.metadata.update(generator=f"bmtlib {bmtlib.__version__}", language=spoken, **about)
    exporter = HTMLExporter(
        extra_template_basedirs=[str(TEMPLATES)],
        template_name="page",
        exclude_anchor_links=True,
        exclude_input_prompt=True,
    )
    exporter.environment.globals["translated"] = translated
    with language(spoken):
        page, _ = exporter.from_notebook_node(executed)
    if not page.rstrip().endswith("</html>"):
        raise BmtError("the page is incomplete", where=str(notebook))
    return str(page)


def _chapters(cells: Sequence[Any]) -> list[list[Any]]:
    """Cells by chapter; the first is what stands before them."""
    found: list[list[Any]] = [[]]
    for cell in cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            found.append([])
        found[-1].append(cell)
    return found


def _says_something(chapter: Sequence[Any]) -> bool:
    """False of a chapter in which no cell has anything to show for this run."""
    shown = [output for cell in chapter if cell.cell_type == "code" for output in cell.outputs]
    made = any(cell.cell_type == "code" for cell in chapter)
    return not made or any((output.get("data") or output).get("text/html", "...").strip() for output in shown)
