"""Hosts to test with. The folder is on the path, so that tests of other folders find host_doubles too."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from host_doubles import LocalHost


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    """This machine as web01, with an empty file system."""
    return LocalHost(
        name="web01",
        role="web",
        machine="lab",
        namespace=True,
        addresses={"back": "172.16.0.101"},
        interfaces={"front": "eth0", "back": "eth0"},
        cpus=frozenset(os.sched_getaffinity(0)),
        root=tmp_path,
    )
