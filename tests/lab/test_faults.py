"""Faults in mid-load, on the real programs: the case says which, and nothing of it is lost. See test_run.py for kills.

A clock that is stepped cannot be made in a lab, whose hosts share one: tests/measure/test_host_guards.py has recorded
values.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bmtlib.hosts.host import Host
from bmtlib.measure.case import CaseRun
from bmtlib.measure.ready import check
from bmtlib.measure.session import Session
from bmtlib.run import Loaded, load
from bmtlib.rundir import RunDir

pytestmark = pytest.mark.lab

SHORT = ("load.warmup_seconds=0", "repetitions=1", "load.concurrency=60", "webs=3", "clients=2", "load.seconds=3")


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return load("quick", settings=[*SHORT, "load.timeout_s=1"])


@pytest.fixture
def session(loaded: Loaded) -> Iterator[Session]:
    with Session(loaded.plan, check(loaded.plan), run_id="test") as found:
        yield found


def sh(host: Host, script: str) -> None:
    host.run(["sh", "-c", script], check=False)


def case_run(
    loaded: Loaded, session: Session, folder: Path, kind: str, fault: Callable[[], None], after_s: float
) -> Any:
    """The record of a case of this kind in which `fault` comes a moment after the load has started."""
    timers = []

    def tell(state: str, **fields: Any) -> None:
        if state == "load":
            timers.append(threading.Timer(after_s, fault))
            timers[0].start()

    case = next(case for case in loaded.plan.cases if case.kind == kind)
    try:
        return CaseRun(case, session, RunDir(folder), tell).run()
    finally:
        for timer in timers:
            timer.join()


def guard(record: Any, name: str) -> Any:
    return next(guard for guard in record["guards"] if guard["name"] == name)


def accounted(record: Any) -> None:
    """Every request that ended is counted, once."""
    requests, clients = record["requests"], record["clients"]
    assert requests["completed"] == sum(client["completed"] for client in clients)
    assert requests["failed"] == sum(client["failed"] for client in clients)
    assert requests["sent"] == requests["completed"] + requests["failed"]
    assert requests["cut_off"] == requests["opened"] - requests["sent"] >= 0


def test_a_client_that_hangs_for_ever_is_given_up(loaded: Loaded, session: Session, tmp_path: Path) -> None:
    """Its deadline is the load's time, the time that one answer may take, and 30 s."""
    client = session.lab.hosts["client02"]
    record = case_run(loaded, session, tmp_path, "l2dsr", lambda: sh(client, "kill -STOP $(pidof ab)"), 1.0)
    assert record["status"] == "failed"
    assert "client02" in record["error"]["what"]
    assert {row["host"]: row["status"] for row in record["clients"]} == {"client01": "done", "client02": "died"}
    assert session.sound()
    again = case_run(loaded, session, tmp_path / "again", "l2dsr", lambda: None, 0.0)
    assert again["status"] in ("done", "rejected"), again["error"]
    accounted(again)


def test_a_web_host_that_is_slow_is_named(loaded: Loaded, session: Session, tmp_path: Path) -> None:
    """It sends a few answers a second: whatever is in flight waits for it."""
    web = session.lab.hosts["web02"]
    sh(web, "tc qdisc add dev eth0 root tbf rate 1mbit burst 16kb latency 1s")
    record = case_run(loaded, session, tmp_path, "proxy", lambda: None, 0.0)
    assert record["status"] in ("done", "rejected"), record["error"]
    assert guard(record, "web-even")["verdict"] == "mark", guard(record, "web-even")
    assert "web02" in guard(record, "web-even")["text"]
    accounted(record)


@pytest.mark.parametrize(
    "wrong",
    ["mv /run/bmt/www/dummy_file_5120 /run/bmt/www/gone", "truncate -s 100 /run/bmt/www/dummy_file_5120"],
    ids=["status 404", "too short"],
)
def test_a_web_host_that_answers_wrongly_spoils_the_case(
    loaded: Loaded, session: Session, tmp_path: Path, wrong: str
) -> None:
    web = session.lab.hosts["web02"]
    record = case_run(loaded, session, tmp_path, "l2dsr", lambda: sh(web, wrong), 1.0)
    assert record["status"] == "rejected", record["error"]
    assert guard(record, "answers")["verdict"] == "reject"
    assert "of the requests failed" in guard(record, "answers")["text"]
    assert record["requests"]["failed"] > 0
    accounted(record)
    assert session.sound(), "the host is there; what it answers the next preflight finds"


def test_a_web_host_that_goes_down_is_named(loaded: Loaded, session: Session, tmp_path: Path) -> None:
    web = session.lab.hosts["web02"]
    record = case_run(loaded, session, tmp_path, "direct", lambda: sh(web, "kill -9 $(pidof nginx)"), 1.0)
    assert record["status"] == "failed"
    assert "web02" in record["error"]["what"] or "generator died" in record["error"]["what"]
    assert record["guards"], "what could be judged is"
    assert not session.sound()
