"""The report in a real browser, on a phone and on a desk, by day and by night, and on paper."""

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

WIDTHS = {"phone": 390, "desk": 1200}
by_day_and_night = pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
on_phone_and_desk = pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)


@by_day_and_night
@on_phone_and_desk
def test_page_fits_and_is_silent(visit: Visit, report: Path, tmp_path: Path, width: int, dark: bool) -> None:
    page, watch = visit(report, width=width, dark=dark)
    watch.assert_quiet()
    assert watch.requests == [report.absolute().as_uri()]
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert page.evaluate("() => [...document.images].every(image => image.complete && image.naturalWidth > 0)")
    background = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") is not dark
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert (tmp_path / "page.png").stat().st_size > 50_000


@on_phone_and_desk
def test_answer_is_on_the_first_screen(visit: Visit, report: Path, width: int) -> None:
    page, _ = visit(report, width=width, height=1200)
    sentence = page.locator(".answer .sentence").bounding_box()
    assert sentence is not None
    assert sentence["y"] + sentence["height"] < 1200


@by_day_and_night
@on_phone_and_desk
def test_no_grave_barrier(visit: Visit, report: Path, width: int, dark: bool) -> None:
    page, _ = visit(report, width=width, dark=dark, scripts=True)
    assert grave_barriers(page) == []


def test_prints(visit: Visit, report: Path, tmp_path: Path) -> None:
    page, _ = visit(report)
    page.pdf(path=tmp_path / "page.pdf", print_background=True)
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
