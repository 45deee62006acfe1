"""What clients can hold, how a concurrency is spread over unequal ones, and what is asked of a client host."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bmtlib.errors import InputError, MachineError
from bmtlib.measure import limits
from bmtlib.measure.capacity import SPARE_FILES, ClientMeans, capacity, share
from bmtlib.measure.client_means import PROBE, parse
from bmtlib.measure.load import spread

AB = "ab: Invalid Concurrency [Range 0..20000]"


def means(host: str = "client01", **what: int) -> ClientMeans:
    usual = {"ab_concurrency": 20_000, "nofile": 65_536, "ports": 28_232, "cpus": 2}
    return ClientMeans(host=host, **(usual | what))


def several(*most: int) -> list[ClientMeans]:
    return [means(f"client{i:02}", ab_concurrency=limit) for i, limit in enumerate(most, 1)]


# --- What a client can hold ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "most", "named"),
    [
        ({}, 20_000, "ab's largest -c"),
        ({"ab_concurrency": 200_000}, 28_232, "the local ports of one client"),
        ({"nofile": 1024}, 1004, "open files"),
        ({"nofile": 20_020}, 20_000, "ab's largest -c"),
        ({"nofile": 20_019}, 19_999, "open files"),
        ({"ports": 0}, 0, "local ports"),
        ({"nofile": 19}, 0, "open files"),
        ({"cpus": 1}, 20_000, "ab's largest -c"),
    ],
)
def test_the_smallest_means_bind(what: dict[str, int], most: int, named: str) -> None:
    found, name = capacity(means(**what))
    assert found == most
    assert named in name


def test_ab_needs_as_many_files_as_check_limits_says() -> None:
    assert SPARE_FILES == limits._SPARE_FILES


# --- Parts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("total", "clients"), [(0, 3), (2, 3), (200, 3), (200, 1), (20_000, 1), (60_000, 3)])
def test_equal_clients_get_what_a_lab_gives_them(total: int, clients: int) -> None:
    assert share(total, several(*[20_000] * clients)) == spread(total, clients)


@pytest.mark.parametrize(
    ("total", "most", "parts"),
    [
        (100, (20, 200, 200), [20, 40, 40]),
        (101, (20, 200, 200), [20, 41, 40]),
        (100, (200, 20, 200), [40, 20, 40]),
        (100, (20, 35, 200), [20, 35, 45]),
        (7, (2, 3, 2), [2, 3, 2]),
        (3, (0, 2, 2), [0, 2, 1]),
        (10, (3, 4, 4), [3, 4, 3]),
        (300, (100, 100, 100), [100, 100, 100]),
    ],
)
def test_small_clients_get_what_they_hold_and_the_rest_goes_on(
    total: int, most: tuple[int, ...], parts: list[int]
) -> None:
    assert share(total, several(*most)) == parts


def test_parts_of_any_clients() -> None:
    """All is given out, none has too much, and none less than another but where it is full."""
    draw = random.Random(20221101)
    for _ in range(500):
        most = [draw.randrange(50) for _ in range(draw.randrange(1, 9))]
        total = draw.randint(0, sum(most))
        parts = share(total, several(*most))
        assert sum(parts) == total
        assert all(part <= limit for part, limit in zip(parts, most, strict=True))
        room = [part for part, limit in zip(parts, most, strict=True) if part < limit]
        assert not room or max(parts) - min(room) <= 1


def test_too_few_clients_are_told_before() -> None:
    clients = [*several(20_000, 20_000), means("client03", nofile=1024), means("client04", nofile=1024)]
    with pytest.raises(InputError) as caught:
        share(200_000, clients)
    error = caught.value
    assert error.what.splitlines() == [
        "200000 connections at one time, and 4 clients hold 42008:",
        "    client01, client02: 20000 each; ab's largest -c binds",
        "    client03, client04: 1004 each; the hard limit of open files (ulimit -Hn), less what ab needs itself binds",
    ]
    assert error.where == "load.concurrency"
    assert "20 clients like these instead of 4" in error.todo, "19 hold 199538"
    assert "--set load.concurrency=42008" in error.todo
    assert "hard nofile" in error.todo
    assert "ip_local_port_range" not in error.todo
    assert share(42_008, clients) == [20_000, 20_000, 1004, 1004]


def test_clients_that_hold_nothing() -> None:
    with pytest.raises(InputError, match="1 client holds 0") as caught:
        share(1, [means(nofile=0)])
    assert "like these" not in caught.value.todo
    with pytest.raises(InputError, match="the testbed has no client") as caught:
        share(1, [])
    assert caught.value.todo


# --- Asking a host -------------------------------------------------------------------------------------------------


def answer(**words: Any) -> str:
    said = {"ab": f"ab {AB}", "nofile": "65536", "ports": "32768 60999", "cpus": "4"} | words
    return f"{said['ab']}\nnofile {said['nofile']}\nports {said['ports']}\ncpus {said['cpus']}\n"


def test_what_a_host_says() -> None:
    found = parse("client03", answer(), None)
    assert found == ClientMeans(host="client03", ab_concurrency=20_000, nofile=65_536, ports=28_232, cpus=4)
    assert parse("client03", answer(nofile="unlimited"), None).nofile == 1_048_576


def test_the_ports_of_the_tuning_count() -> None:
    assert parse("client03", answer(), 55_296).ports == 55_296


def test_ab_is_missing() -> None:
    with pytest.raises(MachineError, match="ab is missing on client03") as caught:
        parse("client03", answer(ab="ab-missing"), None)
    assert "httpd-tools" in caught.value.todo
    assert "apache2-utils" in caught.value.todo


def test_something_else_is_called_ab() -> None:
    with pytest.raises(MachineError, match="ab on client03 does not tell") as caught:
        parse("client03", answer(ab="ab \x1b[31mUsage: ab [file]"), None)
    assert "'\\x1b[31mUsage" in caught.value.where


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sh: not found\n",
        answer()[: answer().index("ports")],
        answer(nofile=""),
        answer(nofile="many"),
        answer(nofile="9" * 30),
        answer(ports="32768"),
        answer(ports=""),
        answer(cpus=""),
        answer() + answer(),
        "Last login: Tue\n" + answer(),
    ],
)
def test_no_answer(text: str) -> None:
    with pytest.raises(MachineError, match="client03 did not say what it has") as caught:
        parse("client03", text, None)
    assert caught.value.todo


def ask(path: str) -> str:
    command = ["/bin/sh", *PROBE.argv[1:]]
    return subprocess.run(
        command, input=PROBE.stdin, env={"PATH": path}, capture_output=True, text=True, check=True
    ).stdout


def test_this_machine_answers(tmp_path: Path) -> None:
    """The real script, with an ab that says what the real one says, and without one."""
    for name in ("cat", "head", "nproc"):
        program = shutil.which(name)
        assert program
        (tmp_path / name).symlink_to(program)
    with pytest.raises(MachineError, match="ab is missing on here"):
        parse("here", ask(str(tmp_path)), None)
    ab = tmp_path / "ab"
    ab.write_text(f"#!/bin/sh\necho '{AB}' >&2; echo 'Usage: ab' >&2; exit 22\n")
    ab.chmod(0o755)
    found = parse("here", ask(str(tmp_path)), None)
    first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    assert found.ports == int(last) - int(first) + 1
    assert found.cpus == len(os.sched_getaffinity(0))
    assert found.ab_concurrency == 20_000


@pytest.mark.lab
def test_the_real_ab_answers() -> None:
    from bmtlib import doctor

    found = parse("here", ask(os.environ["PATH"]), None)
    assert found.ab_concurrency == doctor.ab_concurrency_limit()
    assert found.nofile == doctor.nofile_limit()
