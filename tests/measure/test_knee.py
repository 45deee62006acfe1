"""Whether a measured case kept the objective, from its record and its raw files; and one search per folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bmtlib.errors import InputError
from bmtlib.knee_plan import at_the_cap, make_knee_plan
from bmtlib.measure.knee import judged, percentiles, run_knee, waits_ms
from bmtlib.measure.new_run import create_run
from bmtlib.measure.ready import Ready
from bmtlib.params.scenario import Scenario
from bmtlib.params.testbed import Testbed
from bmtlib.plan import Case, Plan
from bmtlib.rundir import RunDir
from bmtlib.testbeds.placement import place

HEAD = "starttime\tseconds\tctime\tdtime\tttime\twait\n"


def plan() -> Plan:
    knee = {"vary": "concurrency", "lowest": 10, "highest": 40, "objective": {"wait_p99_ms": 50}}
    values = {
        "title": "T",
        "question": "Q?",
        "arms": {"proxy": None},
        "load": {"concurrency": 10, "seconds": 1},
        "knee": knee,
    }
    return make_knee_plan(Scenario.model_validate(values), Testbed())


@pytest.fixture
def folder(tmp_path: Path) -> RunDir:
    return create_run(plan(), "knee", tmp_path, {})


@pytest.fixture
def case() -> Case:
    return at_the_cap(plan()).cases[0]


def rows(waits: list[int]) -> bytes:
    line = "Mon Nov 23 01:39:39 2026\t1795397979\t0\t{0}\t{0}\t{0}\n"
    return (HEAD + "".join(line.format(wait) for wait in sorted(waits))).encode()


def record(**fields: Any) -> dict[str, Any]:
    base = {
        "status": "done",
        "error": None,
        "guards": [],
        "requests": {"completed": 200, "failed": 0},
        "clients": [{"host": name, "concurrency": 5} for name in ("client01", "client02")],
    }
    return base | fields


def judge(folder: RunDir, case: Case, found: dict[str, Any]) -> dict[str, Any]:
    knee = plan().scenario.knee
    assert knee is not None
    return judged(folder, knee, case, found)


def test_percentiles_are_pooled_over_clients(folder: RunDir, case: Case) -> None:
    folder.write_raw(case.id, "client01", {"ab.tsv": rows([10] * 100)})
    folder.write_raw(case.id, "client02", {"ab.tsv": rows([10] * 97 + [80] * 3)})
    found = judge(folder, case, record())
    assert (found["kept"], found["why"], found["level"]) == (False, ["wait_p99_ms 80 is above 50"], 40)
    assert (found["wait_p50_ms"], found["wait_p99_ms"], found["failed_share"]) == (10.0, 80.0, 0.0)
    folder.write_raw(case.id, "client02", {"ab.tsv": rows([10] * 98 + [80] * 2)})
    assert judge(folder, case, record())["kept"]  # 198 of 200 are 99 %


def test_a_client_whose_waits_are_missing_keeps_nothing(folder: RunDir, case: Case) -> None:
    folder.write_raw(case.id, "client01", {"ab.tsv": rows([10] * 100)})
    assert waits_ms(folder, case, record()["clients"]) is None
    assert judge(folder, case, record())["why"] == ["wait_p99_ms was not measured"]
    folder.write_raw(case.id, "client02", {"ab.tsv": rows([10])[:-9]})
    assert judge(folder, case, record())["wait_p99_ms"] is None
    assert percentiles(None) == {}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"requests": {"completed": 199, "failed": 1}}, "failed_share 0.005 is above 0.001"),
        ({"requests": {"completed": 0, "failed": 0}}, "no request ended"),
        ({"status": "failed", "error": {"what": "a load generator died"}}, "failed: a load generator died"),
    ],
)
def test_what_else_breaks(folder: RunDir, case: Case, fields: dict[str, Any], why: str) -> None:
    for client in ("client01", "client02"):
        folder.write_raw(case.id, client, {"ab.tsv": rows([10] * 100)})
    found = judge(folder, case, record(**fields))
    assert (found["kept"], found["why"]) == (False, [why])


def test_a_rejected_case_says_nothing_about_its_level(folder: RunDir, case: Case) -> None:
    guards = [{"verdict": "ok", "text": "a"}, {"verdict": "reject", "text": "b"}]
    for client in ("client01", "client02"):
        folder.write_raw(case.id, client, {"ab.tsv": rows([10] * 100)})
    found = judge(folder, case, record(status="rejected", guards=guards))
    assert (found["kept"], found["why"]) == (None, ["rejected: b"])
    slow = {"completed": 0, "failed": 9}
    found = judge(folder, case, record(status="rejected", guards=guards, requests=slow))
    assert (found["kept"], found["why"]) == (False, ["failed_share 1 is above 0.001", "rejected: b"])


@pytest.mark.parametrize("status", ["running", "done", "interrupted", "failed"])
def test_a_search_is_not_gone_on_with(folder: RunDir, status: str) -> None:
    folder.write_json("run.json", folder.run_json() | {"status": status})
    with pytest.raises(InputError, match="a search is not gone on with"):
        run_knee(plan(), folder, Ready(placement=place("auto"), rootless=True, vcpus=None))
    assert folder.run_json()["status"] == status
