"""What all tests share: a lab and a browser where this machine has one. The folder is on the path, for `browsing`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from bmtlib import doctor
from bmtlib.errors import BmtError

if TYPE_CHECKING:  # tests without a browser do not wait for Playwright
    from browsing import Watch
    from playwright.sync_api import Browser, Page


def _lab_obstacle() -> str:
    """Why no lab can be built here, "" when one can."""
    if missing := doctor.missing_programs():
        return f"programs are missing: {', '.join(missing)}"
    try:
        doctor.lab_privilege()
    except BmtError as error:
        return str(error)
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    lab = [item for item in items if item.get_closest_marker("lab")]
    if lab and (why := _lab_obstacle()):
        for item in lab:
            item.add_marker(pytest.mark.skip(reason=f"no lab on this machine: {why}"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium. One for each module: while it is there, an event loop runs in the tests' thread."""
    from browsing import launched

    with launched() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., tuple[Page, Watch]]]:
    """Opens a file or an address, see `browsing.opened`; gives the page and its watch. Closed after the test."""
    from browsing import opened

    def visited(place: Path | str, **wishes: Any) -> tuple[Page, Watch]:
        return opened(browser, place.absolute().as_uri() if isinstance(place, Path) else place, **wishes)

    yield visited
    for context in browser.contexts:
        context.close()
