"""Notebooks in a real kernel: what the copy keeps, and what is said when a cell or the disk refuses."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from bmtlib.errors import BmtError, InputError, MachineError
from bmtlib.report import execute

Write = Callable[..., Path]


def test_copy_tells_nothing_of_the_machine(tmp_path: Path, write_notebook: Write) -> None:
    notebook = write_notebook(
        tmp_path / "a.ipynb", 'run = "data/demo"', "import os\nprint(run, os.path.samefile(run, '..'))"
    )
    output = tmp_path / "run" / "notebooks" / "a.ipynb"
    execute(notebook, output, {"run": tmp_path / "run"})
    text = output.read_text()
    assert str(tmp_path) not in text
    content = json.loads(text)
    assert content["cells"][-1]["outputs"][0]["text"] == [".. True\n"]
    assert content["metadata"]["papermill"] == {"input_path": "a.ipynb", "parameters": {"run": ".."}}
    assert nbformat.validate(nbformat.read(output, as_version=4)) is None


def test_same_input_gives_same_bytes_also_in_threads(tmp_path: Path, write_notebook: Write) -> None:
    notebook = write_notebook(tmp_path / "a.ipynb", "x = 1", "x + 1")
    outputs = [tmp_path / str(i) / "a.ipynb" for i in range(2)]
    threads = [threading.Thread(target=execute, args=(notebook, output, {"x": 5})) for output in outputs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_failing_cell_is_named(tmp_path: Path, write_notebook: Write) -> None:
    notebook = write_notebook(tmp_path / "a.ipynb", "x = 1", "first = 1\n1 / 0")
    with pytest.raises(BmtError, match=r"^a.ipynb failed in cell 2: ZeroDivisionError: division by zero") as caught:
        execute(notebook, tmp_path / "out" / "a.ipynb", {})
    assert type(caught.value) is BmtError
    assert caught.value.where == "the cell that begins with: first = 1"
    assert "ZeroDivisionError" in (tmp_path / "out" / "a.ipynb").read_text()


def test_our_own_errors_keep_their_kind(tmp_path: Path, write_notebook: Write) -> None:
    notebook = write_notebook(
        tmp_path / "a.ipynb", "x = 1", "from bmtlib.errors import InputError\nraise InputError('no such run')"
    )
    with pytest.raises(InputError, match="InputError: no such run"):
        execute(notebook, tmp_path / "out" / "a.ipynb", {})


def test_kernel_that_dies(tmp_path: Path, write_notebook: Write) -> None:
    notebook = write_notebook(tmp_path / "a.ipynb", "x = 1", "import os\nos._exit(3)")
    with pytest.raises(MachineError, match=r"a.ipynb: its kernel ended"):
        execute(notebook, tmp_path / "out" / "a.ipynb", {})


def test_missing_notebook(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no notebook a.ipynb"):
        execute(tmp_path / "a.ipynb", tmp_path / "b.ipynb", {})


def test_folder_that_cannot_be_written(tmp_path: Path, write_notebook: Write) -> None:
    notebook = write_notebook(tmp_path / "a.ipynb", "x = 1")
    (tmp_path / "run").write_text("a file, where a folder should be")
    with pytest.raises(MachineError, match=r"cannot write a.ipynb"):
        execute(notebook, tmp_path / "run" / "a.ipynb", {})
