"""The executed report notebook as one HTML page, which needs nothing else and can be repeated from."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import bmtlib
from bmtlib.errors import BmtError
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
    import nbformat
    from nbconvert.exporters import HTMLExporter

    executed: Any = nbformat.read(notebook, as_version=4)
    away = os.path.relpath(folder.path.resolve(), place.resolve())
    executed.metadata.update(
        title=str(folder.run_json().get("scenario", {}).get("title") or folder.path.name),
        generator=f"bmtlib {bmtlib.__version__}",
        language=spoken,
        sisters=[{"language": name, "name": LANGUAGES[name], "page": page_name(name)} for name in others],
        sign=sign,
        run_folder="" if away == "." else f"{quote(away)}/",
        repeat=_repeat(folder),
    )
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
        raise BmtError("the report page is incomplete", where=str(folder.path))
    return str(page)


def _repeat(folder: RunDir) -> str:
    """What the run can be repeated from, as JSON in which no text can end the element that holds it.

    Settings of the command line are in the scenario already, as it is kept with the run.
    """
    run = folder.run_json()
    found: dict[str, Any] = {
        "run": run.get("id"),
        "version": run.get("bmtlib"),
        "digest": run.get("digest"),
        "settings": [],
    }
    for name in ("scenario", "testbed"):
        with suppress(OSError):
            found[name] = (folder.path / f"{name}.yml").read_text(errors="replace")
    return json.dumps(found, ensure_ascii=False).replace("<", "\\u003c")
