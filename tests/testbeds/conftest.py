"""A machine for the tests of a virtual director's kernel. The folder is on the path for kernel_doubles."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kernel_doubles import distribution

from bmtlib import programs
from bmtlib.testbeds import kernel, kernel_package


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, on a machine whose own kernel is nowhere to be seen."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kernel, "_ROOT", tmp_path / "machine")
    monkeypatch.setattr(platform, "release", lambda: "5.5.5-own")
    return tmp_path / "cache/bmtlib"


@pytest.fixture
def machine_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make this a machine that has stand-ins for these programs, sh and a few tools; the shelf of its packages."""

    def make(*names: str) -> Path:
        bin_folder, shelf = distribution(tmp_path, *names)
        for tool in ("sh", "cat", "cp", "touch", "find", "rm", "sleep"):
            path = programs.which(tool)
            assert path
            (bin_folder / tool).symlink_to(path)
        for module in (programs, kernel_package):
            monkeypatch.setattr(module, "environment", lambda: {"PATH": str(bin_folder)})
        return shelf

    return make
