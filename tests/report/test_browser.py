"""The report in a real browser, on a phone and on a desk, by day and by night, on paper, and without a mouse."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browsing import BROWSER, grave_barriers
from PIL import Image, ImageStat

if TYPE_CHECKING:
    from browsing import Watch
    from playwright.sync_api import Locator, Page

pytestmark = BROWSER

Visit = Callable[..., "tuple[Page, Watch]"]

WIDTHS = {"phone": 390, "desk": 1200, "wide": 1600}
by_day_and_night = pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
on_any_screen = pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)

PAPER_PX = 680, 994  # what its margins leave of an A4 page, in CSS pixels


def brightness(place: Locator) -> float:
    """0 (black) to 255 (white)."""
    return float(ImageStat.Stat(Image.open(io.BytesIO(place.screenshot())).convert("L")).mean[0])


@by_day_and_night
@on_any_screen
def test_page_fits_and_is_silent(visit: Visit, report: Path, width: int, dark: bool) -> None:
    page, watch = visit(report, width=width, dark=dark)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert page.evaluate("() => [...document.images].every(image => image.complete && image.naturalWidth > 0)")
    for place in (page.locator("h1"), page.locator("figure .scroll").first):
        assert (brightness(place) > 128) is not dark
    watch.assert_quiet()
    assert watch.requests == [report.absolute().as_uri()]


@on_any_screen
def test_answer_is_on_the_first_screen(visit: Visit, report: Path, width: int) -> None:
    page, _ = visit(report, width=width, height=1200)
    sentence = page.locator(".answer .sentence").bounding_box()
    assert sentence is not None
    assert sentence["y"] + sentence["height"] < 1200


@by_day_and_night
@on_any_screen
def test_no_grave_barrier(visit: Visit, report: Path, width: int, dark: bool) -> None:
    page, _ = visit(report, width=width, dark=dark, scripts=True)
    for details in page.locator("details").all():
        details.evaluate("element => { element.open = true }")
    assert grave_barriers(page) == []


def test_all_that_can_be_used_is_reached_by_keyboard(visit: Visit, report: Path) -> None:
    page, _ = visit(report)
    there = page.evaluate(
        """() => {
            const found = [...document.querySelectorAll("a[href], summary, [tabindex='0']")];
            window.met = [];
            document.addEventListener("focusin", event => window.met.push(found.indexOf(event.target)));
            return found.filter(element => element.checkVisibility()).map(element => found.indexOf(element));
        }"""
    )
    for _ in there:
        page.keyboard.press("Tab")
    assert page.evaluate("() => window.met") == there
    assert page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_folded_parts_open_without_a_mouse(visit: Visit, report: Path) -> None:
    page, _ = visit(report, width=WIDTHS["phone"])
    summary = page.locator("summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert summary.evaluate("element => element.parentElement.open")


def test_figures_data_can_be_kept(visit: Visit, report: Path) -> None:
    page, watch = visit(report)
    with page.expect_download() as kept:
        page.locator("#figure-throughput a[download]").click()
    assert kept.value.suggested_filename == "throughput.csv"
    assert Path(kept.value.path()).read_text().startswith("arm,")
    watch.assert_quiet()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_paper_holds_all(visit: Visit, report: Path, tmp_path: Path, dark: bool) -> None:
    page, _ = visit(report, width=PAPER_PX[0], height=PAPER_PX[1], dark=dark)
    page.emulate_media(media="print")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= PAPER_PX[0]
    cut = "element => element.scrollWidth > element.clientWidth + 1"
    assert page.locator(".scroll").evaluate_all(f"elements => elements.filter({cut}).length") == 0
    heights = page.locator("figure").evaluate_all("elements => elements.map(element => element.offsetHeight)")
    assert max(heights) < PAPER_PX[1]
    assert brightness(page.locator("figure img").first) > 128
    page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "page.pdf").read_bytes())) > 5
