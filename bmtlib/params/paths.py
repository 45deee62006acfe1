"""Where the parameter files are, in a clone of the project and in an installed package."""

from __future__ import annotations

from pathlib import Path


def project_root() -> Path:
    """The folder with params/ (and notebooks/, data/): the clone, or bmtlib/share in an installed package."""
    package = Path(__file__).resolve().parent.parent
    return package.parent if (package.parent / "params" / "scenarios").is_dir() else package / "share"
