"""Archives: whole, provable, the same bytes; and what is refused."""

from __future__ import annotations

import os
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from bmtlib.cli import main
from bmtlib.errors import InputError, MachineError
from bmtlib.report.archive import SUMS, archive
from bmtlib.report.crate import NAME
from bmtlib.rundir import RunDir

MakeRun = Callable[..., RunDir]


@pytest.fixture
def run(make_run: MakeRun, tmp_path: Path) -> RunDir:
    return make_run(tmp_path / "run")


def test_every_file_is_in_it_and_can_be_proved(run: RunDir, tmp_path: Path) -> None:
    (run.path / "odd\\name\nof a file").write_text("odd")
    (run.path / ".case.json.new").write_text("half")
    path = archive(run, tmp_path / "packed" / "run.zip")
    with zipfile.ZipFile(path) as packed:
        assert packed.testzip() is None
        packed.extractall(tmp_path / "out")
    checked = subprocess.run(
        ["sha256sum", "-c", "--strict", SUMS], cwd=tmp_path / "out/run", capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    there = {file.relative_to(run.path).as_posix() for file in run.path.rglob("*") if file.is_file()}
    names = {name.removeprefix("run/") for name in zipfile.ZipFile(path).namelist()}
    assert names == there - {".case.json.new"} | {NAME, SUMS}
    assert len((tmp_path / "out/run" / SUMS).read_text().splitlines()) == len(names) - 1


def test_the_same_folder_gives_the_same_bytes(run: RunDir, tmp_path: Path) -> None:
    first = archive(run, tmp_path / "a.zip").read_bytes()
    for file in run.path.rglob("*"):
        os.utime(file, (1, 1))
    (run.path / "run.json").chmod(0o600)
    assert archive(run, tmp_path / "b.zip").read_bytes() == first
    (run.path / "scenario.yml").write_text("other")
    assert archive(run, tmp_path / "c.zip").read_bytes() != first


@pytest.mark.parametrize("status", ["planned", "running"])
def test_a_run_that_has_not_ended_is_refused_unless_told(make_run: MakeRun, tmp_path: Path, status: str) -> None:
    run = make_run(tmp_path / "run", cases=2, status=status)
    with pytest.raises(InputError, match="has not ended"):
        archive(run, tmp_path / "run.zip")
    assert not (tmp_path / "run.zip").exists()
    assert archive(run, tmp_path / "run.zip", unfinished=True).exists()


def test_a_run_that_is_being_measured_is_refused(run: RunDir, tmp_path: Path) -> None:
    with run.held(), pytest.raises(InputError, match="is being measured"):
        archive(RunDir(run.path), tmp_path / "run.zip")


def test_an_earlier_archive_stays_when_the_new_one_fails(
    run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(run, tmp_path / "run.zip")
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bmtlib.report.archive._add", full)
    with pytest.raises(MachineError, match="No space left"):
        archive(run, path)
    assert path.read_bytes() == before
    assert {file.name for file in tmp_path.iterdir()} == {"run", "run.zip"}


def test_places_that_cannot_be(run: RunDir, tmp_path: Path) -> None:
    for place in (run.path / "inside.zip", tmp_path):
        with pytest.raises(InputError, match="cannot be the archive"):
            archive(run, place)
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="cannot write the archive"):
        archive(run, tmp_path / "file" / "run.zip")
    (run.path / "link").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="link is a link"):
        archive(run, tmp_path / "run.zip")
    assert not (tmp_path / "run.zip").exists()


def test_the_verb(run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["archive", "run", "--license", "CC0-1.0"])
    assert (done.exit_code, done.output) == (0, "run.zip\n")
    assert b"licenses/CC0-1.0" in zipfile.ZipFile("run.zip").read(f"run/{NAME}")
    assert CliRunner().invoke(main, ["archive", "nowhere"]).exit_code == 2
