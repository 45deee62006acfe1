"""Hosts for the tests of this folder: those of tests/hosts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "hosts"))

from host_doubles import LocalHost


@pytest.fixture
def client(tmp_path: Path) -> LocalHost:
    """This machine as client01, with an empty file system."""
    return local(tmp_path, "client01")


def local(root: Path, name: str) -> LocalHost:
    return LocalHost(
        name=name,
        role=name.rstrip("0123456789"),
        machine="lab",
        namespace=True,
        addresses={"front": "192.168.16.2"},
        interfaces={"front": "eth0", "back": "eth0"},
        cpus=frozenset(os.sched_getaffinity(0)),
        root=root,
    )
