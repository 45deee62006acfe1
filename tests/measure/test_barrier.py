"""All clients start together, and none is left behind."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from host_doubles import LocalHost

from bmtlib.measure.barrier import Ended, run_together, start_instant_ns, warm_up
from bmtlib.measure.scripts import load_script


def clients(client: LocalHost, count: int) -> dict[str, LocalHost]:
    names = [f"client{i:02}" for i in range(1, count + 1)]
    return {
        name: LocalHost(
            name=name,
            role="client",
            machine="lab",
            addresses={},
            interfaces={},
            cpus=client.cpus,
            root=client.root / name,
        )
        for name in names
    }


def gone(note: Path) -> bool:
    """Whether the process whose number is in the file has ended."""
    try:
        return Path(f"/proc/{int(note.read_text())}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_the_start_is_late_enough_for_many() -> None:
    for count, least, most in ((1, 0.1, 1.0), (30, 0.3, 2.0), (200, 1.0, 5.0)):
        left = (start_instant_ns(count) - time.time_ns()) / 1e9
        assert least < left < most


def test_all_start_at_one_instant(client: LocalHost, tmp_path: Path) -> None:
    hosts = clients(client, 6)
    start_ns = start_instant_ns(len(hosts))
    scripts = {name: load_script(f"{tmp_path}/{name}-files", ["true"], start_ns) for name in hosts}
    assert run_together(hosts, scripts, timeout_s=10) == [Ended(host=name, rc=0, error="") for name in hosts]
    starts = [int((tmp_path / f"{name}-files/ab.start").read_text()) for name in hosts]
    assert all(start >= start_ns for start in starts)
    assert max(starts) - min(starts) < 1_000_000_000


def test_a_warm_up_runs_on_all_and_waits_for_none_for_ever(client: LocalHost, tmp_path: Path) -> None:
    hosts = clients(client, 3)
    commands = {name: ["sh", "-c", f"echo said; touch '{tmp_path}/{name} was here'"] for name in hosts}
    commands["client02"] = ["sh", "-c", f"echo $$ > {tmp_path}/slow; exec sleep 60"]
    began = time.monotonic()
    warm_up(hosts, commands, name="ab", folder=f"{tmp_path}/warmup", timeout_s=1)
    assert time.monotonic() - began < 5
    assert {path.name for path in tmp_path.glob("*was here")} == {"client01 was here", "client03 was here"}
    assert gone(tmp_path / "slow")
    assert not (tmp_path / "warmup").exists()


def test_one_that_fails_and_one_that_does_not_end(client: LocalHost, tmp_path: Path) -> None:
    hosts = clients(client, 3)
    scripts = {
        "client01": f"echo $$ > {tmp_path}/slow; exec sleep 60",
        "client02": "echo because >&2; exit 7",
        "client03": "true",
    }
    began = time.monotonic()
    ended = {end.host: end for end in run_together(hosts, scripts, timeout_s=1)}
    assert time.monotonic() - began < 5
    assert ended["client01"] == Ended(host="client01", rc=None, error="did not end within 1 s and was killed")
    assert (ended["client02"].rc, ended["client02"].error.strip()) == (7, "because")
    assert ended["client03"] == Ended(host="client03", rc=0, error="")
    assert gone(tmp_path / "slow")


def test_when_one_cannot_be_started_the_others_are_killed(client: LocalHost, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    scripts = {"client01": f"echo $$ > {note}; exec sleep 60", "client02": "true"}

    class Interrupted(dict[str, LocalHost]):
        """As by Ctrl-C, when the second one's turn comes and the first has begun."""

        def __missing__(self, name: str) -> LocalHost:
            while not (note.exists() and note.read_text()):
                time.sleep(0.01)
            raise KeyboardInterrupt

    hosts = Interrupted(clients(client, 1))
    with pytest.raises(KeyboardInterrupt):
        run_together(hosts, scripts, timeout_s=60)
    deadline = time.monotonic() + 5
    while not gone(note):
        assert time.monotonic() < deadline
        time.sleep(0.01)
