"""Raw files as a reader is shown them: both moments of a probe side by side, from folders and from bundles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bmtlib.analysis.raw_diff import MOST_LINES, only_changes, side_by_side
from bmtlib.analysis.raw_files import MOST_SHOWN, case_labels, choices, host_labels, shown
from bmtlib.errors import InputError
from bmtlib.rundir import RunDir


def grown(row: Any) -> list[tuple[str, str]]:
    return [(part.text, part.growth) for part in row.right if part.changed]


def test_a_line_that_came_and_one_that_went() -> None:
    rows = side_by_side("a 1\ngone 5\nb 2\n", "a 2\nb 2\nnew 7\n")
    assert [row.kind for row in rows] == ["changed", "before", "same", "after"]
    assert grown(rows[0]) == [("2", "+1")]
    assert [(row.left_no, row.right_no) for row in rows] == [(1, 1), (2, None), (3, 2), (None, 3)]


def test_names_and_addresses_are_no_numbers() -> None:
    rows = side_by_side("cpu0 10 eth0 192.168.16.1:80", "cpu0 15 eth0 192.168.16.2:80")
    assert [row.kind for row in rows] == ["before", "after"]
    (row,) = side_by_side("cpu0 10 -3 1.50", "cpu0 15 -4 1.25")
    assert grown(row) == [("15", "+5"), ("-4", "-1"), ("1.25", "-0.25")]


def test_texts_stay_whole(run: RunDir) -> None:
    before, after = (run.raw("b1-proxy", "director", f"stat.{moment}.txt") or "" for moment in ("before", "after"))
    rows = side_by_side(before, after)
    assert ["".join(part.text for part in row.left) for row in rows if row.left] == before.splitlines()
    assert ["".join(part.text for part in row.right) for row in rows if row.right] == after.splitlines()


def test_counters_of_softnet_are_hexadecimal_and_wrap() -> None:
    (row,) = side_by_side("fffffffb 00000000", "0000000f 00000000", hexadecimal=True)
    assert grown(row) == [("0000000f", "+20")]


def test_very_long_texts_are_cut() -> None:
    text = "\n".join(f"line {i}" for i in range(2 * MOST_LINES))
    assert len(side_by_side(text, text)) == MOST_LINES


def test_what_is_equal_can_be_left_out() -> None:
    rows = only_changes(side_by_side("\n".join("abcdefgh") + "\n1", "\n".join("abcdefgh") + "\n2"))
    assert [(row.kind, row.skipped) for row in rows] == [("gap", 6), ("same", 0), ("same", 0), ("changed", 0)]
    assert [(row.kind, row.skipped) for row in only_changes(side_by_side("a\nb", "a\nb"))] == [("gap", 2)]
    assert only_changes([]) == []


def test_from_case_to_host_to_probe(run: RunDir) -> None:
    assert case_labels(run)["b1-proxy"] == "b1-proxy (done)"
    hosts = host_labels(run, "b1-proxy")
    assert list(hosts.items())[:2] == [("director", "director"), ("web01", "web01 (web)")]
    found = choices(run, "b1-proxy", "director")
    assert [choice.label for choice in found][:2] == ["nstat: before and after", "interrupts: before and after"]
    assert [choice.names for choice in found if len(choice.names) == 1] == [
        ("interrupts.during.txt",),
        ("softirqs.during.txt",),
        ("stat.during.txt",),
    ]
    nstat = next(choice for choice in found if choice.label.startswith("nstat"))
    page = shown(run, "b1-proxy", "director", nstat)
    assert page.places == ("cases/b1-proxy/director/nstat.before.txt", "cases/b1-proxy/director/nstat.after.txt")
    assert ("404", "+404") not in grown(page.rows[1])
    assert any(("411", "+404") in grown(row) for row in page.rows if row.kind == "changed")
    assert page.notes[0].endswith("lines differ.")


def test_rows_of_ab_are_read_from_their_archive(run: RunDir) -> None:
    choice = next(choice for choice in choices(run, "b1-direct", "client01") if choice.names == ("ab.tsv",))
    page = shown(run, "b1-direct", "client01", choice)
    assert page.lines[0].startswith("starttime\tseconds")
    assert len(page.lines) == MOST_SHOWN
    assert page.notes == (f"The first {MOST_SHOWN} of 803 lines.",)
    assert page.places == ("cases/b1-direct/client01/ab.tsv.gz",)


@pytest.fixture
def bundled(tmp_path: Path) -> RunDir:
    """A run whose web hosts are so many that they share one file in each case."""
    folder = RunDir(tmp_path / "large")
    names = [f"web{i:02}" for i in range(1, 21)]
    folder.write_json("run.json", {"format": 1, "hosts": [{"name": name, "role": "web"} for name in names]})
    folder.write_json("plan.json", {"cases": [{"id": "b1-<b>"}]})
    texts = {moment: json.dumps({"kernel": {"<i>": n}}).encode() for moment, n in (("before", 1), ("after", 5))}
    files = {name: {f"nstat.{moment}.txt": text for moment, text in texts.items()} for name in names}
    folder.write_case("b1-<b>", files, dict.fromkeys(names, "web"))
    folder.write_json("cases/b1-<b>/case.json", {"status": "done"})
    return folder


def test_bundles_are_read_too(bundled: RunDir) -> None:
    assert len(host_labels(bundled, "b1-<b>")) == 20
    (choice,) = choices(bundled, "b1-<b>", "web07")
    page = shown(bundled, "b1-<b>", "web07", choice)
    assert page.places[0] == "cases/b1-<b>/web.zip: web07/nstat.before.txt"
    assert any(grown(row) == [("5", "+4")] for row in page.rows)


def test_damaged_and_missing_files_are_told(bundled: RunDir) -> None:
    (bundled.path / "cases/b1-<b>/web.zip").write_bytes(b"no zip")
    with pytest.raises(InputError, match="cannot be read"):
        host_labels(RunDir(bundled.path), "b1-<b>")
    (bundled.path / "cases/b1-<b>/case.json").write_text("{")
    assert list(case_labels(bundled).values()) == ["b1-<b> (unreadable)"]
