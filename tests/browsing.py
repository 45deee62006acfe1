"""A real browser for tests: the system's Chromium, driven by Playwright. Pages are watched, and kept from the world."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

_FLAGS = ("--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--hide-scrollbars")
_HERE = re.compile(r"(file|data|blob|about|chrome-error):|(https?|wss?)://(localhost|127\.0\.0\.1|\[::1\])[:/]")
_GRAVE = ("serious", "critical")


def chromium() -> str | None:
    """The browser's path, None when this machine has none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


# For `pytestmark` of a module whose tests need the browser.
BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"),
]


@contextmanager
def launched() -> Iterator[Browser]:
    """The browser, until the block ends. Playwright's own downloads are never used."""
    with sync_playwright() as playwright:
        # A browser that runs as root, as in a container, has no sandbox to offer; it opens our own pages only.
        browser = playwright.chromium.launch(executable_path=chromium(), chromium_sandbox=False, args=[*_FLAGS])
        try:
            yield browser
        finally:
            browser.close()


class Watch:
    """What a page asks for, and what it complains of, from now on. What is not on this machine is not let through.

    `requests`: addresses, but for those that hold their own data. `complaints`: errors of the console and of scripts.
    """

    def __init__(self, page: Page) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.context.route(lambda address: not _HERE.match(address), lambda route: route.abort())
        page.on("request", lambda request: self._asked(request.url))
        page.on("websocket", lambda socket: self._asked(socket.url))
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _asked(self, address: str) -> None:
        if not address.startswith(("data:", "blob:")):
            self.requests.append(address)

    def assert_quiet(self) -> None:
        """No error so far, and nothing asked of another machine."""
        assert [address for address in self.requests if not _HERE.match(address)] == []
        assert self.complaints == []


def opened(
    browser: Browser,
    address: str,
    *,
    width: int = 1200,
    height: int = 900,
    dark: bool = False,
    scripts: bool = False,
) -> tuple[Page, Watch]:
    """A page in a profile of its own, loaded, with its watch. Sizes are in CSS pixels; a narrow window is a phone.

    `scripts`: the page's policy is set aside, so that axe-core, which is a script, can look at it.
    """
    context = browser.new_context(
        viewport={"width": width, "height": height},
        is_mobile=width < 600,
        has_touch=width < 600,
        color_scheme="dark" if dark else "light",
        bypass_csp=scripts,
    )
    page = context.new_page()
    watch = Watch(page)
    page.goto(address)
    return page, watch


def grave_barriers(page: Page) -> list[str]:
    """What axe-core finds serious or critical, a text for each element. The page was opened with `scripts`."""
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:160]}: {node['failureSummary']}"
        for rule in found
        if rule["impact"] in _GRAVE
        for node in rule["nodes"]
    ]
