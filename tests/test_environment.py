"""What must be installed is said in three places that agree: pyproject.toml, environment.yml, programs.tsv."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from bmtlib.programs import programs

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = [ROOT / "bmt", ROOT / ".ci/run", *sorted((ROOT / "tests/front_door/stand_ins").iterdir())]


def name_and_bound(requirement: str) -> tuple[str, str]:
    """`Types_PyYAML >= 6.0` -> ("types-pyyaml", ">=6.0"): names as PEP 503 compares them."""
    match = re.fullmatch(r"([A-Za-z0-9._-]+?)\s*(>=\s*[0-9.]+)?", requirement)
    assert match, f"{requirement!r} is not a name with a lower bound"
    return re.sub(r"[-_.]+", "-", match[1]).lower(), (match[2] or "").replace(" ", "")


def test_conda_and_pip_get_the_same_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pip = [*project["dependencies"], *project["optional-dependencies"]["dev"], f"python{project['requires-python']}"]
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    ours, *from_pip = conda.pop()["pip"]
    assert ours == "-e ."
    assert dict(map(name_and_bound, [*conda, *from_pip])) == dict(map(name_and_bound, [*pip, "pip"]))


def test_the_lists_are_in_order() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirements in (project["dependencies"], project["optional-dependencies"]["dev"]):
        assert requirements == sorted(requirements)


def test_every_program_has_its_packages() -> None:
    names = [program.name for program in programs()]
    assert len(names) == len(set(names))
    for program in programs():
        for word in (program.name, program.debian, program.rpm):
            assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+._-]*", word)
        assert all(place.startswith("/") for place in program.places[1:])
        assert program.version_option.startswith("-")
    rows = (ROOT / "bmtlib/programs.tsv").read_text().splitlines()
    assert {row.split("\t")[5] for row in rows if not row.startswith("#")} == {"all", "vm", "load", "test"}


def test_shell_scripts_can_be_executed() -> None:
    for path in SCRIPTS:
        assert os.access(path, os.X_OK), f"chmod +x {path}"
        assert path.read_text().startswith("#!/usr/bin/env bash\n")


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shell_scripts_are_clean() -> None:
    done = subprocess.run(["shellcheck", *SCRIPTS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
