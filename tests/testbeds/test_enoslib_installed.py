"""EnOSlib wants older versions of some packages than .venv has: its tests, run in an environment that has it."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.build
def test_the_tests_of_enoslib_where_it_is_installed(tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv/bin/python")
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-e", f"{ROOT}[enoslib]", "pytest"]
    subprocess.run(install, check=True, timeout=600)
    tests = ["tests/testbeds/test_enoslib.py", "tests/lab/test_fleet_doctor.py"]
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-rs", *tests],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "EnOSlib" not in done.stdout, "none was skipped for the lack of it"
