"""Runs that are broken off and gone on with: killed at any moment, interrupted, out of disk; and batches of scenarios.

BMT_KILLS=20 kills the run of the first test that many times.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bmtlib.analysis.tables import read_tables
from bmtlib.measure.resume import plan_of
from bmtlib.parsers import ab
from bmtlib.rundir import RunDir

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("no_leftovers")]

SHORT = ["load.seconds=1", "load.warmup_seconds=0", "load.concurrency=20", "webs=2", "clients=2"]
KILLS = int(os.environ.get("BMT_KILLS", "4"))


def words(*settings: str) -> list[str]:
    return [word for setting in (*SHORT, *settings) for word in ("--set", setting)]


def start(*words: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "bmtlib", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def bmt(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "bmtlib", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def wait_for(condition: Any, what: str, seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)
    return found


def the_run(out: Path) -> RunDir | None:
    """The run folder, once it is one."""
    return next((RunDir(path.parent) for path in out.glob("*/run.json")), None)


def states(folder: RunDir) -> Counter[str]:
    return Counter(event["state"] for event in folder.events() if event["step"] == "case")


def sessions(folder: RunDir) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = folder.run_json()["sessions"]
    return found


def kill_at_random(run: subprocess.Popen[str], folder: RunDir, chance: random.Random) -> str:
    """Kill it at any moment, mostly within its session: `bmt` itself, or the kernel that measures. Says which, when."""
    number = len(sessions(folder))
    begun = chance.random() < 0.8
    if begun:
        wait_for(lambda: len(sessions(folder)) > number or run.poll() is not None, "a session")
    after_s = chance.uniform(0, 9)
    deadline = time.monotonic() + after_s
    while time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.01)
    mine = sessions(folder)[number:]
    victim = mine[0]["pid"] if mine and chance.random() < 0.5 else run.pid
    if run.poll() is None:
        os.kill(victim, signal.SIGKILL)
    which, since = ("bmt" if victim == run.pid else "the kernel"), ("its session's" if begun else "its")
    return f"{which} killed {after_s:.2f} s after {since} begin"


def assert_whole(folder: RunDir) -> None:
    """Every planned case is there once, with all its raw files; nothing is half-written; the tables can be built."""
    assert folder.run_json()["status"] == "done"
    planned = [case.id for case in plan_of(folder).cases]
    assert folder.case_ids() == planned
    assert sorted(path.name for path in (folder.path / "cases").iterdir()) == sorted(planned)
    assert not list(folder.path.rglob(".*.new"))
    for case_id in planned:
        case = folder.case(case_id)
        assert case["status"] in ("done", "rejected"), case["error"]
        raw = [ab.parse(folder.raw(case_id, client["host"], "ab.txt") or "")[0] for client in case["clients"]]
        assert sum(row["completed"] for row in raw) == case["requests"]["completed"] > 0
    tables = read_tables(folder)
    assert tables.problems.empty, tables.problems.to_string()
    assert list(tables.cases["case"]) == planned
    assert set(tables.cases["status"]) <= {"done", "rejected"}


def test_a_run_that_is_killed_at_any_moment_is_gone_on_with(tmp_path: Path) -> None:
    """Now `bmt` itself, now the notebook's kernel that measures; what was done before is not done again."""
    chance = random.Random()
    out = tmp_path / "runs"
    out.mkdir()
    kept: dict[str, bytes] = {}
    blocks = 2 + KILLS * 2 // 3  # more than so many kills leave time for
    run = start("run", "quick", *words(f"repetitions={blocks}"), "--out", str(out), "--no-report")
    folder = wait_for(lambda: the_run(out), "a run folder")
    for _ in range(KILLS):
        said = kill_at_random(run, folder, chance)
        run.communicate(timeout=120)
        done = {
            case_id: (folder.path / "cases" / case_id / "case.json").read_bytes()
            for case_id in folder.case_ids()
            if folder.case(case_id)["status"] in ("done", "rejected")
        }
        assert kept.items() <= done.items(), said
        kept = done
        print(f"{said}: {len(kept)} of {3 * blocks} cases, {states(folder)['load']} loads begun")
        list(folder.events())
        read_tables(folder)
        if folder.run_json()["status"] == "done":
            break
        run = start("run", "--resume", str(folder.path), "--no-report")
    _, err = run.communicate(timeout=600)
    with folder.held(wait_s=30):  # the kernel of a run whose `bmt` was killed at its very end
        assert folder.run_json()["status"] == "done", err
    assert run.returncode in (0, 1, -signal.SIGKILL), err
    assert_whole(folder)
    for case_id, content in kept.items():
        assert (folder.path / "cases" / case_id / "case.json").read_bytes() == content
    tried = Counter(event["case"] for event in folder.events() if event["step"] == "case" and event["state"] == "start")
    aside = Counter(path.name.rpartition("-")[0] for path in (folder.path / "failed").glob("*"))
    # A try that was killed before it wrote its first file has left nothing to set aside.
    assert all(aside[case_id] <= tried[case_id] - 1 for case_id in tried)


