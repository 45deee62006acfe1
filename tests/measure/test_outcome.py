"""What a client's raw files say about its part of a case: real reports of ab (tests/golden), also of one that died."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from bmtlib.errors import ParseError
from bmtlib.measure.load import ClientLoad
from bmtlib.measure.outcome import ClientOutcome, as_rows, client_outcome, opened_connections, right_answers
from bmtlib.parsers import ab

GOLDEN = Path(__file__).parents[1] / "golden"
PART = ClientLoad(client="client01", url="http://10.0.0.9:80/dummy_file_5120", concurrency=20, requests=None)


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.txt").read_bytes()


def nstat(opened: int) -> bytes:
    return json.dumps({"kernel": {"TcpActiveOpens": opened, "TcpPassiveOpens": 7}}).encode()


def files(report: str, **changes: bytes | None) -> dict[str, bytes]:
    """A client's folder after a load that began at 1,700,000,000.25 s; `ab_rc=b"1"` and so on change it."""
    found = {
        "ab.txt": golden(report),
        "ab.err": b"",
        "ab.rc": b"0\n",
        "ab.start": b"1700000000250000000\n",
        "ab.end": b"1700000001300000000\n",
        "ab.tsv": b"\xff not looked at",
        "nstat.before.txt": nstat(100),
        "nstat.after.txt": nstat(23_611),
    }
    for name, content in changes.items():
        if content is None:
            del found[name.replace("_", ".")]
        else:
            found[name.replace("_", ".")] = content
    return found


def test_a_client_that_ended() -> None:
    assert client_outcome(PART, files("ab/timed"), file_size=5120) == ClientOutcome(
        host="client01",
        url=PART.url,
        concurrency=20,
        status="done",
        rc=0,
        start_epoch_s=pytest.approx(1_700_000_000.25, abs=1e-6),  # type: ignore[arg-type]
        seconds=1.0,
        completed=23_491,
        failed=0,
        opened=23_511,
        document_bytes=5120,
        said="",
    )


# Report -> size of the file, of `completed` the right ones, and the rest. The reports are explained in SOURCES.md.
MISCOUNTS = {
    # ab took the reset second connection's length, 0, for the right one: its 428 "Length" failures are right answers.
    ("ab/resets", 2): (429, 71),
    # Every other answer has 4 bytes instead of 10.
    ("ab/wrong_length", 10): (100, 100),
    # "Failed requests: 0", and each is a 404.
    ("ab/not_found", 153): (0, 200),
    ("ab/not_found", 5120): (0, 200),
    # "Failed requests: 300" of 200: each counts as Receive, every second as Exception too.
    ("ab/refused", 5120): (0, 200),
    ("ab/write_error", 5120): (0, 200),
    # No failure in ab's eyes: the server sent no header.
    ("ab/not_http", 5120): (0, 10),
    ("ab/none_completed", 5120): (0, 0),
    ("ab/plain", 5120): (2000, 0),
    ("ab/keepalive", 5120): (2000, 0),
    ("ab/interrupted", 5120): (24_425, 0),
    ("ab/errors", 2): (100, 0),
    # All answers have the size of another file: none is right, and at the most one is taken for it.
    ("ab/timed", 5121): (1, 23_490),
    ("ab/timed", 5119): (1, 23_490),
    ("ab/errors", 20): (1, 99),
}


@pytest.mark.parametrize(("case", "counts"), MISCOUNTS.items(), ids=[f"{name}-{size}" for name, size in MISCOUNTS])
def test_what_ab_miscounts(case: tuple[str, int], counts: tuple[int, int]) -> None:
    report, size = case
    row = ab.parse(golden(report).decode())[0]
    outcome = client_outcome(PART, files(report), file_size=size)
    assert (outcome.completed, outcome.failed) == counts
    assert outcome.completed + outcome.failed == row["completed"], "sent = completed + failed"
    assert outcome.document_bytes == row["document_bytes"]


def row(**changes: int) -> ab.AbRow:
    counts = {"completed": 100, "document_bytes": 10, "html_bytes": 1000, "failed_length": 0, "failed_receive": 0}
    return cast(ab.AbRow, counts | {"non_2xx": 0, "failed_connect": 0} | changes)


