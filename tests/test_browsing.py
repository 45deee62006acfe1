"""The watch over pages sees what a page asks of others and complains of, axe-core what shuts readers out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browsing import BROWSER, grave_barriers

if TYPE_CHECKING:
    from browsing import Watch
    from playwright.sync_api import Page

pytestmark = BROWSER

Visit = Callable[..., "tuple[Page, Watch]"]

GOOD = '<!DOCTYPE html><html lang="en"><head><title>A page</title></head><body><main><h1>It</h1>{}</main></body></html>'


def written(folder: Path, body: str) -> Path:
    path = folder / "page.html"
    path.write_text(GOOD.format(body))
    return path


def test_quiet_page_passes(visit: Visit, tmp_path: Path) -> None:
    path = written(
        tmp_path, '<img alt="nothing" src="data:image/svg+xml,%3Csvg xmlns=%22http://www.w3.org/2000/svg%22/%3E">'
    )
    page, watch = visit(path, scripts=True)
    watch.assert_quiet()
    assert watch.requests == [path.as_uri()]
    assert grave_barriers(page) == []


@pytest.mark.parametrize(
    "body",
    [
        '<img alt="" src="http://192.0.2.1/x.png">',
        '<script>fetch("http://example.invalid/").catch(() => 0)</script>',
        '<script>console.error("no")</script>',
        '<script>throw new Error("no")</script>',
        '<script>try { new WebSocket("ws://192.0.2.1/") } catch {}</script>',
    ],
)
def test_loud_page_is_told(visit: Visit, tmp_path: Path, body: str) -> None:
    page, watch = visit(written(tmp_path, body))
    page.wait_for_load_state("networkidle")
    with pytest.raises(AssertionError):
        watch.assert_quiet()


def test_barriers_are_found(visit: Visit, tmp_path: Path) -> None:
    page, _ = visit(written(tmp_path, '<img src="data:,"><p style="color: #ccc">pale</p>'), scripts=True)
    found = grave_barriers(page)
    assert [line.split()[0] for line in found] == ["color-contrast", "image-alt"]
