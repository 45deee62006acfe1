"""The study's table in small: cases that differ in their tuning, and clients of which only some are needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmtlib.measure.new_run import create_run
from bmtlib.measure.ready import check
from bmtlib.measure.runner import run_plan
from bmtlib.parsers import ab
from bmtlib.run import load

pytestmark = pytest.mark.lab


def test_two_tunings_and_some_of_the_clients(tmp_path: Path) -> None:
    settings = ["factors.concurrency=[100,1000]", "factors.threads=[1]", "clients=10", "webs=2"]
    settings += ["load.concurrency=100", "load.per_client=100"]
    loaded = load("seed-matrix-small", "netns", settings)
    assert {"profiles/seed-web.yml", "profiles/recommended-web.yml"} <= set(loaded.texts)
    folder = create_run(loaded.plan, loaded.name, tmp_path, loaded.texts)
    run_plan(loaded.plan, folder, check(loaded.plan))
    cases = [folder.case(case_id) for case_id in folder.case_ids()]
    assert len(cases) == 8
    for case in cases:
        assert case["error"] is None
        assert case["requests"]["sent"] == 3 * case["load"]["concurrency"] == case["load"]["requests"]
        assert [client["concurrency"] for client in case["clients"]] == [100] * (case["load"]["concurrency"] // 100)
        assert case["skew_p99_ms"] <= case["skew_ms"]
        reports = [ab.parse(folder.raw(case["id"], client["host"], "ab.txt") or "")[0] for client in case["clients"]]
        assert sum(report["completed"] for report in reports) >= case["requests"]["completed"]
        # 10 clients are more than have a folder each.
        assert (folder.path / f"cases/{case['id']}/client.zip").exists()
        # What nginx listens with is the tuning's own: the one cuts its backlog where the other has room.
        listening = (folder.raw(case["id"], "web01", "ss_listen.before.txt") or "").split("0.0.0.0:80")[0].split()
        assert listening[-1] == ("300000" if case["levels"]["tuning"] == "seed" else "65535")
    changes = folder.read_json("changes/web01.json")["applied"]
    assert {change["profile"] for change in changes} >= {"seed-web", "recommended-web"}
