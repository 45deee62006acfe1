"""JupyterLab for tests, as `bmt jupyter` starts it: on a port of its own, its settings in a private folder."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bmtlib.params.paths import project_root

if TYPE_CHECKING:
    from playwright.sync_api import Page

SETTINGS = project_root() / "bmtlib" / "templates" / "jupyterlab"
_STARTS_S = 120.0
# All cells are in the page, whatever is scrolled to.
_WHOLE = ("@jupyterlab/notebook-extension/tracker.jupyterlab-settings", '{"windowingMode": "none"}')


@contextmanager
def jupyterlab(private: Path, root: Path | None = None) -> Iterator[str]:
    """The address that the server prints, until the block ends. `root`: the folder to serve; without, `bmt jupyter`."""
    private.mkdir(parents=True, exist_ok=True)
    folders = ("CONFIG_DIR", "RUNTIME_DIR", "DATA_DIR")
    environment = {
        **os.environ,
        **{f"JUPYTER_{name}": str(private / name.lower()) for name in folders},
        "JUPYTERLAB_WORKSPACES_DIR": str(private / "workspaces"),
        "JUPYTERLAB_SETTINGS_DIR": str(private / "settings"),
    }
    settings = private / "settings" / _WHOLE[0]
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(_WHOLE[1])
    words = ["-P", "-m", "bmtlib", "jupyter"]
    if root is not None:
        words = ["-m", "jupyterlab", f"--notebook-dir={root}", f"--LabApp.app_settings_dir={SETTINGS}"]
    log = private / "server.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, *words, "--no-browser", "--allow-root", "--ServerApp.port=0"],
            stdout=stream,
            stderr=stream,
            env=environment,
            start_new_session=True,
        )
        try:
            yield _address(process, log)
        finally:
            process.send_signal(signal.SIGTERM)  # which shuts the kernels down; SIGINT would ask whether to
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:  # it waits for a kernel that was being started
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _STARTS_S
    while True:
        said = log.read_text(errors="replace")
        if found := re.search(r"http://(?:127\.0\.0\.1|localhost):[1-9]\d*/\S*token=\w+", said):
            return found[0]
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(0.1)


def of_file(address: str, path: str) -> str:
    """The address that opens a file of the served folder."""
    return re.sub(r"/lab(/tree/[^?]*)?\?", f"/lab/tree/{path}?", address)


def run_all(page: Page) -> None:
    """Run every cell of the notebook that is open, once its kernel is there."""
    page.get_by_text("| Idle").wait_for(timeout=60_000)  # in the status bar
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
