"""The report on paper: the page, printed by a browser that is on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from bmtlib.errors import MachineError
from bmtlib.rundir import RunDir

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_LONGEST_S = 300  # a full matrix takes a few; a machine that measures something else takes its time
_FLAGS = ("--headless", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-pdf-header-footer")


def print_page(page: Path) -> Path:
    """Write the page's PDF beside it and return its path; an earlier one stays as it is until the new one is whole.

    Raises MachineError: no Chromium, it failed, or the PDF cannot be written.
    """
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        raise MachineError(
            "there is no Chromium on this machine, which prints the report",
            where=str(page),
            todo="Debian: apt-get install chromium; or open the page in any browser and print it",
        )
    with tempfile.TemporaryDirectory(prefix="bmt-pdf-") as private:
        made = Path(private) / "page.pdf"
        # Root has no sandbox in Chromium; what it opens is our own page, whose policy forbids it to run anything.
        rights = ["--no-sandbox"] if os.geteuid() == 0 else []
        profile = f"--user-data-dir={Path(private) / 'profile'}"
        words = [browser, *_FLAGS, *rights, profile, f"--print-to-pdf={made}", page.absolute().as_uri()]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=_LONGEST_S, check=False)
            said = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        except subprocess.TimeoutExpired:
            said = f"it took longer than {_LONGEST_S} s"
        except OSError as error:
            said = str(error.strerror)
        if not made.is_file():
            raise MachineError(
                f"{Path(browser).name} did not print the report: {said}",
                where=str(page),
                todo="open the page in a browser and print it",
            )
        content = made.read_bytes()
    return RunDir(page.parent).write(page.with_suffix(".pdf").name, content)
