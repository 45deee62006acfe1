"""A whole run on the real programs, and runs in which something dies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bmtlib.measure.case import CaseRun
from bmtlib.measure.ready import check
from bmtlib.measure.session import Session
from bmtlib.parsers import ab
from bmtlib.plan import Case
from bmtlib.run import Loaded, load, measure, start
from bmtlib.rundir import RunDir

# As in conftest.py, which tests cannot import.
SHORT = ("load.warmup_seconds=0", "repetitions=1", "load.concurrency=20", "webs=2", "clients=2")

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("no_leftovers")]


@pytest.fixture(scope="module")
def run(loaded: Loaded, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    folder = start(loaded, tmp_path_factory.mktemp("runs"))
    measure(folder)
    return folder


def test_every_case_is_done(run: RunDir) -> None:
    assert run.run_json()["status"] == "done"
    cases = [run.case(case_id) for case_id in run.case_ids()]
    assert {case["arm"] for case in cases} == {"direct", "proxy", "l2dsr"}
    assert {case["status"] for case in cases} <= {"done", "rejected"}, [case["error"] for case in cases]


def test_counts_agree_with_raw_files(run: RunDir) -> None:
    for case_id in run.case_ids():
        case = run.case(case_id)
        raw = [ab.parse(run.raw(case_id, client["host"], "ab.txt") or "")[0] for client in case["clients"]]
        assert case["requests"]["completed"] == sum(row["completed"] for row in raw) > 0
        assert case["requests"]["sent"] == case["requests"]["completed"] + case["requests"]["failed"]
        assert 0 <= case["requests"]["cut_off"] <= case["load"]["concurrency"]
        starts = [client["start_epoch_s"] for client in case["clients"]]
        ends = [(client["begun_epoch_s"] or client["start_epoch_s"]) + client["seconds"] for client in case["clients"]]
        assert case["window_s"] == pytest.approx(max(ends) - min(starts), abs=1e-4)
        assert case["skew_ms"] == pytest.approx((max(starts) - min(starts)) * 1000, abs=0.01)
        assert 0 <= case["skew_p99_ms"] <= case["skew_ms"]
        assert case["late_ms"] >= 0
        for client in case["clients"]:
            noted = {name: int(run.raw(case_id, client["host"], f"ab.{name}") or 0) / 1e9 for name in ("start", "end")}
            assert noted["start"] == client["start_epoch_s"] <= client["begun_epoch_s"]
            assert client["begun_epoch_s"] + client["seconds"] <= noted["end"]


def test_each_arm_was_proven_before_its_load(run: RunDir) -> None:
    proofs = {run.case(case_id)["kind"]: run.case(case_id)["preflight"] for case_id in run.case_ids()}
    assert [proof["name"] for proof in proofs["l2dsr"]] == ["answers", "arp", "path"]
    assert [proof["name"] for proof in proofs["proxy"]] == ["answers", "arp", "path"]
    assert [proof["name"] for proof in proofs["direct"]] == ["answers", "path"]
    assert all(proof["ok"] for arm in proofs.values() for proof in arm)


def test_events_tell_the_whole_story(run: RunDir) -> None:
    steps = [(event["step"], event["state"]) for event in run.events()]
    assert steps[0] == ("run", "start")
    assert steps[-1] == ("run", "done")
    assert sum(step == ("case", "load") for step in steps) == 3


@pytest.fixture(scope="module")
def lasting() -> Loaded:
    """A load long enough that what happens after a second happens in the middle of it, also on a busy machine."""
    return load("quick", settings=[*SHORT, "load.seconds=3"])


@pytest.fixture
def own_session(lasting: Loaded) -> Any:
    ready = check(lasting.plan)
    with Session(lasting.plan, ready, run_id="test") as found:
        yield found


def case_of(lasting: Loaded, kind: str) -> Case:
    return next(case for case in lasting.plan.cases if case.kind == kind)


def run_with(action: Callable[[], None], case: Case, session: Session, folder: RunDir) -> dict[str, Any]:
    """Run a case and do `action` a moment after its load has started."""

    def tell(state: str, **fields: Any) -> None:
        if state == "load":
            threading.Timer(1.0, action).start()

    return CaseRun(case, session, folder, tell).run()


def test_a_client_killed_in_mid_load_fails_its_case_alone(
    own_session: Session, lasting: Loaded, tmp_path: Path
) -> None:
    folder, client = RunDir(tmp_path), own_session.lab.hosts["client02"]
    case = case_of(lasting, "l2dsr")
    record = run_with(lambda: kill(client, "ab"), case, own_session, folder)
    assert record["status"] == "failed"
    assert "client02" in record["error"]["what"]
    assert {row["host"]: row["status"] for row in record["clients"]} == {"client01": "done", "client02": "died"}
    assert "ab.err" in folder.raw_names(case.id, "client02") or "ab.txt" in folder.raw_names(case.id, "client02")
    assert own_session.sound()
    assert CaseRun(case, own_session, folder, lambda *a, **k: None).run()["status"] in ("done", "rejected")


@pytest.mark.parametrize("kind", ["proxy", "l2dsr"])
def test_a_web_server_killed_in_mid_load_fails_its_case_and_is_brought_back(
    own_session: Session, lasting: Loaded, tmp_path: Path, kind: str
) -> None:
    folder, web = RunDir(tmp_path), own_session.lab.hosts["web02"]
    record = run_with(lambda: kill(web, "nginx"), case_of(lasting, kind), own_session, folder)
    assert record["status"] == "failed"
    assert "web02" in record["error"]["what"] or "generator died" in record["error"]["what"]
    assert not own_session.sound()
    own_session.reopen()
    assert CaseRun(case_of(lasting, kind), own_session, folder, lambda *a, **k: None).run()["status"] in (
        "done",
        "rejected",
    )


def test_a_host_that_is_gone_fails_the_case_and_the_testbed_is_rebuilt(
    own_session: Session, lasting: Loaded, tmp_path: Path
) -> None:
    folder = RunDir(tmp_path)
    own_session.lab.hosts["client01"].run(["sh", "-c", "kill -9 $(pidof sleep)"], check=False)
    time.sleep(0.1)
    record = CaseRun(case_of(lasting, "proxy"), own_session, folder, lambda *a, **k: None).run()
    assert record["status"] == "failed"
    assert not own_session.sound()


def test_preflight_finds_a_web_host_with_wrong_bytes(own_session: Session, lasting: Loaded, tmp_path: Path) -> None:
    own_session.lab.hosts["web01"].run(["sh", "-c", "echo wrong > /run/bmt/www/dummy_file_5120"])
    record = CaseRun(case_of(lasting, "l2dsr"), own_session, RunDir(tmp_path), lambda *a, **k: None).run()
    assert record["status"] == "failed"
    assert "wrong bytes from web01" in record["error"]["what"]


def kill(host: Any, program: str) -> None:
    host.run(["sh", "-c", f"kill -9 $(pidof {program})"], check=False)