@pytest.mark.parametrize(
    ("changes", "right"),
    [
        ({}, 100),
        ({"failed_length": 7}, 93),
        ({"failed_length": 7, "failed_receive": 7}, 93),
        ({"failed_length": 7, "failed_receive": 5, "non_2xx": 2}, 93),
        ({"non_2xx": 100}, 0),
        ({"failed_receive": 250}, 0),
        ({"document_bytes": 0, "failed_length": 99}, 100),
        ({"document_bytes": 0, "failed_length": 100, "html_bytes": 999}, 99),
        ({"document_bytes": 0, "html_bytes": 0}, 0),
        ({"document_bytes": 0, "failed_length": 60}, 61),
        ({"document_bytes": 500, "html_bytes": 50_000}, 1),
        ({"document_bytes": 500, "html_bytes": 50_000, "failed_length": 80, "non_2xx": 40}, 60),
    ],
)
def test_right_answers(changes: dict[str, int], right: int) -> None:
    assert right_answers(row(**changes), 10) == right


@pytest.mark.parametrize(
    ("report", "ended"),
    [("reset", 1199), ("timeout", 1000), ("aborted", 354), ("killed", 0), ("refused", 0), ("reset_quiet", 1191)],
)
def test_a_client_that_died(report: str, ended: int) -> None:
    log = b"Completed 1000 requests\napr_socket_recv: Connection reset by peer (104)\n"
    found = client_outcome(PART, files(f"ab_partial/{report}", ab_rc=b"104\n", ab_err=log), file_size=5120)
    assert (found.status, found.rc, found.seconds) == ("died", 104, None)
    assert (found.completed, found.failed) == (0, ended), "which of them were right is not known"
    assert found.opened == 23_511
    assert found.said == "Completed 1000 requests / apr_socket_recv: Connection reset by peer (104)"


@pytest.mark.parametrize("report", [b"", b"This is ApacheBench, Versi", b"\xff\xfe", golden("ab/plain")])
def test_a_client_that_died_in_mid_word(report: bytes) -> None:
    found = client_outcome(PART, files("ab/plain", ab_txt=report, ab_rc=b"137\n"), file_size=5120)
    assert (found.status, found.rc, found.completed, found.failed) == ("died", 137, 0, 0)


def test_a_client_of_which_nothing_is_left() -> None:
    found = client_outcome(PART, {}, file_size=5120)
    assert (found.status, found.rc, found.start_epoch_s, found.opened) == ("died", None, None, None)


@pytest.mark.parametrize("name", ["ab_rc", "ab_start"])
@pytest.mark.parametrize("content", [None, b"", b"\n"])
def test_files_that_the_disk_had_no_room_for(name: str, content: bytes | None) -> None:
    found = client_outcome(PART, files("ab/timed", **{name: content}), file_size=5120)
    assert found.status == ("died" if name == "ab_rc" else "done")
    assert (found.start_epoch_s is None) == (name == "ab_start")


def test_only_the_last_words_are_kept() -> None:
    log = b"one\ntwo\n\nthree\nfour\n"
    assert client_outcome(PART, files("ab/timed", ab_err=log), file_size=5120).said == "three / four"


def test_a_report_that_is_not_abs() -> None:
    with pytest.raises(ParseError):
        client_outcome(PART, files("ab/timed", ab_txt=b"something else\n"), file_size=5120)


def test_opened_connections() -> None:
    both = {"nstat.before.txt": nstat(5).decode(), "nstat.after.txt": nstat(12).decode()}
    assert opened_connections(both) == 7
    for name in both:
        assert opened_connections({name: both[name]}) is None
    with pytest.raises(ParseError):
        opened_connections(both | {"nstat.after.txt": "{"})
    text = golden("nstat/client").decode()
    assert opened_connections({"nstat.before.txt": text, "nstat.after.txt": text}) == 0


def test_rows_can_be_written_as_json() -> None:
    rows: list[dict[str, Any]] = as_rows([client_outcome(PART, files("ab/timed"), file_size=5120)])
    assert json.loads(json.dumps(rows)) == rows
    assert {"host", "url", "concurrency", "start_epoch_s", "seconds", "rc", "status", "completed", "failed"} <= set(
        rows[0]
    )
