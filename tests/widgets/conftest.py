"""Run folders for widgets: those that the tests of the analysis make."""

from __future__ import annotations

from pathlib import Path

import pytest
from analysis.conftest import Builder, build, usual

from bmtlib.rundir import RunDir


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path / "runs")


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """Three arms, three blocks, no factor."""
    return build(tmp_path_factory.mktemp("runs"), usual)


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """Proxy and L2DSR at three file sizes, in five blocks."""
    return Builder(tmp_path_factory.mktemp("runs")).swept()
