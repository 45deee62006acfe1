"""What stays of a widget in a notebook: run in batch it is plain HTML, and so is what is exported of a live one."""

from __future__ import annotations

import json
from typing import Any

import nbformat
import papermill
import pytest
from nbconvert.exporters import HTMLExporter

from bmtlib.rundir import RunDir
from bmtlib.widgets import live

CELL = """from bmtlib.widgets.explorer import explorer
from bmtlib.widgets.raw_browser import raw_browser
from bmtlib.widgets.planner import planner
explorer(run)"""


@pytest.fixture(scope="module")
def executed(plain: RunDir, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A notebook of all widgets, run by papermill as anybody may call it."""
    folder = tmp_path_factory.mktemp("notebook")
    cells = [
        nbformat.v4.new_code_cell(cell)
        for cell in (f"run = {str(plain.path)!r}", CELL, "raw_browser(run)", "planner(run)")
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / "in.ipynb")
    return papermill.execute_notebook(str(folder / "in.ipynb"), str(folder / "out.ipynb"), progress_bar=False)


def test_run_in_batch_there_is_no_widget(executed: Any) -> None:
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    assert [sorted(output["data"]) for output in outputs] == [["text/html", "text/plain"]] * 3
    assert "widget-view" not in json.dumps(executed)
    assert "Traceback" not in json.dumps(outputs)


def test_the_exported_page_has_figure_and_tables_and_asks_nobody(executed: Any) -> None:
    page, _ = HTMLExporter().from_notebook_node(executed)
    body = page[page.index("<body") :]
    assert 'alt="Requests/s by arm' in body
    assert "requests/s: what the figure shows" in body
    assert "nstat: before and after of director" in body
    assert "bmt run file-size" in body
    assert "html-manager" not in body


def test_a_live_widget_hides_its_copy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import ipywidgets

    shown: list[Any] = []
    monkeypatch.setattr(live, "somebody_is_there", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda value, **_: shown.append(value))
    live.show(live.Html("<p>copy</p>"), lambda: ipywidgets.Label("alive"), "explorer")
    copy, widget = shown
    key = str(copy).partition('<div id="')[2].partition('"')[0]
    assert "<p>copy</p>" in copy
    root = ipywidgets.Widget.widgets[widget["application/vnd.jupyter.widget-view+json"]["model_id"]]
    assert f"#{key} {{ display: none }}" in root.children[0].value
    assert "run this cell" in widget["text/plain"]


def test_without_a_kernel_nobody_is_there() -> None:
    assert not live.somebody_is_there()
