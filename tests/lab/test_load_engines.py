"""Every load generator through a whole run: real programs, real balancers, and every request accounted for."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmtlib.analysis.tables import read_tables
from bmtlib.errors import MachineError
from bmtlib.measure import ready
from bmtlib.run import load, measure, start
from bmtlib.rundir import RunDir

SHORT = ("load.warmup_seconds=1", "repetitions=1", "load.concurrency=20", "webs=2", "clients=2")
ENGINES = {
    "wrk": ("load.engine=wrk", "load.seconds=1"),
    "wrk, keep-alive": ("load.engine=wrk", "load.seconds=1", "load.keepalive=true"),
    "h2load": ("load.engine=h2load", "load.seconds=null", "load.requests=400"),
    "h2load, keep-alive": ("load.engine=h2load", "load.seconds=1", "load.keepalive=true"),
    "open_loop": ("load.engine=open_loop", "load.rate=200", "load.seconds=1"),
}

pytestmark = pytest.mark.lab


def run_with(settings: tuple[str, ...], out: Path) -> RunDir:
    folder = start(load("quick", settings=[*SHORT, *settings]), out)
    measure(folder)
    return folder


@pytest.mark.parametrize("name", ENGINES)
def test_a_run(name: str, tmp_path: Path) -> None:
    run, engine = run_with(ENGINES[name], tmp_path), name.partition(",")[0]
    cases = [run.case(case_id) for case_id in run.case_ids()]
    assert {case["arm"] for case in cases} == {"direct", "proxy", "l2dsr"}
    assert {case["status"] for case in cases} <= {"done", "rejected"}, [case["error"] for case in cases]
    tables = read_tables(run)
    assert tables.problems.empty
    for case in cases:
        requests, clients = case["requests"], case["clients"]
        assert requests["completed"] > 0
        assert requests["sent"] == requests["completed"] + requests["failed"]
        if not case["load"]["keepalive"]:
            # Each request is a connection, of which the kernel knows. It may know of some that were cut off.
            assert 0 <= requests["cut_off"] <= (20 if engine == "wrk" else 0)
        if clients[0]["planned"] is not None:
            planned, unsent = (sum(client[key] for client in clients) for key in ("planned", "unsent"))
            assert planned == {"h2load": 400, "open_loop": 200}[engine] == requests["sent"] + unsent
        waits = tables.waits[tables.waits["case"] == case["id"]]
        assert waits["requests"].sum() == requests["sent"], "each request that ended has a wait"
        assert 0 < waits["wait_us"].min() <= waits["wait_us"].max() < 10_000_000
        assert case["skew_ms"] < 1000
    assert set(tables.cases["loop"]) == {"open" if engine == "open_loop" else "closed"}


def test_a_load_engine_that_is_missing_is_told_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ready.path_of
    monkeypatch.setattr(ready, "path_of", lambda program: None if program == "h2load" else real(program))
    with pytest.raises(MachineError, match="programs are missing: h2load") as caught:
        ready.check(load("quick", settings=[*SHORT, *ENGINES["h2load"]]).plan)
    assert "nghttp2" in caught.value.todo
