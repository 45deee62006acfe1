"""The run panel as a person meets it: in JupyterLab, in a browser, with a lab of real programs behind it."""

from __future__ import annotations

import json
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

pytestmark = [pytest.mark.lab, *BROWSER]

SMALL = "load.warmup_seconds=0 load.concurrency=20 webs=2 clients=2"
# Name of the notebook -> what it measures. What is stopped must not come to its end before somebody has clicked.
SETTINGS = {
    "short": f"{SMALL} load.seconds=1 repetitions=1",
    "long": f"{SMALL} load.seconds=5 repetitions=20",
}
LONG_MS = 180_000


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with copies of the notebook, which keep their runs in `runs`."""
    place = tmp_path_factory.mktemp("place")
    notebook = json.loads((project_root() / "notebooks" / "10-run-scenario.ipynb").read_text())
    given = next(cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", []))
    before = "".join(given["source"]).replace('out = "data"', f'out = "{place / "runs"}"')
    for name, settings in SETTINGS.items():
        given["source"] = before.replace('settings = ""', f'settings = "{settings}"').splitlines(keepends=True)
        (place / f"{name}.ipynb").write_text(json.dumps(notebook))
    return place


@pytest.fixture(scope="module")
def address(place: Path) -> Iterator[str]:
    with jupyterlab(place / "private", root=place) as address:
        yield address


Visit = Callable[..., "tuple[Page, Watch]"]


def opened(visit: Visit, address: str, name: str) -> tuple[Page, Watch]:
    """A notebook, executed, in a kernel of its own."""
    page, watch = visit(f"{of_file(address, f'{name}.ipynb')}&reset", height=1400)
    run_all(page)
    button(page, "Start").wait_for(timeout=LONG_MS)
    return page, watch


@pytest.fixture
def panel(visit: Visit, address: str) -> tuple[Page, Watch]:
    return opened(visit, address, "short")


@pytest.fixture
def long_panel(visit: Visit, address: str) -> tuple[Page, Watch]:
    return opened(visit, address, "long")


def button(page: Page, name: str) -> Locator:
    """A button of the panel: the toolbar has others."""
    return page.locator(".jp-OutputArea button", has_text=name)  # its icon is part of its accessible name


def newest(place: Path) -> RunDir:
    return RunDir.open(max((place / "runs").iterdir()))


def under_load(page: Page) -> None:
    page.get_by_text("load for").wait_for(timeout=LONG_MS)


@pytest.mark.usefixtures("no_leftovers")
def test_a_run_to_its_end(panel: tuple[Page, Watch], place: Path) -> None:
    page, watch = panel
    assert page.get_by_text("3 cases, about").is_visible()
    button(page, "Start").click()
    page.get_by_text("Requests per second").first.wait_for(timeout=LONG_MS)
    page.get_by_text("The run is done.").or_(page.get_by_text("The run has ended.")).wait_for(timeout=LONG_MS)
    assert newest(place).run_json()["status"] == "done"
    link = page.locator("a[href*='report.html'], a[data-commandlinker-args*='report.html']").first
    link.wait_for(timeout=LONG_MS)
    page.screenshot(path=str(place / "done.png"))
    watch.assert_quiet()


@pytest.mark.usefixtures("no_leftovers")
def test_stop(long_panel: tuple[Page, Watch], place: Path) -> None:
    page, _ = long_panel
    button(page, "Start").click()
    under_load(page)
    button(page, "Stop").click()
    page.get_by_text("The run was stopped.").wait_for(timeout=LONG_MS)
    assert newest(place).run_json()["status"] == "interrupted"
    page.locator(".jp-OutputArea button:enabled", has_text="Start").wait_for(timeout=LONG_MS)


@pytest.mark.usefixtures("no_leftovers")
def test_interrupting_the_kernel_ends_the_run_in_good_order(long_panel: tuple[Page, Watch], place: Path) -> None:
    page, _ = long_panel
    button(page, "Start").click()
    under_load(page)
    page.get_by_role("button", name="Interrupt the kernel", exact=True).click()
    page.get_by_text("The run was stopped.").wait_for(timeout=LONG_MS)
    assert newest(place).run_json()["status"] == "interrupted"


@pytest.mark.usefixtures("no_leftovers")
def test_restarting_the_kernel_ends_the_run_in_good_order(long_panel: tuple[Page, Watch], place: Path) -> None:
    page, _ = long_panel
    button(page, "Start").click()
    under_load(page)
    page.get_by_role("button", name="Restart the kernel", exact=True).click()
    page.locator(".jp-Dialog button", has_text="Restart").click()
    found = newest(place)
    with found.held(wait_s=60):
        assert found.run_json()["status"] == "interrupted"
