"""The widgets as a person meets them: JupyterLab in a browser, where a control is changed and the page follows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browsing import BROWSER
from jupyterlab import jupyterlab, of_file, run_all

from bmtlib.params.paths import project_root
from bmtlib.rundir import RunDir

if TYPE_CHECKING:
    from browsing import Watch
    from playwright.sync_api import Locator, Page

pytestmark = BROWSER

LONG_MS = 180_000
CELLS = {
    "explorer": "from bmtlib.widgets.explorer import explorer\nexplorer({demo!r}, figures={figures!r})",
    "raw-browser": "from bmtlib.widgets.raw_browser import raw_browser\nraw_browser({demo!r})",
    "capacity-planner": "from bmtlib.widgets.planner import planner\nplanner({sweep!r})",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, sweep: RunDir) -> Path:
    """A folder with the demo and a notebook of all widgets."""
    place = tmp_path_factory.mktemp("place")
    shutil.copytree(project_root() / "data" / "demo", place / "demo", ignore=shutil.ignore_patterns("tables"))
    words = {"demo": str(place / "demo"), "figures": str(place / "figures"), "sweep": str(sweep.path)}
    cells = [
        {"cell_type": "code", "id": name, "metadata": {}, "outputs": [], "execution_count": None}
        | {"source": source.format(**words)}
        for name, source in CELLS.items()
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (place / "widgets.ipynb").write_text(json.dumps(notebook))
    return place


@pytest.fixture(scope="module")
def address(place: Path) -> Iterator[str]:
    with jupyterlab(place / "private", root=place) as address:
        yield of_file(address, "widgets.ipynb")


@pytest.fixture(scope="module")
def opened(browser: object, address: str) -> Iterator[tuple[Page, Watch]]:
    """The notebook, executed; one for all tests of this module, which look at different widgets."""
    from browsing import opened

    page, watch = opened(browser, address, width=1300, height=1400, scripts=True)  # type: ignore[arg-type]
    run_all(page)
    page.locator(".bmt-capacity-planner img").wait_for(timeout=LONG_MS)
    yield page, watch
    page.context.close()


def picture(widget: Locator) -> str:
    return widget.locator("img").get_attribute("src") or ""


def changed(page: Page, widget: Locator, change: Callable[[], object]) -> str:
    """What the picture says after a change, once there is another one."""
    before = picture(widget)
    change()
    page.wait_for_function(
        "([where, before]) => document.querySelector(where + ' img')?.src !== before",
        arg=[f".{widget.get_attribute('class').split()[-1]}", before],  # type: ignore[union-attr]
        timeout=LONG_MS,
    )
    return widget.locator("img").get_attribute("alt") or ""


def test_a_control_of_the_explorer_changes_the_figure(opened: tuple[Page, Watch], place: Path) -> None:
    page, watch = opened
    explorer = page.locator(".bmt-explorer")
    assert (explorer.locator("img").get_attribute("alt") or "").startswith("Requests/s by arm")
    metric = explorer.get_by_label("metric")
    said = changed(page, explorer, lambda: metric.select_option(label="99th percentile of the wait, ms"))
    assert said.startswith("99th percentile of the wait, ms by arm")
    explorer.get_by_label("direct", exact=True).focus()
    said = changed(page, explorer, lambda: page.keyboard.press("Space"))  # no mouse is needed
    assert said.startswith("99th percentile of the wait, ms:")
    assert explorer.locator("table").get_by_role("rowheader").count() == 2
    explorer.get_by_role("button", name="Export figure and table").click()
    explorer.get_by_text("Wrote explored-wait_p99_ms-by-arm-of-proxy-l2dsr.svg").wait_for(timeout=LONG_MS)
    assert len(list((place / "figures" / "demo").iterdir())) == 3
    page.screenshot(path=str(place / "explorer.png"))
    watch.assert_quiet()


def test_a_control_of_the_raw_browser_changes_the_page(opened: tuple[Page, Watch], place: Path) -> None:
    page, watch = opened
    browser = page.locator(".bmt-raw-browser")
    browser.get_by_label("host").select_option(label="web02 (web)")
    browser.get_by_label("probe").select_option(label="nstat: before and after")
    browser.get_by_text("nstat: before and after of web02").first.wait_for(timeout=LONG_MS)
    line = browser.locator("tr.changed", has_text="TcpPassiveOpens").first
    assert line.locator("ins").inner_text().startswith("+")
    line.scroll_into_view_if_needed()
    page.screenshot(path=str(place / "raw.png"))
    watch.assert_quiet()


def test_a_number_of_the_planner_changes_the_answer(opened: tuple[Page, Watch], place: Path) -> None:
    page, watch = opened
    planner = page.locator(".bmt-capacity-planner")
    requests = planner.get_by_label("requests/s", exact=True)
    requests.fill("80000")
    said = changed(page, planner, lambda: requests.press("Enter"))
    assert said.startswith("Directors for 80,000 requests/s of 20 KiB: proxy")
    planner.locator("img").scroll_into_view_if_needed()
    page.screenshot(path=str(place / "planner.png"))
    watch.assert_quiet()


@pytest.mark.parametrize("name", CELLS)
def test_nobody_is_shut_out(opened: tuple[Page, Watch], name: str) -> None:
    """Of axe-core's findings those in our widget: the rest of the page is JupyterLab's."""
    from axe_playwright_python.sync_playwright import Axe

    page, _ = opened
    found = Axe().run(page, context=f".bmt-{name}").response["violations"]
    assert [
        (rule["id"], node["html"][:200])
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ] == []


def test_the_copy_for_export_is_hidden_as_long_as_the_widget_lives(opened: tuple[Page, Watch]) -> None:
    page, _ = opened
    copies = page.locator("div[id^=bmt-] .bmt-shown")
    assert copies.count() == len(CELLS)
    assert not any(copies.nth(i).is_visible() for i in range(len(CELLS)))
