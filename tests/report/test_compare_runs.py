"""The page of several runs: what it says, in both languages, and what is refused before anything is written."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from bmtlib.analysis.tables import read_tables
from bmtlib.cli import main
from bmtlib.params.paths import project_root
from bmtlib.report import runs as side_by_side
from bmtlib.report.compare_runs import build_comparison
from bmtlib.rundir import RunDir
from bmtlib.texts import language

DEMO = project_root() / "data/demo"


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, hostile: str) -> RunDir:
    """The demo as another run, on another kernel, in which every text of the run is hostile."""
    folder = tmp_path_factory.mktemp("runs") / "other"
    shutil.copytree(DEMO, folder, ignore=shutil.ignore_patterns("tables", "notebooks", "report*"))
    run = RunDir.open(folder)
    about = run.run_json()
    about["scenario"] |= {"title": hostile}
    about["hosts"] = [host | {"kernel": hostile} for host in about["hosts"]]
    run.write_json("run.json", about | {"id": "20261128T000000Z-quick-bbbbbb"})
    return run


def test_one_page_shows_both(other: RunDir, tmp_path: Path, hostile: str) -> None:
    pages = build_comparison([DEMO, other.path], tmp_path, ["kernel"], ["en", "ko"])
    assert [page.name for page in pages] == ["compare.html", "compare.ko.html"]
    text = pages[0].read_text()
    assert "no change is shown: 1.00" in text
    assert "Not measured under the same conditions: kernels of the hosts." in text
    assert "kernel: director" in text
    assert 'id="bmt-run"' not in text
    assert "<script" not in text
    assert "onerror=alert(1)>" not in re.sub(r"&lt;[^&]*&gt;", "", text)
    assert text.count("<h1") == 1
    assert text.count("<figure") == 4
    assert 'href="compare.ko.html"' in text
    assert 'lang="ko"' in pages[1].read_text()
    assert not (other.path / "report.html").exists()


def test_refused_before_anything_is_written(other: RunDir, tmp_path: Path) -> None:
    runner = CliRunner()
    words = ["report", str(DEMO), str(other.path), "--out", str(tmp_path / "out")]
    for more, said in (
        ([], "to do: compare them all the same with --despite kernel, or --anyway"),
        (["--despite", "cpu"], "kernel: director"),
        (["--despite", "kernels"], "no condition is named 'kernels'"),
    ):
        done = runner.invoke(main, [*words, *more])
        assert done.exit_code == 2
        assert said in done.output
    for wrong in (["report", str(DEMO), "--anyway"], ["report", "--each", str(DEMO), str(DEMO), "--out", "x"]):
        assert runner.invoke(main, wrong).exit_code == 2
    assert "is named twice" in runner.invoke(main, ["report", str(DEMO), str(DEMO), "--anyway"]).output
    assert not (tmp_path / "out").exists()


def test_parts_of_runs_that_have_nothing_in_common(make_run: object, tmp_path: Path) -> None:
    folders = [
        make_run(tmp_path / "one", arms=("proxy",)),  # type: ignore[operator]
        make_run(tmp_path / "two", arms=("l2dsr",)),  # type: ignore[operator]
        make_run(tmp_path / "three", cases=0, status="failed"),  # type: ignore[operator]
    ]
    tables = [read_tables(folder) for folder in folders]
    for spoken in ("en", "ko"):
        with language(spoken):
            head = side_by_side.head(folders, tables)
            parts = [side_by_side.overview(folders, tables), side_by_side.conditions(folders, tables)]
            parts += [part(tables) for part in (side_by_side.ratios, side_by_side.values, side_by_side.unmatched)]
            parts.append(side_by_side.figure(tables))
        assert all([head, *parts])
    assert "nothing can be compared" in str(side_by_side.head(folders, tables))
