"""Waits of every load generator, as one histogram: against the raw files, and against what HdrHistogram itself says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bmtlib.analysis.raw import Raw
from bmtlib.analysis.read_waits import upper_ends, wait_rows
from bmtlib.rundir import RunDir

GOLDEN = Path(__file__).parents[1] / "golden"
CASE = "b1-proxy"


def rows_of(
    tmp_path: Path, engine: str, concurrency: int, *clients: dict[str, str]
) -> tuple[list[dict[str, Any]], Raw]:
    """The waits of a case whose clients left these files, which are goldens."""
    run = RunDir(tmp_path)
    run.write_json("run.json", {"hosts": []})
    records = []
    for i, files in enumerate(clients, 1):
        host = f"client{i:02}"
        run.write_raw(CASE, host, {name: (GOLDEN / golden).read_bytes() for name, golden in files.items()})
        records.append({"host": host, "status": "done", "concurrency": concurrency})
    raw = Raw(run)
    return wait_rows(raw, {CASE: {"load": {"engine": engine}, "clients": records}})[0], raw


def spread(rows: list[dict[str, Any]]) -> list[int]:
    assert all(row["case"] == CASE for row in rows)
    return sorted(wait for row in rows for wait in [row["wait_us"]] * row["requests"])


def golden(name: str) -> list[dict[str, int]]:
    found: list[dict[str, int]] = json.loads((GOLDEN / f"{name}.json").read_text())
    return found


def test_steps_are_those_of_hdrhistogram() -> None:
    """What PyPI's hdrhistogram 0.10.8 answers: HdrHistogram(1, 3600 * 10**6, 3).get_highest_equivalent_value(wait)."""
    theirs = {0: 0, 1: 1, 2047: 2047, 2048: 2049, 4095: 4095, 4096: 4099, 123_456: 123_519, 999_999: 1_000_447}
    theirs |= {1_000_000: 1_000_447, 10_000_000: 10_002_431, 59_999_999: 60_030_975}
    assert dict(zip(theirs, upper_ends(np.array(list(theirs))).tolist(), strict=True)) == theirs


def test_an_open_loop_waits_from_when_requests_were_due(tmp_path: Path) -> None:
    files = [{"open_loop.tsv": f"open_loop_rows/{name}.txt"} for name in ("plain", "faults")]
    rows, raw = rows_of(tmp_path, "open_loop", 10, *files)
    sent = golden("open_loop_rows/plain") + golden("open_loop_rows/faults")
    waits = np.array([row["late_us"] + row["answer_us"] for row in sent])
    assert spread(rows) == sorted(upper_ends(waits).tolist())
    assert not raw.problems


def test_requests_that_were_not_sent_have_no_wait(tmp_path: Path) -> None:
    rows, _ = rows_of(tmp_path, "open_loop", 10, {"open_loop.tsv": "open_loop_rows/local.txt"})
    assert len(spread(rows)) == 8


def test_h2load(tmp_path: Path) -> None:
    rows, _ = rows_of(tmp_path, "h2load", 5, {"h2load.tsv": "h2load_log/not_found.txt"})
    waits = np.array([row["answer_us"] for row in golden("h2load_log/not_found")])
    assert spread(rows) == sorted(upper_ends(waits).tolist())


def test_what_wrk_made_up_is_taken_out(tmp_path: Path) -> None:
    rows, raw = rows_of(tmp_path, "wrk", 4, {"wrk.txt": "wrk/faults.txt", "wrk.tsv": "wrk_waits/faults.txt"})
    assert len(spread(rows)) == 80 - 4  # as many as answers that came in time
    assert not raw.problems


def test_waits_that_do_not_fit_the_report_are_refused(tmp_path: Path) -> None:
    rows, raw = rows_of(tmp_path, "wrk", 4, {"wrk.txt": "wrk/close.txt", "wrk.tsv": "wrk_waits/faults.txt"})
    assert rows == []
    assert [problem["file"] for problem in raw.problems] == ["wrk.tsv"]


@pytest.mark.parametrize("engine", ["ab", "wrk", "h2load", "open_loop"])
def test_a_client_without_files_has_no_waits(tmp_path: Path, engine: str) -> None:
    rows, raw = rows_of(tmp_path, engine, 4, {})
    assert rows == []
    assert not raw.problems
