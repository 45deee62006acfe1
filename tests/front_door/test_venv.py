"""./bmt and its .venv: made once, kept in step, made anew when broken, and then out of the way."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Door


def test_first_call_makes_the_venv_and_the_second_does_not(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    first = door("run", "quick", "--set", "a b=$(c)")
    assert (first.returncode, first.stdout) == (0, "in /\nrun\nquick\n--set\na b=$(c)\n"), first.stderr
    assert "making .venv" in first.stderr
    assert door.calls() == ["venv", "pip"]
    began = time.monotonic()
    second = door("run", "quick")
    took = time.monotonic() - began
    assert (second.stdout, second.stderr, door.calls()) == ("in /\nrun\nquick\n", "", [])
    with capsys.disabled():
        print(f"\na second call adds {took:.3f} s (goal 0.3)")


def test_from_another_folder_and_through_a_link(door: Door, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(door.root / "bmt")
    (tmp_path / "link to link").symlink_to("link")
    done = door("doctor", cwd=tmp_path, path=tmp_path / "link to link")
    assert done.stdout == f"in {tmp_path}\ndoctor\n", done.stderr
    assert (door.venv / "bmt-stamp").exists()


@pytest.mark.parametrize(
    "damage",
    [
        "rm .venv/bmt-stamp",
        "ln -sf /nonexistent/python3.9 .venv/bin/python",
        "printf '#!/bin/sh\nexit 127\n' > .venv/bin/python",
        "sed -i s/3.11.9/3.12.0/ .venv/bin/python",
        "mv ../a\\ clone ../moved",
    ],
)
def test_a_broken_venv_is_made_anew(door: Door, damage: str) -> None:
    door("doctor")
    door.calls()
    subprocess.run(damage, shell=True, cwd=door.root, check=True)  # noqa: S602
    if not door.root.exists():
        door.root = door.root.with_name("moved")
    refused = door("--no-install", "doctor")
    assert (refused.returncode, refused.stdout, door.calls()) == (3, "", [])
    assert ".venv is broken" in refused.stderr
    repaired = door("doctor")
    assert repaired.returncode == 0
    assert "making it anew" in repaired.stderr
    assert door.calls() == ["venv", "pip"]


def test_a_new_patch_release_of_python_changes_nothing(door: Door) -> None:
    door("doctor")
    door.calls()
    python = door.venv / "bin/python"
    python.write_text(python.read_text().replace("3.11.9", "3.11.10"))
    assert (door("doctor").stderr, door.calls()) == ("", [])


def test_changed_requirements_are_installed_into_the_same_venv(door: Door) -> None:
    door("doctor")
    door.calls()
    with (door.root / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    assert "pyproject.toml has changed" in door("doctor").stderr
    assert door.calls() == ["pip"]


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("ERROR: [Errno 28] No space left on device", "the disk is full"),
        ("ERROR: Could not find a version that satisfies the requirement click>=8.1", "is there a network?"),
        ("ERROR: a wheel is damaged", "pip failed"),
    ],
)
def test_pip_fails(door: Door, says: str, told: str) -> None:
    door.env["PIP_SAYS"] = says
    failed = door("doctor")
    assert (failed.returncode, failed.stdout) == (3, "")
    assert says in failed.stderr
    assert told in failed.stderr
    assert "to do: " in failed.stderr
    del door.env["PIP_SAYS"]
    assert door("doctor").returncode == 0


def test_two_first_calls_at_once_make_one_venv(door: Door) -> None:
    hold = door.bin / "hold"
    hold.touch()
    command, env = [door.root / "bmt", "doctor"], {**door.env, "HOLD": str(hold)}
    both = [
        subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = {process.stderr.readline() for process in both if process.stderr}
    hold.unlink()
    for process in both:
        process.communicate(timeout=30)
    assert "bmt: waiting for another ./bmt that is preparing this folder\n" in said
    assert ([process.returncode for process in both], door.calls()) == ([0, 0], ["venv", "pip"])


def test_a_press_of_the_tab_key_installs_nothing(door: Door) -> None:
    door.env["_BMT_COMPLETE"] = "bash_complete"
    done = door()
    assert (done.returncode, done.stdout, done.stderr, door.calls()) == (0, "", "", [])


def test_a_python_that_will_not_do(door: Door) -> None:
    door.env["BMT_PYTHON"] = "/bin/false"
    done = door("doctor")
    assert done.returncode == 3
    assert "BMT_PYTHON=/bin/false is not a Python 3.11 or newer" in done.stderr


def test_no_right_to_write(door: Door, nobody: tuple[str, ...]) -> None:
    door.root.chmod(0o555)
    done = door("doctor", before=nobody)
    assert done.returncode == 3
    assert f"no right to write in {door.root}" in done.stderr
    assert "to do: make a clone of your own" in done.stderr
    door.root.chmod(0o755)


def test_a_venv_of_somebody_else_is_left_alone(door: Door, nobody: tuple[str, ...]) -> None:
    door("doctor")
    (door.venv / "bmt-stamp").unlink()
    door.root.chmod(0o777)
    door.venv.chmod(0o555)
    done = door("doctor", before=nobody)
    assert done.returncode == 3
    assert f"no right to write in {door.venv}" in done.stderr
    assert (door.venv / "bin/python").exists()
    door.venv.chmod(0o755)


def test_what_follows_two_dashes_is_not_ours(door: Door) -> None:
    assert door("lab", "--no-install", "--", "--no-install").returncode == 3
    assert door("lab", "--", "--no-install").stdout == "in /\nlab\n--\n--no-install\n"
