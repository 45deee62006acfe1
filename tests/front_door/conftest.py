"""A copy of ./bmt on a machine of stand-ins for Python, apt-get and systemctl, which write down how they are called."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

STAND_INS = Path(__file__).with_name("stand_ins")

# All that ./bmt and the stand-ins need; nothing else is on the PATH here but the sbin folders, which ./bmt adds.
TOOLS = "awk bash cat chmod comm cp cut env flock grep mkdir mktemp mv readlink rm sha256sum sleep sort stat tail tee"


@dataclass
class Door:
    """A copy of the project and a machine for it: `bin` is the PATH, `calls` what the stand-ins wrote down."""

    root: Path
    bin: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    def calls(self) -> list[str]:
        path = Path(self.env["CALLS"])
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def program(self, name: str, says: str) -> None:
        (self.bin / name).write_text(f"#!/usr/bin/env bash\necho {says}\n")
        (self.bin / name).chmod(0o755)

    def require(self, *rows: str, needed_for: str = "all") -> None:
        """Make programs.tsv ask for these rows alone; fields parted by spaces, all but the last."""
        text = "".join("\t".join([*row.split(), needed_for]) + "\n" for row in rows)
        (self.root / "bmtlib/programs.tsv").write_text("# a comment\n" + text)

    def __call__(
        self, *args: str, cwd: Path | str = "/", before: tuple[str, ...] = (), path: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [*before, str(path or self.root / "bmt"), *args]
        return subprocess.run(
            command,
            cwd=cwd,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


@pytest.fixture
def door() -> Iterator[Door]:
    """Not in pytest's own folder: another user has to be able to reach it."""
    top = Path(tempfile.mkdtemp(prefix="bmt-door-"))
    top.chmod(0o755)
    root, tools = top / "a clone", top / "bin"
    (root / "bmtlib").mkdir(parents=True)
    tools.mkdir()
    for name in ("bmt", "pyproject.toml", "bmtlib/programs.tsv"):
        shutil.copy(ROOT / name, root / name)
    for name in TOOLS.split():
        path = shutil.which(name)
        assert path, name
        (tools / name).symlink_to(path)
    for script in STAND_INS.iterdir():
        shutil.copy(script, tools)
    env = {"PATH": str(tools), "CALLS": str(top / "calls"), "BMT_PYTHON": str(tools / "python3")}
    made = Door(root, tools, env)
    made.require("bash bash bash --version -")
    yield made
    shutil.rmtree(top)


@pytest.fixture
def nobody() -> tuple[str, ...]:
    """Words before a command that make it run without rights, also when the tests run as root."""
    if os.geteuid() != 0:
        return ()
    return (shutil.which("setpriv") or "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
