"""`bmt lint`: which profiles a word stands for, what is printed, the exit code."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bmtlib.errors import InputError
from bmtlib.params.profile import ROLES
from bmtlib.setup.kernel_keys import parse_kernel, shown
from bmtlib.setup.lint import FINE
from bmtlib.show_lint import lint_profile


def test_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert lint_profile("recommended", kernel="6.1", namespace=False, as_json=False) == 0
    said = capsys.readouterr().out
    for role in ROLES:
        assert f"recommended-{role} on kernel 6.1 (Debian 12)" in said
    assert lint_profile("recommended-director", kernel="6.1", namespace=True, as_json=False) == 1
    assert "global: It belongs" in " ".join(capsys.readouterr().out.split())


def test_unknown_keys_are_no_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yml"
    path.write_text('title: T\nsource: S\nsysctl: {kernel.pid_max: {value: 5, reason: "[bold]because[/bold]"}}\n')
    assert lint_profile(str(path), kernel="6.1", namespace=False, as_json=False) == 0
    assert "1 settings: 1 unknown" in capsys.readouterr().out


def test_the_role_is_the_end_of_a_files_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "title: T\nsource: S\nsysctl: {net.core.somaxconn: {value: 65535, reason: R}}\n"
    for name, expected in (("mine.yml", 0), ("mine-web.yml", 0), ("mine-client.yml", 1)):
        (tmp_path / name).write_text(text)
        assert lint_profile(str(tmp_path / name), kernel="6.1", namespace=False, as_json=True) == expected
        (row,) = json.loads(capsys.readouterr().out)
        assert row["profile"] == str(tmp_path / name)


def test_without_a_kernel_it_is_this_machines(capsys: pytest.CaptureFixture[str]) -> None:
    lint_profile("recommended-client", kernel=None, namespace=False, as_json=True)
    said = capsys.readouterr()
    assert f"judged for this machine's kernel, {platform.release()}" in " ".join(said.err.split())
    assert {row["kernel"] for row in json.loads(said.out)} == {shown(parse_kernel(platform.release()))}


def test_findings_come_first(capsys: pytest.CaptureFixture[str]) -> None:
    lint_profile("seed-web", kernel="6.1", namespace=False, as_json=False)
    marks = [found[1] in FINE for found in re.finditer(r"┃? *│ ([a-z-]+): ", capsys.readouterr().out)]
    assert len(marks) == 36
    assert marks == sorted(marks)


@pytest.mark.parametrize(
    ("wish", "kernel", "expected"),
    [
        ("sed", "6.1", "did you mean 'seed'?"),
        ("seed-webs", "6.1", "did you mean 'seed-web'?"),
        ("none", "6.1", "there is nothing to judge"),
        ("no/such.yml", "6.1", "does not exist"),
        ("seed", "six", "is not a kernel's version"),
        ("seed", "2.6", "nothing is known"),
    ],
)
def test_bad_input(wish: str, kernel: str, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        lint_profile(wish, kernel=kernel, namespace=False, as_json=False)
    assert expected in str(caught.value)


def test_the_module_stays_light() -> None:
    """`bmt lint` starts at once: neither pandas nor matplotlib is loaded for it."""
    look = "import sys, bmtlib.show_lint; print({'pandas', 'matplotlib'} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout == "set()\n"
