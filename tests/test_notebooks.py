"""The notebooks as they are kept: valid, without output, thin, and right about their parameters."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import nbformat
import papermill
import pytest

from bmtlib.params.paths import project_root
from bmtlib.report.build import CLOSER, REPORT

NOTEBOOKS = sorted((project_root() / "notebooks").glob("*.ipynb"))


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> Any:
    return nbformat.read(request.param, as_version=4)


def test_all_that_the_report_wants_are_there() -> None:
    assert {"10-run-scenario", *CLOSER, REPORT} <= {path.stem for path in NOTEBOOKS}


@pytest.mark.parametrize("name", CLOSER)
def test_a_question_first_and_what_follows_from_it_last(name: str) -> None:
    cells = nbformat.read(project_root() / "notebooks" / f"{name}.ipynb", as_version=4).cells
    assert re.match(r"# [^\n]+\?\n", cells[0].source)
    assert cells[-2].source.startswith("conclusion(")
    assert cells[-1].source.startswith("**Next:** ")


def test_valid_and_without_output(notebook: Any) -> None:
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in code(notebook):
        assert (cell.outputs, cell.execution_count) == ([], None)


def test_files_are_as_they_would_be_written_again() -> None:
    for path in NOTEBOOKS:
        assert path.read_text() == json.dumps(json.loads(path.read_text()), indent=1, ensure_ascii=False) + "\n"


def test_parameters_are_scalars_with_a_word_to_each_and_are_checked_next(notebook: Any) -> None:
    cells = code(notebook)
    assert cells[0].metadata.tags == ["parameters"]
    assert all(re.fullmatch(r"\w+ = [^#]+  # .+", line) for line in cells[0].source.splitlines())
    given = {}
    for node in ast.parse(cells[0].source).body:
        assert isinstance(node, ast.Assign)
        assert isinstance(node.targets[0], ast.Name)
        given[node.targets[0].id] = type(ast.literal_eval(node.value)).__name__
    calls = [node for node in ast.walk(ast.parse(cells[1].source)) if isinstance(node, ast.Call)]
    check = next(call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "check_parameters")
    assert {word.arg: word.value.id for word in check.keywords if isinstance(word.value, ast.Name)} == given


def test_papermill_knows_every_parameter(notebook: Any) -> None:
    """Its reading of the cell stumbles over some comments; then it warns of a parameter that is there."""
    names = [line.partition(" ")[0] for line in code(notebook)[0].source.splitlines()]
    assert list(papermill.inspect_notebook(notebook)) == names


def test_cells_are_thin(notebook: Any) -> None:
    heavy = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda | ast.For | ast.While | ast.Try
    for cell in code(notebook):
        found = [type(node).__name__ for node in ast.walk(ast.parse(cell.source)) if isinstance(node, heavy)]
        assert not found, cell.source
        assert not re.search(r"\bimport re\b|\bre\.\w", cell.source)
        assert len(cell.source.splitlines()) <= 12


def test_no_address_but_relative_ones(notebook: Any) -> None:
    for cell in notebook.cells:
        assert "://" not in cell.source
        for target in re.findall(r"\]\(([^)]+)\)", cell.source):
            assert (project_root() / "notebooks" / target).is_file()


def test_headings_are_in_order() -> None:
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        levels = [
            len(mark)
            for cell in cells
            if cell.cell_type == "markdown"
            for mark in re.findall(r"^(#+) ", cell.source, re.M)
        ]
        # The report's own title comes from its run.
        assert levels == ([2] * len(levels) if path.stem == "90-report" else [1] + [2] * (len(levels) - 1))
