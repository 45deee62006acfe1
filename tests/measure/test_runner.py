"""The run folder at both ends of a run, without a testbed: made from a plan, and closed when no testbed can be had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bmtlib.errors import InputError
from bmtlib.measure.estimate import OVERHEAD_S, estimate_s
from bmtlib.measure.new_run import create_run
from bmtlib.measure.ready import Ready
from bmtlib.measure.runner import run_plan
from bmtlib.params.scenario import Scenario
from bmtlib.params.testbed import Testbed
from bmtlib.plan import Plan, make_plan, plan_from_json
from bmtlib.rundir import FORMAT, RunDir
from bmtlib.testbeds.placement import Placement, place


def plan(**load: Any) -> Plan:
    values = {
        "title": "Größe <b>",
        "question": "B?",
        "arms": {"direct": None, "proxy": None},
        "load": {"concurrency": 40} | load,
        "repetitions": 2,
    }
    return make_plan(Scenario.model_validate(values), Testbed())


def test_a_new_run_folder_holds_the_plan(tmp_path: Path) -> None:
    it = plan(seconds=5)
    texts = {"scenario.yml": "title: Größe\n", "testbed.yml": "kind: netns\n"}
    folder = create_run(it, "it's a name", tmp_path, texts)
    assert sorted(path.name for path in folder.path.iterdir()) == sorted([*texts, "plan.json", "run.json"])
    assert {name: (folder.path / name).read_text(encoding="utf-8") for name in texts} == texts
    assert plan_from_json((folder.path / "plan.json").read_text(encoding="utf-8")) == it
    opened = RunDir.open(folder.path).run_json()
    assert opened["format"] == FORMAT
    assert opened["id"] == folder.path.name
    assert opened["scenario"] == {"name": "it's a name", "title": "Größe <b>", "question": "B?"}
    assert (opened["testbed"], opened["digest"], opened["status"]) == ("netns", it.digest, "planned")
    assert {"fidelity", "engine", "hosts", "privilege", "versions", "director_cpus", "error"} <= set(opened)
    assert folder.case_ids() == []


def test_estimate() -> None:
    assert estimate_s(plan(seconds=5, warmup_seconds=2).cases) == 4 * (5 + 2 + OVERHEAD_S)
    assert estimate_s(plan(requests=8000, warmup_seconds=2).cases) == 4 * (4 + 2 + OVERHEAD_S)


@pytest.fixture
def no_testbed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine on which `unshare` is not to be found."""
    monkeypatch.setattr("bmtlib.hosts.netns.environment", lambda: {"PATH": str(tmp_path)})


def test_a_run_that_gets_no_testbed_is_marked_as_failed(no_testbed: None, tmp_path: Path) -> None:
    folder = create_run(plan(seconds=5), "quick", tmp_path, {})
    everything = frozenset(os.sched_getaffinity(0))
    ready = Ready(placement=Placement(director=everything, others=everything), rootless=True, vcpus=None)
    with pytest.raises(FileNotFoundError):
        run_plan(plan(seconds=5), folder, ready)
    final = folder.run_json()
    assert final["status"] == "failed"
    assert "unshare" in final["error"]["what"]
    assert final["started"] <= final["ended"]
    steps = [(event["step"], event["state"]) for event in folder.events()]
    assert steps == [("run", "start"), ("testbed", "start"), ("run", "failed")]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_after_a_run_we_have_all_our_cpus_again(no_testbed: None, tmp_path: Path) -> None:
    """A notebook's kernel runs many: the next one would find no CPU for its director."""
    before = os.sched_getaffinity(0)
    folder = create_run(plan(seconds=5), "quick", tmp_path, {})
    try:
        with pytest.raises(FileNotFoundError):
            run_plan(plan(seconds=5), folder, Ready(placement=place("auto"), rootless=True, vcpus=None))
        assert os.sched_getaffinity(0) == before
    finally:
        os.sched_setaffinity(0, before)


def everywhere() -> Ready:
    return Ready(placement=place("auto"), rootless=True, vcpus=None)


def record(folder: RunDir, it: Plan, status: str) -> None:
    for case in it.cases:
        folder.write_json(f"cases/{case.id}/case.json", {"id": case.id, "status": status, "digest": case.digest})


@pytest.mark.parametrize("status", ["done", "rejected", "left out"])
def test_a_run_that_is_done_is_not_measured_again(tmp_path: Path, status: str) -> None:
    it = plan(seconds=5)
    folder = create_run(it, "quick", tmp_path, {})
    record(folder, it, status)
    folder.write_json("run.json", folder.run_json() | {"status": "done"})
    before = (folder.path / "run.json").read_bytes()
    with pytest.raises(InputError, match=r"nothing is missing .*: the run is done"):
        run_plan(it, folder, everywhere())
    assert (folder.path / "run.json").read_bytes() == before
    assert list(folder.events()) == []


def test_a_run_that_is_under_way_is_left_alone(tmp_path: Path) -> None:
    it = plan(seconds=5)
    folder = create_run(it, "quick", tmp_path, {})
    words = (
        "import sys; from bmtlib.rundir import RunDir\nwith RunDir(sys.argv[1]).held(): print(1, flush=True); input()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", words, str(folder.path)], **pipes) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"1\n"
        with pytest.raises(InputError, match="is being measured"):
            run_plan(it, folder, everywhere())
        other.kill()
    assert folder.run_json()["status"] == "planned"


def test_each_session_is_told(no_testbed: None, tmp_path: Path) -> None:
    """Neither of both gets a testbed; the first was killed."""
    it = plan(seconds=5)
    folder = create_run(it, "quick", tmp_path, {})
    killed = {"started": "2026-11-23T02:07:02Z", "ended": None, "status": "running", "pid": 1, "versions": {}}
    started = {"status": "running", "started": killed["started"], "sessions": [killed]}
    folder.write_json("run.json", folder.run_json() | started)
    record(folder, it, "done")
    (folder.path / "cases" / it.cases[1].id / "case.json").unlink()
    with pytest.raises(FileNotFoundError):
        run_plan(it, folder, everywhere())
    final = folder.run_json()
    assert [session["status"] for session in final["sessions"]] == ["killed", "failed"]
    assert (final["status"], final["started"]) == ("failed", killed["started"])
    (start, *_) = folder.events()
    assert (start["cases"], start["kept"], start["estimate_s"]) == (4, 3, round(5 + 1 + OVERHEAD_S, 1))
    assert start["arms"][it.cases[1].arm] == [1, start["estimate_s"]]


def test_a_folder_that_is_not_ours_is_not_run_in(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(InputError, match=r"lacks run\.json"):
        run_plan(plan(seconds=5), RunDir(tmp_path), everywhere())
    assert os.sched_getaffinity(0) == before
