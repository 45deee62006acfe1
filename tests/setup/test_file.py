"""Whole files written on a host and brought back: content, mode, owner, times, links, folders. Run by real shells."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bmtlib.setup.change import Command
from bmtlib.setup.file import file_change, file_changes

Run = Callable[..., str]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture(params=["dash", "bash"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs a command of a change, and fails where it should not."""
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param} here")
    keep = tmp_path / "keep"
    keep.mkdir()

    def run(it: Command, *, rc: int = 0) -> str:
        argv = [request.param, *it.argv[1:]]
        env = os.environ | {"KEEP": str(keep)}
        done = subprocess.run(argv, input=it.stdin, capture_output=True, text=True, check=False, env=env, umask=0o022)
        assert done.returncode == rc, done.stderr
        assert bool(done.stderr) == bool(rc), done.stderr
        return done.stdout or done.stderr

    return run


def state(path: Path) -> tuple[object, ...]:
    """All that an undo must bring back."""
    found = path.lstat()
    content = str(path.readlink()) if path.is_symlink() else path.read_bytes()
    return content, stat.filemode(found.st_mode), found.st_uid, found.st_gid, found.st_mtime_ns


def kept(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "keep").iterdir())


@pytest.mark.parametrize("name", ["plain.conf", "it's a $(touch pwned).conf", "-n", "größe", "a b*"])
def test_a_new_file(run: Run, tmp_path: Path, name: str) -> None:
    path, text = tmp_path / "new" / "folder" / name, "größe\n"
    change = file_change("web01", str(path), text, before=None, reason="why")
    assert (change.before, change.want, change.reason) == (None, "8 bytes", "why")
    run(change.do)
    assert path.read_text() == text
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert change.check is not None
    assert " ".join(run(change.check).split()) == change.expect == f"{hashlib.sha256(text.encode()).hexdigest()} -"
    assert [found.name for found in path.parent.iterdir()] == [name], "no temporary file is left"
    run(change.undo)
    assert not (tmp_path / "new").exists(), "folders that had to be made go as well"
    run(change.undo)
    assert kept(tmp_path) == []


