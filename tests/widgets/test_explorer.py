"""The explorer's controls: each change shows in the page, and what cannot be shown is said in its place."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from bmtlib.analysis.explore import View
from bmtlib.analysis.tables import read_tables
from bmtlib.rundir import RunDir
from bmtlib.widgets.explorer import Explorer, explorer, file_name


@pytest.fixture
def made(plain: RunDir, tmp_path: Path) -> Explorer:
    found = explorer(plain, figures=tmp_path / "figures")
    assert found.widget is found.widget
    return found


def labels(control: Any) -> list[str]:
    return [label for label, _ in control.options]


def test_each_control_changes_the_page(made: Explorer) -> None:
    box, pages = made.arms.children[1], [made.page.value]
    for control, value in ((made.metric, "wait_p99_ms"), (made.show_as, True), (made.log, True), (box, False)):
        control.value = value
        pages.append(made.page.value)
    made.x.value = "block"
    pages.append(made.page.value)
    assert len({re.sub("t-shown-[0-9]+", "", page) for page in pages}) == len(pages)
    assert 'alt="99th percentile of the wait, ms by block' in pages[-1]
    assert "b1-direct" not in pages[-1]


def test_what_a_run_has_can_be_chosen(made: Explorer, plain: RunDir, sweep: RunDir) -> None:
    assert made.run.value == plain.path.name
    assert labels(made.x) == ["arm", "block"]
    assert [box.description for box in made.arms.children[1:]] == ["direct", "proxy", "l2dsr"]
    other = explorer(sweep, read_tables(sweep))
    assert other.widget
    assert labels(other.x) == ["arm", "file size", "block"]
    assert labels(other.split) == ["nothing"]
    other.x.value = "arm"
    assert labels(other.split) == ["nothing", "file size"]
    held = other.held.children[1]
    assert (held.description, labels(held), held.value) == (
        "file size",
        ["each by itself", "1 KiB", "64 KiB", "512 KiB"],
        512 * 1024,
    )
    other.split.value = "file_size_bytes"
    assert other.held.children == ()
    assert "64\u00a0KiB" in other.page.value


def test_every_control_has_a_label(made: Explorer) -> None:
    for control in (made.run, made.metric, made.x, made.split, made.show_as, made.log, made.folder, made.export):
        assert control.description
    assert all(box.description for box in made.arms.children[1:])


def test_no_arm_at_all_shows_all_of_them(made: Explorer) -> None:
    for box in made.arms.children[1:]:
        box.value = False
    assert [box.value for box in made.arms.children[1:]] == [True, True, True]


def test_another_run_is_read_and_keeps_the_view(made: Explorer, plain: RunDir) -> None:
    made.metric.value, made.log.value = "wait_mean_ms", True
    made.run.value = "demo"
    assert (made.metric.value, made.log.value) == ("wait_mean_ms", True)
    assert "Reading" not in made.page.value
    assert made.folder.value.endswith("demo")
    made.run.value = plain.path.name
    assert 'alt="Mean wait, ms by arm' in made.page.value


def test_export_writes_what_is_shown_and_says_where(made: Explorer, plain: RunDir, tmp_path: Path) -> None:
    made.metric.value = "wait_p99_ms"
    made.export.click()
    folder = tmp_path / "figures" / plain.path.name
    assert sorted(path.suffix for path in folder.iterdir()) == [".csv", ".png", ".svg"]
    assert str(folder) in made.exported.value
    assert next(folder.glob("*.csv")).read_text().startswith("arm,kind,engine,wait_p99_ms,low,high,min,max,n\n")


def test_export_that_cannot_be_is_said(made: Explorer, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    made.folder.value = str(tmp_path / "a file" / "figures")
    made.export.click()
    assert made.exported.value.startswith("<p>Nothing was kept: cannot write the figure")


def test_files_of_other_views_have_other_names() -> None:
    view = View(metric="requests_per_s", arms=("a/../b",), x="threads", held={"lever": "x y"})
    assert file_name(view) == "explored-requests_per_s-by-threads-at-lever-x_y-of-a_.._b"
    assert os.sep not in file_name(view)


def test_a_folder_that_is_no_run_is_said_in_place(tmp_path: Path) -> None:
    found = explorer(tmp_path)
    assert found.widget
    assert "is not a run folder" in found.page.value
    assert found.metric.disabled
    found.run.value = "demo"
    assert "<img" in found.page.value
    assert not found.metric.disabled


def test_a_run_without_a_case_is_said_in_place(builder: Any) -> None:
    folder = builder(lambda _: None, {"status": "failed"})
    found = explorer(folder)
    assert found.widget
    assert "No case of this run is done, so there is nothing to show (6 planned)." in found.page.value
    assert "<img" not in found.page.value
    (folder.path / "plan.json").write_text("{")
    assert "plan.json cannot be read" in str(explorer(folder)._page)


def test_text_from_outside_is_shown_as_text(builder: Any) -> None:
    said = "<script>alert(1)</script>"
    failed = builder(lambda case: builder.measured(1, status="failed", error=said), repetitions=1)
    assert "&lt;script&gt;" in str(explorer(failed)._page)
    assert "<script" not in str(explorer(failed)._page)
