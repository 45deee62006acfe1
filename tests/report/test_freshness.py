"""When a report is built again, and when it is not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bmtlib.report import current_reports, freshness
from bmtlib.rundir import RunDir

MakeRun = Callable[..., RunDir]


def test_a_copy_elsewhere_is_the_same(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "one")
    shutil.copytree(folder.path, tmp_path / "two")
    assert freshness.made_of(folder) == freshness.made_of(RunDir(tmp_path / "two"))


@pytest.mark.parametrize("file", ["run.json", "cases/b1-proxy/case.json", "cases/b1-proxy/web01/new.txt", "notes.txt"])
def test_what_the_run_left_counts(make_run: MakeRun, tmp_path: Path, file: str) -> None:
    folder = make_run(tmp_path / "run")
    before = freshness.made_of(folder)
    folder.write(file, "{}")
    assert freshness.made_of(folder) != before


@pytest.mark.parametrize("file", ["report.html", "report.pdf", "tables/cases.parquet", "notebooks/90-report.ipynb"])
def test_what_is_made_from_it_does_not(make_run: MakeRun, tmp_path: Path, file: str) -> None:
    folder = make_run(tmp_path / "run")
    before = freshness.made_of(folder)
    folder.write(file, "anything")
    assert freshness.made_of(folder) == before


def test_other_code_makes_another_report(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_run(tmp_path / "run")
    before = freshness.made_of(folder)
    monkeypatch.setattr(freshness, "_PACKAGE", Path(freshness.__file__).parent)
    assert freshness.made_of(folder) != before


def test_page_without_a_sign(tmp_path: Path) -> None:
    assert freshness.sign(tmp_path / "none.html") == ""
    (tmp_path / "old.html").write_text("<html></html>")
    assert freshness.sign(tmp_path / "old.html") == ""


def test_report_is_current_until_something_changes(report: Path, tmp_path: Path) -> None:
    assert current_reports(report.parent) == [report]
    assert current_reports(report.parent, ["en", "ko"]) is None
    assert current_reports(report.parent, out=tmp_path) is None
    copy = tmp_path / report.parent.name
    shutil.copytree(report.parent, copy)
    assert current_reports(copy) == [copy / "report.html"]
    (copy / "notebooks" / "20-compare-arms.ipynb").unlink()
    assert current_reports(copy) is None
