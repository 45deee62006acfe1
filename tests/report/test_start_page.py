"""The start page of the notebooks: what lies in the tree is what would be made, and all that it names is there."""

from __future__ import annotations

import re

from bmtlib.params.paths import project_root
from bmtlib.report.build import CLOSER
from bmtlib.report.start_page import start_page

FOLDER = project_root() / "notebooks"
PAGE = (FOLDER / "README.md").read_text()


def test_it_is_fresh() -> None:
    assert start_page() == PAGE, "make it anew: .venv/bin/python -m bmtlib.report.start_page"


def test_every_notebook_is_there_with_its_question() -> None:
    rows = dict(re.findall(r"^\| (.+?) \| \[([\w-]+)\]", PAGE, re.MULTILINE))
    assert sorted(rows.values()) == sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def test_the_demo_is_seen_without_executing_anything() -> None:
    for name in CLOSER:
        assert f"The notebook: [{name}]" in PAGE
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        assert (FOLDER / target).exists(), target
    assert len(re.findall(r"^!\[[^\]]{20,}\]\(\.\./figures/demo/", PAGE, re.MULTILINE)) >= 4
