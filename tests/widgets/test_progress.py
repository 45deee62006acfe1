"""Progress where there is no browser, and in a real kernel."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest

from bmtlib.report import execute
from bmtlib.rundir import RunDir
from bmtlib.widgets.progress import show_progress

EVENTS = [
    ("run", "start", {"cases": 1, "estimate_s": 5}),
    ("case", "load", {"case": "b1-<b>", "number": 1, "arm": "proxy"}),
    ("case", "done", {"case": "b1-<b>", "number": 1, "requests_per_s": 7000.0, "error": None}),
    ("run", "done", {}),
]


def test_plain_text_without_a_kernel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = RunDir(tmp_path)
    with show_progress(folder, every_s=0.01):
        for step, state, fields in EVENTS:
            folder.event(step, state, **fields)
    assert capsys.readouterr().out.endswith("done: 1 of 1 cases\n")


def break_off(folder: RunDir) -> None:
    with show_progress(folder, every_s=10):
        folder.event("run", "start", cases=1, estimate_s=5)
        folder.event("run", "failed")
        raise ZeroDivisionError


def test_the_last_state_is_shown_when_the_body_raises(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        break_off(RunDir(tmp_path))
    assert "failed: 0 of 1 cases" in capsys.readouterr().out


def test_executed_notebook_keeps_text_and_no_widget(tmp_path: Path) -> None:
    RunDir(tmp_path).event("run", "start", cases=1, estimate_s=5)
    source = [
        "from bmtlib.rundir import RunDir\nfrom bmtlib.widgets.progress import show_progress",
        "folder = RunDir('..')",
        "with show_progress(folder, every_s=0.01):\n"
        + "".join(f"    folder.event({step!r}, {state!r}, **{fields!r})\n" for step, state, fields in EVENTS[1:]),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(cell) for cell in source]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, tmp_path / "progress.ipynb")
    execute(tmp_path / "progress.ipynb", tmp_path / "notebooks" / "progress.ipynb", {})
    executed = json.loads((tmp_path / "notebooks" / "progress.ipynb").read_text())
    (output,) = executed["cells"][-1]["outputs"]
    assert "".join(output["data"]["text/plain"]) == "done: 1 of 1 cases\nproxy: 7,000 requests/s"
    assert "widget" not in json.dumps(executed["metadata"]) + json.dumps(output)
