"""The open loop for itself, against a server that answers, waits, refuses or breaks off as it is told."""

from __future__ import annotations

import ast
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bmtlib.measure import open_loop
from bmtlib.measure.load import ClientLoad, load_command
from bmtlib.params.load import Load
from bmtlib.parsers import open_loop as reading

SCRIPT = Path(open_loop.__file__)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"


class Server:
    """A server in threads: `answer(number, connection)` is called for each connection, from 0 on."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.answer: Callable[[int, socket.socket], None] = lambda _, connection: connection.sendall(ANSWER)
        self.requests: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        number = 0
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(number, connection), daemon=True).start()
            number += 1

    def _one(self, number: int, connection: socket.socket) -> None:
        with connection:
            self.requests.append(connection.recv(4096))
            self.answer(number, connection)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.listener.close()


Run = Callable[..., tuple[reading.OpenLoopRow, dict[str, list[int]]]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the script as a client host does: its report, and its columns."""

    def run_it(port: int, **options: Any) -> tuple[reading.OpenLoopRow, dict[str, list[int]]]:
        given = {"rate": 200, "index": 0, "of": 1, "count": 20, "size": 5, "most": 50, "timeout_s": 5, **options}
        rows = tmp_path / "rows.tsv"
        words = [f"http://127.0.0.1:{port}/file", *map(str, given.values()), str(rows)]
        done = subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return reading.parse(done.stdout)[0], reading.parse_columns(rows.read_text())

    return run_it


def test_it_runs_on_old_pythons_and_imports_nothing_of_ours() -> None:
    tree = ast.parse(SCRIPT.read_text(), feature_version=(3, 6))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert imported <= sys.stdlib_module_names
    assert open_loop.OUTCOMES == reading.OUTCOMES


def test_all_is_answered(server: Server, run: Run) -> None:
    row, columns = run(server.port, index=1, of=2, count=20, rate=400)
    assert (row["planned"], row["sent"], row["ok"]) == (20, 20, 20)
    assert row["schedule_us"] == pytest.approx((1 + 20 * 2) / 400 * 1e6, abs=1)
    assert len(columns["answer_us"]) == 20
    assert server.requests[0].startswith(b"GET /file HTTP/1.0\r\nHost: 127.0.0.1:")
    assert row["late_max_us"] == max(columns["late_us"])


def test_a_stalled_server_does_not_slow_the_schedule_down(server: Server, run: Run) -> None:
    """The heart of the matter: 40 requests in 0.2 s, of a server that answers nobody before 0.5 s are over."""
    began = time.monotonic()

    def answer(_: int, connection: socket.socket) -> None:
        time.sleep(max(0.0, began + 1.5 - time.monotonic()))
        connection.sendall(ANSWER)

    server.answer = answer
    row, columns = run(server.port, count=40)
    assert row["ok"] == row["sent"] == 40
    waits = [late + answer for late, answer in zip(columns["late_us"], columns["answer_us"], strict=True)]
    # Each was due 5 ms after the last one, and all were answered at about the same moment.
    assert waits[0] - waits[-1] == pytest.approx(39 * 5000, rel=0.4)
    assert min(waits) > 100_000


def test_requests_without_a_free_connection_wait_and_are_not_dropped_silently(server: Server, run: Run) -> None:
    def answer(_: int, connection: socket.socket) -> None:
        time.sleep(0.1)
        connection.sendall(ANSWER)

    server.answer = answer
    row, columns = run(server.port, count=100, rate=500, most=2)
    assert row["planned"] == 100
    assert row["sent"] + row["busy"] == 100
    assert 2 <= row["sent"] <= 14  # two at a time, 0.1 s each, in 0.2 s and a quarter of a second more
    assert max(columns["late_us"]) > 50_000


def test_failures_are_told_apart(server: Server, run: Run) -> None:
    def answer(number: int, connection: socket.socket) -> None:
        if number % 5 == 1:
            connection.sendall(ANSWER.replace(b"200 OK", b"503 No"))
        elif number % 5 == 2:
            connection.sendall(ANSWER[:-2])
        elif number % 5 == 3:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        elif number % 5 == 4:
            time.sleep(3)
        else:
            for byte in ANSWER:
                connection.sendall(bytes([byte]))

    server.answer = answer
    row, _ = run(server.port, count=50, timeout_s=1)
    assert [row[kind] for kind in ("ok", "status", "length", "reset", "timeout")] == [10] * 5  # type: ignore[literal-required]
    assert row["sent"] == row["planned"] == 50


def test_nobody_listens(run: Run) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        row, _ = run(bound.getsockname()[1], count=10)
    assert (row["connect"], row["ok"], row["last_answer_us"]) == (10, 0, 0)


def test_no_requests_at_all(server: Server, run: Run) -> None:
    row, columns = run(server.port, count=0)
    assert (row["planned"], row["sent"], row["late_p99_us"]) == (0, 0, None)
    assert columns == {"due_us": [], "late_us": [], "answer_us": []}


def test_the_command_of_a_client_does_it(server: Server, tmp_path: Path) -> None:
    load = Load(engine="open_loop", rate=200, concurrency=20, requests=10, file_size=5)
    url = f"http://127.0.0.1:{server.port}/file"
    command = load_command(ClientLoad(client="client01", url=url, concurrency=20, requests=10), load)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path)
    assert reading.parse(done.stdout)[0]["ok"] == 10
    assert len(reading.parse_columns((tmp_path / "open_loop.tsv").read_text())["late_us"]) == 10
