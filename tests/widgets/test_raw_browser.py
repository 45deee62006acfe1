"""The raw browser's controls, and texts of hosts in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmtlib.rundir import RunDir
from bmtlib.widgets.raw_browser import RawBrowser, raw_browser


@pytest.fixture
def made(plain: RunDir) -> RawBrowser:
    found = raw_browser(plain)
    assert found.widget
    return found


def test_from_the_case_to_the_probe(made: RawBrowser) -> None:
    assert made.case.value == "b1-direct" or made.case.value in dict(made.case.options).values()
    assert made.host.value == "director"
    assert made.probe.value.label == "nstat: before and after"
    assert "<mark>" in made.page.value
    made.probe.value = next(choice for _, choice in made.probe.options if choice.label.startswith("ip_link"))
    made.host.value = "web01"
    assert made.probe.value.label.startswith("ip_link")  # the other host has it too
    assert "ip_link: before and after of web01" in made.page.value
    made.host.value = "client01"
    made.probe.value = next(choice for _, choice in made.probe.options if choice.names == ("ab.txt",))
    assert "Complete requests" in made.page.value


def test_what_is_the_same_can_be_seen_too(made: RawBrowser) -> None:
    made.probe.value = next(choice for _, choice in made.probe.options if choice.label.startswith("ip_link"))
    assert "lines the same" in made.page.value
    made.changes.value = False
    assert "lines the same" not in made.page.value
    assert "collisions" in made.page.value


def test_every_control_has_a_label(made: RawBrowser) -> None:
    assert all(control.description for control in (made.run, made.case, made.host, made.probe, made.changes))


def test_text_of_hosts_is_shown_as_text(tmp_path: Path) -> None:
    said = '<script>alert("x")</script>'
    folder = RunDir(tmp_path / "hostile")
    folder.write_json("run.json", {"format": 1, "hosts": [{"name": "<b>", "role": "<i>"}]})
    folder.write_json("plan.json", {"cases": [{"id": "b1"}]})
    folder.write_case(
        "b1", {"<b>": {f"p.{moment}.txt": (said + moment).encode() for moment in ("before", "after")}}, {"<b>": "web"}
    )
    folder.write_json("cases/b1/case.json", {"status": "done"})
    page = str(raw_browser(folder)._page)
    assert page.count("&lt;script&gt;") == 2
    assert "<script" not in page
    assert "<b>" not in page


def test_nothing_to_browse_is_said_in_place(tmp_path: Path, plain: RunDir) -> None:
    empty = RunDir(tmp_path / "empty")
    empty.write_json("run.json", {"format": 1})
    empty.write_json("plan.json", {"cases": []})
    found = raw_browser(empty)
    assert found.widget
    assert "No case of this run was tried" in found.page.value
    assert "is not a run folder" in str(raw_browser(tmp_path)._page)


def test_a_damaged_file_is_said_in_place(tmp_path: Path) -> None:
    folder = RunDir(tmp_path / "damaged")
    folder.write_json("run.json", {"format": 1})
    folder.write_json("plan.json", {"cases": [{"id": "b1"}]})
    folder.write_json("cases/b1/case.json", {"status": "done"})
    folder.write("cases/b1/client01/ab.tsv.gz", b"no gzip")
    assert "ab.tsv of client01 cannot be read" in str(raw_browser(folder)._page)
