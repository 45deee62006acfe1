"""The report on paper: where there is a browser, and where there is none."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from browsing import BROWSER

from bmtlib.errors import MachineError
from bmtlib.report import print_page


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "report.ko.html"
    path.write_text("<!DOCTYPE html><title>A page</title><p>한국어")
    return path


def browser_that(tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be the only Chromium there is."""
    program = tmp_path / "bin" / "chromium"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", os.pathsep.join([str(program.parent), "/bin"]))


def test_machine_without_chromium_is_told_what_to_do(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MachineError, match="no Chromium") as caught:
        print_page(page)
    assert "apt-get install chromium" in caught.value.todo


def test_browser_that_fails_is_quoted(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    browser_that(tmp_path, "echo one >&2; echo 'no display' >&2; exit 1", monkeypatch)
    page.with_suffix(".pdf").write_bytes(b"the earlier one")
    with pytest.raises(MachineError, match="chromium did not print the report: no display"):
        print_page(page)
    assert page.with_suffix(".pdf").read_bytes() == b"the earlier one"


@pytest.mark.browser
@BROWSER[1]
def test_prints_beside_the_page(page: Path) -> None:
    made = print_page(page)
    assert made == page.with_name("report.ko.pdf")
    assert made.read_bytes().startswith(b"%PDF")
