"""The site's index and the page of several runs in a real browser: silent, fitting, without grave barriers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browsing import BROWSER, grave_barriers

from bmtlib.params.paths import project_root
from bmtlib.report.compare_runs import build_comparison
from bmtlib.report.site import build_site
from bmtlib.rundir import RunDir

if TYPE_CHECKING:
    from browsing import Watch
    from playwright.sync_api import Page

pytestmark = BROWSER
Visit = Callable[..., "tuple[Page, Watch]"]
LOOKS = [(1200, False), (1200, True), (390, False), (390, True)]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, hostile: str) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("site")
    for name in ("demo", "demo-sizes"):
        unwanted = shutil.ignore_patterns("tables", "notebooks", "report*")
        shutil.copytree(project_root() / "data" / name, folder / "runs" / name, ignore=unwanted)
    runs = [RunDir.open(path) for path in sorted((folder / "runs").iterdir())]
    about = runs[0].run_json()
    about["scenario"] |= {"title": hostile, "question": hostile}
    runs[0].write_json("run.json", about)
    for run in runs:
        run.write("report.html", '<!DOCTYPE html><html lang="en"><title>r</title><h1>The report</h1></html>')
    compared = build_comparison([run.path for run in runs], folder, None)[0]
    return {"index": build_site(runs, folder / "site"), "comparison": compared}


@pytest.mark.parametrize("name", ["index", "comparison"])
@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_silent_fitting_and_without_barriers(
    visit: Visit, pages: dict[str, Path], name: str, width: int, dark: bool
) -> None:
    page, watch = visit(pages[name], width=width, dark=dark, scripts=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert grave_barriers(page) == []
    watch.assert_quiet()


def test_the_index_leads_to_reports_and_back_to_nowhere_else(visit: Visit, pages: dict[str, Path]) -> None:
    page, watch = visit(pages["index"])
    page.get_by_role("link", name="The report", exact=True).first.click()
    assert page.get_by_role("heading", name="The report").is_visible()
    watch.assert_quiet()