def test_a_folder_that_others_use_by_now_stays(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "x.conf"
    change = file_change("web01", str(path), "text", before=None)
    run(change.do)
    (tmp_path / "new" / "theirs").write_text("")
    run(change.undo)
    assert [found.name for found in (tmp_path / "new").iterdir()] == ["theirs"]


@pytest.mark.parametrize("content", [b"before", b"", b"\xff\xfe\x00 no text \n\n", b"no end of line\r"])
def test_a_file_that_was_there_comes_back_to_the_byte(run: Run, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.conf"
    path.write_bytes(content)
    path.chmod(0o640)
    os.utime(path, ns=(1, 1_600_000_000_123_456_789))
    as_found = state(path)
    change = file_change("web01", str(path), "after", before=content.decode(errors="replace"))
    assert change.want == "5 bytes"
    run(change.undo)
    assert state(path) == as_found, "nothing was done: nothing is to be undone"
    run(change.do)
    assert path.read_text() == "after"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640, "who may read it stays as it was"
    run(change.undo)
    assert state(path) == as_found
    run(change.undo)
    assert state(path) == as_found
    assert kept(tmp_path) == []


@AS_ROOT
def test_an_owner_stays_and_comes_back(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    path.write_text("before")
    os.chown(path, 65533, 65532)
    path.chmod(0o4750)
    as_found = state(path)
    change = file_change("web01", str(path), "after", before="before")
    run(change.do)
    assert (path.stat().st_uid, path.stat().st_gid) == (65533, 65532)
    run(change.undo)
    assert state(path) == as_found


def test_a_mode_that_is_asked_for(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("before")
    path.chmod(0o644)
    as_found = state(path)
    change = file_change("web01", str(path), "secret", before="before", mode="600")
    run(change.do)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert change.check is not None
    assert " ".join(run(change.check).split()) == change.expect
    path.chmod(0o640)
    assert " ".join(run(change.check).split()) != change.expect
    run(change.undo)
    assert state(path) == as_found


def test_a_link_is_replaced_and_comes_back_as_a_link(run: Run, tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "x.conf"
    target.write_text("theirs")
    path.symlink_to("target")
    as_found = state(path)
    change = file_change("web01", str(path), "after", before="theirs")
    run(change.do)
    assert (path.is_symlink(), path.read_text(), target.read_text()) == (False, "after", "theirs")
    run(change.undo)
    assert (state(path), target.read_text()) == (as_found, "theirs")


def test_a_link_to_nowhere_comes_back(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    path.symlink_to("nowhere")
    change = file_change("web01", str(path), "after", before=None)
    run(change.do)
    assert path.read_text() == "after"
    run(change.undo)
    assert str(path.readlink()) == "nowhere"


def test_done_again_after_it_broke_off_the_first_copy_counts(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    path.write_text("before")
    as_found = state(path)
    change = file_change("web01", str(path), "after", before="before")
    run(change.do)
    run(change.do)
    run(change.undo)
    assert state(path) == as_found


def test_written_twice_in_a_run_both_undos_find_their_own(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    one = file_change("web01", str(path), "one", before=None)
    two = file_change("web01", str(path), "two", before="one")
    run(one.do)
    run(two.do)
    run(two.undo)
    assert path.read_text() == "one"
    run(one.undo)
    assert not path.exists()


@pytest.mark.parametrize("half", ["part of a copy", "copy", "copy and half a file"])
def test_killed_in_the_middle(run: Run, tmp_path: Path, half: str) -> None:
    """What may lie about when the controller or the host died, by steps of `do`."""
    path, keep = tmp_path / "x.conf", tmp_path / "keep"
    path.write_text("before")
    as_found = state(path)
    change = file_change("web01", str(path), "after", before="before")
    name = str(path).replace("/", "%") + "-" + change.do.argv[5]
    if half == "part of a copy":
        (keep / f"{name}.part").write_text("bef")
    else:
        shutil.copy2(path, keep / name)
    if half == "copy and half a file":
        (tmp_path / "x.conf.bmt-new").write_text("aft")
    run(change.undo)
    assert state(path) == as_found
    assert not (tmp_path / "x.conf.bmt-new").exists()
    run(change.do)
    run(change.undo)
    assert state(path) == as_found
    assert sorted(found.name for found in tmp_path.iterdir()) == ["keep", "x.conf"]


def test_a_file_that_is_gone_by_now_comes_back(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "folder" / "x.conf"
    path.parent.mkdir()
    path.write_text("before")
    change = file_change("web01", str(path), "after", before="before")
    run(change.do)
    shutil.rmtree(path.parent)
    run(change.undo)
    assert path.read_text() == "before"


def test_what_cannot_be_brought_back_is_a_failure_and_can_be_tried_again(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    path.write_text("before")
    change = file_change("web01", str(path), "after", before="before")
    run(change.do)
    path.unlink()
    path.mkdir()
    (path / "theirs").write_text("")
    assert run(change.undo, rc=1)
    shutil.rmtree(path)
    run(change.undo)
    assert path.read_text() == "before"


def test_the_check_sees_another_content(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    change = file_change("web01", str(path), "wanted\n", before=None)
    path.write_text("wanted")
    assert change.check is not None
    assert " ".join(run(change.check).split()) != change.expect


def test_a_file_stays_whole_when_writing_fails(run: Run, tmp_path: Path) -> None:
    """The temporary file cannot be made: what was there is untouched."""
    path = tmp_path / "x.conf"
    path.write_text("before")
    as_found = state(path)
    (tmp_path / "x.conf.bmt-new").mkdir()
    change = file_change("web01", str(path), "after", before="before")
    assert "x.conf.bmt-new" in run(change.do, rc=1)
    assert state(path) == as_found


def test_a_folder_is_not_replaced_by_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.conf").mkdir()
    change = file_change("web01", str(tmp_path / "x.conf"), "after", before=None)
    assert "x.conf is a folder" in run(change.do, rc=1)
    run(change.undo)
    assert (tmp_path / "x.conf").is_dir()


def test_nothing_to_write() -> None:
    assert file_changes("web01", "/etc/x", "text", before="text") == []
    assert file_changes("web01", "/etc/x", "text", before="text", mode="600", mode_before="600") == []
    assert len(file_changes("web01", "/etc/x", "text", before="text", mode="600", mode_before="644")) == 1
    assert len(file_changes("web01", "/etc/x", "text", before=None)) == 1
    assert len(file_changes("web01", "/etc/x", "", before=None)) == 1


@pytest.mark.parametrize(("path", "lasting"), [("/etc/x", True), ("/run/bmt/x", False), ("/tmp/x", False)])
def test_what_outlives_a_reboot(path: str, lasting: bool) -> None:
    assert file_change("web01", path, "", before=None).lasting == lasting
