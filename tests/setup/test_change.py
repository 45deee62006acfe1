"""Whole files written on a host and brought back."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from bmtlib.setup.change import Command, command
from bmtlib.setup.file import file_change


def run(it: Command) -> str:
    return subprocess.run(it.argv, input=it.stdin, capture_output=True, text=True, check=True).stdout


def test_command() -> None:
    assert command("a b", "$(c)", stdin="d") == Command(argv=("a b", "$(c)"), stdin="d")
    assert command("true").stdin == ""


@pytest.mark.parametrize("name", ["plain.conf", "it's a $(touch pwned).conf", "-n", "größe"])
def test_a_new_file(tmp_path: Path, name: str) -> None:
    path, text = tmp_path / "new" / "folder" / name, "größe\n"
    change = file_change("web01", str(path), text, before=None, reason="why")
    assert (change.before, change.want, change.reason) == (None, "8 bytes", "why")
    run(change.do)
    assert path.read_text() == text
    assert change.check is not None
    assert " ".join(run(change.check).split()) == change.expect == f"{hashlib.sha256(text.encode()).hexdigest()} -"
    assert [found.name for found in path.parent.iterdir()] == [name], "no temporary file is left"
    run(change.undo)
    assert not path.exists()
    run(change.undo)


def test_a_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    path.write_text("before")
    change = file_change("web01", str(path), "after", before="before")
    assert (change.before, change.want) == ("6 bytes", "5 bytes")
    run(change.do)
    assert path.read_text() == "after"
    run(change.undo)
    assert path.read_text() == "before"


def test_an_empty_file_is_brought_back_and_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    change = file_change("web01", str(path), "after", before="")
    run(change.do)
    run(change.undo)
    assert path.read_text() == ""


def test_the_check_sees_another_content(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    change = file_change("web01", str(path), "wanted\n", before=None)
    path.write_text("wanted")
    assert change.check is not None
    assert " ".join(run(change.check).split()) != change.expect


def test_a_file_stays_whole_when_writing_fails(tmp_path: Path) -> None:
    """The temporary file cannot be made: what was there is untouched."""
    path = tmp_path / "x.conf"
    path.write_text("before")
    (tmp_path / "x.conf.bmt-new").mkdir()
    change = file_change("web01", str(path), "after", before="before")
    assert subprocess.run(change.do.argv, input="after", text=True, capture_output=True, check=False).returncode != 0
    assert path.read_text() == "before"