def test_ctrl_c_and_then_the_rest(tmp_path: Path) -> None:
    run = start("run", "quick", *words("repetitions=2"), "--out", str(tmp_path), "--no-report")
    folder = wait_for(lambda: the_run(tmp_path), "a run folder")
    wait_for(lambda: states(folder)["load"] == 2, "the load of the second case")
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=120)
    assert f"to go on: bmt run --resume {folder.path}" in err
    assert folder.run_json()["status"] == "interrupted"
    refused = bmt("run", "quick", *words("repetitions=3"), "--resume", str(folder.path))
    assert refused.returncode == 2
    assert "scenario.repetitions: was 2, is 3" in refused.stderr
    done = bmt("run", "quick", *words("repetitions=2"), "--resume", str(folder.path))
    assert done.returncode in (0, 1), done.stderr
    assert_whole(folder)
    assert done.stdout.splitlines()[-1] == str(folder.path)
    assert [session["status"] for session in folder.run_json()["sessions"]] == ["interrupted", "done"]
    (aside,) = (folder.path / "failed").iterdir()
    assert json.loads((aside / "case.json").read_text())["status"] == "interrupted"
    assert (folder.path / "sessions/2/facts/director.json").is_file()
    again = bmt("run", "--resume", str(folder.path))
    assert again.returncode == 2
    assert "nothing is missing" in again.stderr


def test_a_run_that_ended_by_its_rule(tmp_path: Path) -> None:
    """What is left of the plan is not needed, and stays so when a case is tried again."""
    goal = "repetitions={min: 3, max: 4, until: {ratio_interval: 50%}}"
    done = bmt("run", "quick", *words(goal, "seed=1"), "--out", str(tmp_path), "--no-report")
    folder = RunDir.open(done.stdout.splitlines()[-1])
    stopping = folder.run_json()["stopping"]
    assert (stopping["rule"]["max"], stopping["looks"][0]["block"]) == (4, 3)
    assert stopping["stopped_after"] == stopping["looks"][-1]["block"]
    assert f"enough: {stopping['reason']}" in done.stderr
    # As if the fourth block had not been needed, on a machine however busy.
    folder.write_json("run.json", folder.run_json() | {"stopping": stopping | {"stopped_after": 3}})
    for case in plan_of(folder).cases:
        if case.block == 4:
            folder.set_aside(case.id)
    again = folder.case_ids()[1]
    folder.write_json(f"cases/{again}/case.json", folder.case(again) | {"status": "failed"})
    resumed = bmt("run", "--resume", str(folder.path), "--no-report")
    assert resumed.returncode in (0, 1), resumed.stderr
    assert "9 cases, 8 of them are there" in resumed.stderr
    assert len(folder.case_ids()) == 9
    assert (folder.path / "failed" / f"{again}-1").is_dir()
    cases = read_tables(folder).cases
    assert set(cases.loc[cases["block"] == 4, "status"]) == {"not needed"}
    assert not set(cases["status"]) & {"not run", "failed"}


def test_another_program_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    run = start("run", "quick", *words("repetitions=2"), "--out", str(tmp_path), "--no-report")
    folder = wait_for(lambda: the_run(tmp_path), "a run folder")
    wait_for(lambda: states(folder)["done"] + states(folder)["rejected"], "a case is done")
    busy = bmt("run", "--resume", str(folder.path))
    assert busy.returncode == 2
    assert "is being measured: process" in busy.stderr
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=120)
    old = folder.run_json()
    folder.write_json("run.json", old | {"versions": old["versions"] | {"nginx": "1.0.0"}})
    cases = {case_id: folder.case(case_id) for case_id in folder.case_ids()}
    refused = bmt("run", "--resume", str(folder.path), "--no-report")
    assert refused.returncode == 2, refused.stderr
    assert "versions.nginx: was '1.0.0', is '1." in refused.stderr
    assert "Traceback" not in refused.stderr
    assert {case_id: folder.case(case_id) for case_id in folder.case_ids()} == cases
    assert folder.run_json()["status"] == "interrupted"
    assert [session["status"] for session in folder.run_json()["sessions"]] == ["interrupted", "refused"]


