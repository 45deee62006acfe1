"""Runs that went wrong in one way or another: each has a whole page, which says so where a reader looks for it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bmtlib.analysis.plots import plot_throughput, style
from bmtlib.analysis.tables import read_tables
from bmtlib.errors import InputError
from bmtlib.params.paths import project_root
from bmtlib.report import build_reports, figures
from bmtlib.rundir import RunDir

MakeRun = Callable[..., RunDir]
PageOf = Callable[[RunDir], str]

CASES = [f"b{block}-{arm}" for block in (1, 2, 3) for arm in ("direct", "proxy", "l2dsr")]


def chapter(page: str, anchor: str) -> str:
    """The text of a chapter; of the part before the first one for "" """
    parts = re.split(r'<h2 id="([^"]*)">', page)
    found = {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}[anchor]
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", found, flags=re.DOTALL).split())


@pytest.mark.parametrize(
    ("wishes", "anchor", "said"),
    [
        ({"cases": 4, "status": "interrupted"}, "", "The run was interrupted"),
        ({"cases": 4, "status": "interrupted"}, "can-this-be-trusted", "b2-proxy not run"),
        ({"cases": 0, "status": "failed", "said": "no nginx"}, "", "Reason: no nginx"),
        ({"cases": 0, "status": "failed"}, "requests-per-second", "no case was measured"),
        ({"cases": 0, "status": "failed"}, "raw-files", "no case was measured"),
        ({"case_status": dict.fromkeys(CASES, "rejected")}, "", "0 are among the results; 9 rejected"),
        ({"case_status": dict.fromkeys(CASES, "rejected")}, "can-this-be-trusted", "b3-l2dsr rejected fine"),
        ({"case_status": dict.fromkeys(CASES, "failed")}, "", "0 are among the results; 9 failed"),
        ({"arms": ("proxy",)}, "requests-per-second", "there is no block in which two arms to compare are both done"),
        ({"case_status": dict.fromkeys(CASES, "empty")}, "requests-per-second", "proxy (haproxy) 0"),
    ],
)
def test_page_is_whole_and_says_so(
    make_run: MakeRun, page_of: PageOf, tmp_path: Path, wishes: dict[str, object], anchor: str, said: str
) -> None:
    page = page_of(make_run(tmp_path / "run", **wishes))
    assert said in chapter(page, anchor)
    assert "nan" not in chapter(page, "requests-per-second").lower().split()


def test_run_of_an_older_bmtlib(make_run: MakeRun, page_of: PageOf, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    run = {key: value for key, value in folder.run_json().items() if key != "placement"}
    folder.write_json("run.json", {**run, "format": 0})
    assert "Requests per second" in chapter(page_of(folder), "requests-per-second")


def test_run_of_a_newer_bmtlib_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    folder.write_json("run.json", {**folder.run_json(), "format": 99})
    with pytest.raises(InputError, match="format 99"):
        build_reports(folder.path)


def test_what_was_not_probed_is_missing_and_not_zero(page_of: PageOf, tmp_path: Path) -> None:
    folder = RunDir(tmp_path / "run")
    shutil.copytree(
        project_root() / "data" / "demo", folder.path, ignore=shutil.ignore_patterns("stat.*", "softnet.*", "tables")
    )
    page = page_of(folder)
    assert "The director's CPU time per request: no case was measured" in chapter(page, "what-the-director-paid")
    assert "not measured here: softnet backlog" in chapter(page, "what-was-lost")


def test_many_cases_are_folded(make_run: MakeRun, page_of: PageOf, tmp_path: Path) -> None:
    page = page_of(make_run(tmp_path / "run", repetitions=70))
    assert "198 more rows" in chapter(page, "raw-files")
    assert len(page) < 5_000_000


def test_machine_without_the_font(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(style._RC, "font.sans-serif", ["No Such Font"])
    picture = figures._picture(plot_throughput(read_tables(make_run(tmp_path / "run")))).decode()
    assert re.search(r"font-family: [^;]*sans-serif;", picture)


def test_page_of_a_run_folder_that_is_not_to_be_written(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "a run")
    folder.write("tables", "a file, where the cache should be")
    before = sorted(folder.path.rglob("*"))
    (page,) = build_reports(folder.path, out=tmp_path / "out" / "here")
    assert page == tmp_path / "out" / "here" / "report.html"
    assert sorted(folder.path.rglob("*")) == before
    links = re.findall(r'href="([^"#:]+)"', page.read_text())
    assert "../../a%20run/plan.json" in links
    assert all((page.parent / link.replace("%20", " ")).exists() for link in links)
