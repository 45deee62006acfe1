"""`bmt jupyter` as a person meets it: a start page that shows what the demo answers, and leads to the notebooks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from browsing import BROWSER
from jupyterlab import jupyterlab

if TYPE_CHECKING:
    from browsing import Watch
    from playwright.sync_api import Page

pytestmark = BROWSER


def test_the_start_page_shows_the_demo(visit: Callable[..., tuple[Page, Watch]], tmp_path: Path) -> None:
    with jupyterlab(tmp_path / "private") as address:
        page, watch = visit(address, height=1600)
        shown = page.locator(".jp-MarkdownViewer")
        shown.get_by_role("heading", name="Notebooks").wait_for(timeout=120_000)
        shown.get_by_role("img").first.wait_for(timeout=60_000)
        assert shown.get_by_role("img").evaluate_all("them => them.every(it => it.complete && it.naturalWidth > 300)")
        page.screenshot(path=str(tmp_path / "start.png"))
        shown.get_by_role("link", name="21-waits").first.click()
        notebook = page.locator(".jp-NotebookPanel")
        notebook.get_by_role("heading", name="What did a client wait?").wait_for(timeout=60_000)
        watch.assert_quiet()