FULL = """\
mount -t tmpfs -o size=16m full "$DISK" || exit 99
(until ls "$DISK"/*/cases/*/case.json; do sleep 0.1; done; cat /dev/zero > "$DISK/ballast") >/dev/null 2>&1 &
"$@" --out "$DISK"; echo "first: $?"
wait; rm "$DISK/ballast"
cp -r "$DISK"/2* "$KEPT/broken"
"$1" -P -m bmtlib run --resume "$DISK"/2* --no-report; echo "second: $?"
cp -r "$DISK"/2* "$KEPT/whole"
"""


def test_a_disk_that_is_full_in_mid_run_and_has_room_later(tmp_path: Path) -> None:
    """A file system of the test's own, in a mount namespace of its own."""
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    kept.mkdir()
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", FULL, "sh", sys.executable, "-P", "-m"]
    command += ["bmtlib", "run", "quick", *words("repetitions=2"), "--no-report"]
    environment = {**os.environ, "DISK": str(disk), "KEPT": str(kept)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert "first: 3" in done.stdout, done.stderr
    assert "the disk is full" in done.stderr or "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    broken = RunDir.open(kept / "broken")
    assert 1 <= len(broken.case_ids()) < 6
    list(broken.events())
    assert "second: 0" in done.stdout or "second: 1" in done.stdout, done.stderr
    assert_whole(RunDir.open(kept / "whole"))


def scenario_file(path: Path, **changes: str) -> str:
    lines = {
        "title": path.stem,
        "question": "How fast?",
        "arms": "{direct: }",
        "webs": "2",
        "clients": "2",
        "load": "{concurrency: 20, seconds: 1, warmup_seconds: 0}",
        "repetitions": "1",
    }
    path.write_text("".join(f"{key}: {value}\n" for key, value in (lines | changes).items()))
    return str(path)


def test_one_scenario_that_fails_does_not_keep_the_others_from_running(tmp_path: Path) -> None:
    out = tmp_path / "runs"
    impossible = scenario_file(tmp_path / "impossible.yml", arms="{proxy: {threads: 64}}")
    batch = [impossible, scenario_file(tmp_path / "one.yml"), scenario_file(tmp_path / "two.yml")]
    done = bmt("run", *batch, "--out", str(out), "--no-report")
    assert done.returncode == 2, done.stderr
    assert "64 HAProxy threads" in done.stderr
    folders = [RunDir.open(line) for line in done.stdout.splitlines()]
    assert [folder.run_json()["scenario"]["name"] for folder in folders] == ["one", "two"]
    pids = {folder.run_json()["sessions"][0]["pid"] for folder in folders}
    assert len(pids) == 2
    assert all(folder.run_json()["status"] == "done" for folder in folders)


@pytest.mark.parametrize("from_terminal", [False, True])
def test_ctrl_c_ends_a_batch_in_good_order(tmp_path: Path, from_terminal: bool) -> None:
    """From a terminal the whole group of processes has it; from `kill` only the first one."""
    out = tmp_path / "runs"
    out.mkdir()
    batch = [scenario_file(tmp_path / f"{name}.yml", repetitions="5") for name in ("one", "two", "three")]
    run = start("run", *batch, "--out", str(out), "--no-report", start_new_session=True)
    folder = wait_for(lambda: the_run(out), "a run folder")
    wait_for(lambda: states(folder)["load"], "a load")
    os.killpg(run.pid, signal.SIGINT) if from_terminal else run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=120)
    assert run.returncode == 1, err
    assert f"not started: {batch[1]}, {batch[2]}" in err
    assert "Traceback" not in err
    assert folder.run_json()["status"] == "interrupted"
    assert [path.name for path in out.iterdir()] == [folder.path.name]


def test_zero_cases_are_one_error_before_anything_starts(tmp_path: Path) -> None:
    only = scenario_file(tmp_path / "zero.yml", arms="{proxy: }", factors="{threads: [63, 64]}")
    done = bmt("run", only, "--out", str(tmp_path / "runs"))
    assert done.returncode == 2
    assert "64 HAProxy threads, and the director has" in done.stderr
    assert not (tmp_path / "runs").exists()
