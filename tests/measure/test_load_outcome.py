"""What each load generator's files become: commands, outcomes, and the guards on what was offered. Goldens are real."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bmtlib.errors import ParseError
from bmtlib.measure.guards.load import load_guards
from bmtlib.measure.guards.rate import LATE_MARK_MS, UNSENT_MARK, UNSENT_REJECT, rate_guards
from bmtlib.measure.load import ClientLoad, client_loads, deadline_s, load_command, warmup_command
from bmtlib.measure.load_outcome import outcome_of
from bmtlib.measure.outcome import ClientOutcome, request_counts
from bmtlib.params.load import Load

GOLDEN = Path(__file__).parents[1] / "golden"
URL = "http://10.0.0.9:80/dummy_file_5120"
OPEN = Load(engine="open_loop", rate=300, concurrency=100, seconds=1)
WRK = Load(engine="wrk", concurrency=20, seconds=1)
COUNTED = Load(engine="h2load", concurrency=10, requests=500)
TIMED = Load(engine="h2load", concurrency=10, seconds=1, keepalive=True)


def part(**options: Any) -> ClientLoad:
    return ClientLoad(**({"client": "client01", "url": URL, "concurrency": 20, "requests": None} | options))


def files(engine: str, report: str, rows: str = "", **changes: bytes) -> dict[str, bytes]:
    found = {
        f"{engine}.txt": (GOLDEN / engine / f"{report}.txt").read_bytes(),
        f"{engine}.err": b"one\ntwo\nthree\nfour\n",
        f"{engine}.rc": b"0\n",
        f"{engine}.start": b"1795744740000000000\n",
        f"{engine}.tsv": (GOLDEN / rows).read_bytes() if rows else b"",
        "nstat.before.txt": b'{"kernel": {"TcpActiveOpens": 100}}\n',
    }
    return {name: content for name, content in {**found, **changes}.items() if not name.startswith("nstat")}


# --- Commands -----------------------------------------------------------------------------------------------------


def test_commands() -> None:
    assert warmup_command(part(), WRK) == [
        *("wrk", "-t", "1", "-c", "20", "-d", "1s", "--timeout", "30s", "-H", "Connection: close", URL)
    ]
    command = load_command(part(), WRK)
    assert command[:2] == ["sh", "-c"]
    assert command[5:] == [*warmup_command(part(), WRK)[:-1], "-s", "wrk.lua", URL]
    common = ["h2load", "--h1", "-t", "1", "-c", "10", "-m", "1", "-N", "30"]
    assert load_command(part(concurrency=10, requests=500), COUNTED) == [
        *(*common, "-H", "Connection: close", "-n", "500", "--log-file=h2load.tsv", URL)
    ]
    assert load_command(part(concurrency=10), TIMED) == [*common, "-D", "1", "--log-file=h2load.tsv", URL]
    assert warmup_command(part(concurrency=10), COUNTED)[:2] == ["timeout", "1"]
    words = load_command(part(requests=100, index=1, of=3), OPEN)
    assert words[:2] == ["python3", "-c"]
    assert words[3:] == [URL, "300", "1", "3", "100", "5120", "20", "30", "open_loop.tsv"]


@pytest.mark.parametrize("load", [OPEN, WRK, COUNTED, TIMED])
def test_a_generator_that_is_there_takes_its_command(load: Load, tmp_path: Path) -> None:
    """Nobody listens: the real program understands its words, says so in its way, and leaves no script behind."""
    mine = part(url="http://127.0.0.1:1/x", concurrency=10, requests=load.planned)
    command = load_command(mine, load)
    program = {"wrk": "wrk", "h2load": "h2load", "open_loop": "python3"}[load.engine]
    assert shutil.which(program), f"{program} is missing: ./bmt test installs it"
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, timeout=60, check=False)
    assert not (tmp_path / "wrk.lua").exists()
    said = {f"{load.engine}.txt": done.stdout, f"{load.engine}.err": done.stderr}
    said[f"{load.engine}.rc"] = str(done.returncode).encode()
    found = outcome_of(mine, load, said)
    assert found.completed == 0
    if load.engine == "wrk":
        assert (found.status, "unable to connect" in done.stdout.decode() + found.said) == ("died", True)
    else:
        assert found.status == "done"
        assert load_guards(load, [found], None, request_counts([found], keepalive=False))[0].verdict == "reject"


def test_parts_of_an_open_loop_are_its_requests_in_turn() -> None:
    webs = {f"web0{i}": f"10.0.0.{i}" for i in (1, 2)}
    clients = ["client01", "client02", "client03"]
    load = Load(engine="open_loop", rate=100, concurrency=10, seconds=2)
    parts = client_loads(load, clients=clients, kind="proxy", vip="10.0.0.9", webs=webs, port=80)
    assert [(it.index, it.of, it.requests, it.concurrency) for it in parts] == [
        (0, 3, 67, 4),
        (1, 3, 67, 3),
        (2, 3, 66, 3),
    ]
    due = sorted((it.index + i * it.of) / 100 for it in parts for i in range(it.requests or 0))
    assert due == pytest.approx([i / 100 for i in range(200)])


def test_an_open_loop_is_given_up_by_its_schedule() -> None:
    load = Load(engine="open_loop", rate=10, concurrency=10, requests=2000, timeout_s=5)
    assert deadline_s(load) == 200 + 5 + 30


# --- Outcomes -----------------------------------------------------------------------------------------------------


def test_open_loop() -> None:
    found = outcome_of(part(requests=100), OPEN, files("open_loop", "plain", "open_loop_rows/plain.txt"))
    assert (found.status, found.completed, found.failed, found.planned, found.unsent) == ("done", 100, 0, 100, 0)
    assert found.start_epoch_s == 1795744744.00727808
    assert found.seconds == 1.003333
    assert found.late_p99_ms == 12.235
    shifted = outcome_of(part(requests=100), OPEN, files("open_loop", "plain"), clock_offset_s=2.0)
    assert shifted.start_epoch_s == pytest.approx(found.start_epoch_s - 2)


@pytest.mark.parametrize(
    ("report", "completed", "failed", "unsent"),
    [("refused", 0, 25, 0), ("busy", 684, 0, 3316), ("local", 8, 0, 192), ("faults", 46, 14, 0)],
)
def test_open_loop_accounts_for_every_request(report: str, completed: int, failed: int, unsent: int) -> None:
    found = outcome_of(part(), OPEN, files("open_loop", report))
    assert (found.completed, found.failed, found.unsent) == (completed, failed, unsent)
    assert found.planned == completed + failed + unsent


@pytest.mark.parametrize(
    ("report", "size", "completed", "failed"),
    [
        ("close", 5120, 9506, 0),
        ("keep", 5120, 12_024, 0),
        ("not_found", 100, 0, 10_862),
        ("faults", 2, 76, 18),  # 80 answers, 4 of them too late, 14 connections that broke
        ("close", 1_000_000, 50, 9456),  # as many as there are bytes for
    ],
)
def test_wrk(report: str, size: int, completed: int, failed: int) -> None:
    load = Load(engine="wrk", concurrency=20, seconds=1, file_size=size)
    found = outcome_of(part(), load, files("wrk", report))
    assert (found.status, found.completed, found.failed) == ("done", completed, failed)
    assert found.start_epoch_s == 1795744740.0
    assert found.said == "two / three / four"
    assert found.planned is None


@pytest.mark.parametrize(
    ("report", "requests", "size", "completed", "failed", "unsent"),
    [
        ("close", 500, 5120, 500, 0, 0),
        ("not_found", 20, 5120, 0, 20, 0),
        ("refused", 20, 5120, 0, 0, 20),
        ("faults", 40, 2, 16, 3, 21),  # after an error a connection's other requests are given up
    ],
)
def test_h2load(report: str, requests: int, size: int, completed: int, failed: int, unsent: int) -> None:
    load = Load(engine="h2load", concurrency=4, requests=requests, file_size=size)
    found = outcome_of(part(requests=requests), load, files("h2load", report))
    assert (found.completed, found.failed, found.unsent) == (completed, failed, unsent)
    assert found.planned == completed + failed + unsent == requests


def test_h2load_takes_its_times_from_its_log() -> None:
    found = outcome_of(part(requests=20), COUNTED, files("h2load", "not_found", "h2load_log/not_found.txt"))
    text = (GOLDEN / "h2load_log/not_found.txt").read_text()
    rows = [tuple(map(int, line.split("\t"))) for line in text.splitlines()]
    first = min(start for start, _, _ in rows)
    assert found.start_epoch_s == first / 1e6
    assert found.seconds == (max(start + took for start, _, took in rows) - first) / 1e6


@pytest.mark.parametrize("rc", [b"", b"137\n"])
@pytest.mark.parametrize(("engine", "load"), [("wrk", WRK), ("h2load", COUNTED), ("open_loop", OPEN)])
def test_one_that_died_completed_nothing(engine: str, load: Load, rc: bytes) -> None:
    cut = files(engine, {"wrk": "close", "h2load": "close", "open_loop": "plain"}[engine], **{f"{engine}.rc": rc})
    found = outcome_of(part(), load, {**cut, f"{engine}.txt": cut[f"{engine}.txt"][:50]})
    assert (found.status, found.seconds, found.completed) == ("died", None, 0)


@pytest.mark.parametrize(("engine", "load"), [("wrk", WRK), ("h2load", COUNTED), ("open_loop", OPEN)])
def test_a_text_that_is_not_theirs_is_refused(engine: str, load: Load) -> None:
    whole = files(engine, {"wrk": "close", "h2load": "close", "open_loop": "plain"}[engine])
    with pytest.raises(ParseError):
        outcome_of(part(), load, {**whole, f"{engine}.txt": b"something else\n"})


# --- Guards -------------------------------------------------------------------------------------------------------


def client(planned: int | None = 1000, unsent: int | None = 0, late: float | None = 1.0) -> ClientOutcome:
    base: dict[str, Any] = {"host": "client01", "url": URL, "concurrency": 10, "status": "done", "rc": 0}
    base |= {"start_epoch_s": 1.0, "seconds": 1.0, "completed": 0, "failed": 0, "opened": 0, "document_bytes": None}
    return ClientOutcome(**base, said="", planned=planned, unsent=unsent, late_p99_ms=late)


@pytest.mark.parametrize(
    ("unsent", "verdict"),
    [(0, "ok"), (UNSENT_MARK, "ok"), (UNSENT_MARK + 0.001, "mark"), (UNSENT_REJECT, "mark"), (0.051, "reject")],
)
def test_send_rate(unsent: float, verdict: str) -> None:
    guard = rate_guards(OPEN, [client(planned=10_000), client(planned=10_000, unsent=round(unsent * 20_000))])[0]
    assert (guard.name, guard.verdict) == ("send-rate", verdict)
    assert f"of 20000 at {OPEN.rate} requests/s" in guard.text


@pytest.mark.parametrize(("late", "verdict"), [(LATE_MARK_MS, "ok"), (LATE_MARK_MS + 0.1, "mark")])
def test_lateness_is_that_of_the_latest_client(late: float, verdict: str) -> None:
    guard = rate_guards(OPEN, [client(late=0.1), client(late=late)])[1]
    assert (guard.name, guard.verdict, guard.value) == ("lateness", verdict, late)


def test_evidence_names_files_that_are_there() -> None:
    found = load_guards(OPEN, [client()], None, request_counts([client()], keepalive=False))
    files_named = {item for guard in found for item in guard.evidence if item.startswith("client*/")}
    assert "client*/open_loop.txt" in files_named
    assert not [item for item in files_named if "/ab." in item]


def test_loads_without_a_plan_have_no_such_guards() -> None:
    assert rate_guards(WRK, [client(planned=None, unsent=None, late=None)]) == []
    assert [guard.name for guard in rate_guards(COUNTED, [client(late=None)])] == ["send-rate"]
