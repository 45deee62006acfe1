"""The archive that a guest's root is made of, read back by the format's own description."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

from bmtlib.testbeds.archive import Archive


def entries(data: bytes) -> dict[str, tuple[int, bytes]]:
    """name -> (mode, content), up to the trailer."""
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        numbers = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, name_size = numbers[1], numbers[6], numbers[11]
        name = data[at + 110 : at + 110 + name_size - 1].decode()
        start = at + 110 + name_size
        start += -start % 4
        if name == "TRAILER!!!":
            return found
        assert name not in found
        found[name] = (mode, data[start : start + size])
        at = start + size
        at += -at % 4


def test_folders_come_before_what_is_in_them() -> None:
    to = io.BytesIO()
    archive = Archive(to)
    archive.file("/a/b/c", b"hello", 0o644)
    archive.file("/a/b/d", b"12345678", 0o755)
    archive.link("/a/l", "b/c")
    archive.device("/dev/console", 5, 1)
    archive.end()
    found = entries(to.getvalue())
    assert list(found) == ["a", "a/b", "a/b/c", "a/b/d", "a/l", "dev", "dev/console"]
    assert found["a/b/c"] == (stat.S_IFREG | 0o644, b"hello")
    assert found["a/l"] == (stat.S_IFLNK | 0o777, b"b/c")
    assert stat.S_ISDIR(found["a"][0])
    assert stat.S_ISCHR(found["dev/console"][0])


def test_a_copied_link_brings_what_it_points_to_once(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"program")
    os.symlink("real", tmp_path / "link")
    to = io.BytesIO()
    archive = Archive(to)
    archive.copy(f"{tmp_path}/link")
    archive.copy(f"{tmp_path}/real")
    archive.end()
    found = entries(to.getvalue())
    folder = str(tmp_path).lstrip("/")
    assert found[f"{folder}/link"][1] == b"real"
    assert found[f"{folder}/real"][1] == b"program"
