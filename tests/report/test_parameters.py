"""What a notebook says to parameters that it does not have, and where it looks for files."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmtlib.errors import InputError
from bmtlib.params.paths import project_root
from bmtlib.report.parameters import check_parameters, find, open_run

CELLS = ["", 'run = "data/demo"  # a run\nfigures = "figures"']
GOOD = {"run": "data/demo", "figures": "figures"}


def complaint(injected: str, **values: object) -> str:
    namespace = {"In": [*CELLS, injected, "check_parameters(globals(), ...)", "later = 1"], **GOOD, **values}
    with pytest.raises(InputError) as caught:
        check_parameters(namespace, run=str, figures=str)
    return caught.value.what


def test_right_parameters_pass() -> None:
    check_parameters({"In": [*CELLS, "# Parameters\nrun = 'x'", "check_parameters("], **GOOD}, run=str, figures=str)


def test_without_a_history_only_types_are_checked() -> None:
    check_parameters(GOOD, run=str, figures=str)


def test_variables_of_later_cells_are_no_parameters() -> None:
    again = ["check_parameters(globals(), ...)", "mine = 3", "check_parameters(globals(), ...)"]
    check_parameters({"In": [*CELLS, *again], **GOOD, "mine": 3}, run=str, figures=str)


def test_unknown_parameters_are_all_named_with_what_was_meant() -> None:
    said = complaint("# Parameters\nrunn = 'x'\ncolour = 3")
    assert said == "unknown parameter 'colour'; known: run, figures\nunknown parameter 'runn'; did you mean 'run'?"


def test_wrong_types() -> None:
    assert complaint("", run=3) == "parameter 'run' must be a text, found 3"
    with pytest.raises(InputError, match="'dry_run' must be True or False, found 1"):
        check_parameters({"dry_run": 1}, dry_run=bool)


def test_missing_parameter() -> None:
    with pytest.raises(InputError, match="parameter 'run' is missing"):
        check_parameters({}, run=str)


def test_paths_are_looked_for_here_and_then_in_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find("data") == project_root() / "data"
    (tmp_path / "data").mkdir()
    assert find("data") == Path("data")
    assert find("../data") == Path("../data")
    assert find(str(tmp_path)) == tmp_path
    assert find("nowhere/at/all") == Path("nowhere/at/all")


def test_run_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(InputError, match="there is no run folder 'data/none'") as caught:
        open_run("data/none")
    assert caught.value.todo.startswith("use one of: ")
