"""A search for the knee on the real programs: one that is never broken, one that cannot be kept, and its refusals."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bmtlib.analysis.compare import df_knees, df_waits_at_knee
from bmtlib.analysis.tables import read_tables
from bmtlib.run import load, measure, start
from bmtlib.rundir import RunDir

SHORT = ("load.seconds=1", "load.warmup_seconds=0", "webs=2", "clients=2", "knee.confirm=1", "knee.shares=[50]")

pytestmark = pytest.mark.lab


OPEN = ("knee.lowest=40", "knee.highest=160")
CLOSED = ("load.engine=ab", "load.rate=null", "load.concurrency=4", "knee.vary=concurrency", "knee.lowest=40")


@pytest.mark.parametrize("loop", ["open", "closed"])
def test_a_search_up_to_its_cap(tmp_path: Path, loop: str) -> None:
    vary = {"open": "rate", "closed": "concurrency"}[loop]
    changes = OPEN if loop == "open" else (*CLOSED, "knee.highest=160")
    settings = [*SHORT, *changes, "knee.objective.wait_p99_ms=100000", "knee.objective.sent_share=0.1"]
    folder = start(load("knee", settings=settings, search=True), tmp_path)
    assert folder.read_json("plan.json")["cases"] == []
    final = measure(folder)
    assert (final["status"], final["error"]) == ("done", None)
    plan = folder.read_json("plan.json")
    levels = Counter((case["arm"], case["levels"][vary]) for case in plan["cases"])
    arms = ("direct", "proxy", "l2dsr")
    assert levels == {(arm, level): 2 if level == 80 else 1 for arm in arms for level in (40, 80, 160)}
    assert folder.case_ids() == [case["id"] for case in plan["cases"]]
    for case_id in folder.case_ids():
        assert folder.case(case_id)["status"] == "done", folder.case(case_id)["error"]
    tables = read_tables(folder)
    knees = df_knees(tables)
    assert set(knees["ending"]) == {"never broken"}
    assert set(knees["knee_low"]) == {160}
    waits = df_waits_at_knee(tables)
    assert (waits["requests"] > 0).all()
    # The same percentiles, whether the search worked them out or the tables did.
    for _, tried in tables.knee[tables.knee["percent"].notna()].iterrows():
        row = waits[waits["arm"] == folder.case(tried["case"])["arm"]].iloc[0]
        assert row["p99_ms"] == pytest.approx(tried["wait_p99_ms"], rel=0.002)  # HdrHistogram


def bmt(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bmtlib", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_an_objective_that_cannot_be_kept_is_an_answer_and_no_crash(tmp_path: Path) -> None:
    settings = [*SHORT, "knee.lowest=40", "knee.objective.wait_p99_ms=0.001"]
    done = bmt("knee", "knee", "--no-report", "--out", tmp_path, *(word for it in settings for word in ("--set", it)))
    assert done.returncode == 0, done.stderr
    folder = RunDir.open(done.stdout.splitlines()[-1])
    found = folder.read_json("knee.json")
    assert {arm["ending"] for arm in found["arms"].values()} == {"never kept"}
    assert len(found["tries"]) == 3
    assert found["base"] is None
    again = bmt("run", "--resume", folder.path)
    assert again.returncode == 2
    assert "a search is not gone on with" in again.stderr


def test_a_scenario_without_a_knee_is_refused(tmp_path: Path) -> None:
    refused = bmt("knee", "quick", "--out", tmp_path)
    assert refused.returncode == 2
    assert "has no `knee`" in refused.stderr
    assert list(tmp_path.iterdir()) == []
