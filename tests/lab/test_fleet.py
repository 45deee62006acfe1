"""Hosts of one's own, from plan to rollback, as a user does it: every one is left as it was found.

Whatever happens in between: nothing, kill -9 of the controller in the middle of apply, or of a load, a host that is cut
off and comes back. `dump` tells all that bmtlib may change.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ssh_lab import SshLab, bmt

from bmtlib.analysis.tables import read_tables
from bmtlib.hosts.host import Host
from bmtlib.rundir import RunDir

pytestmark = [pytest.mark.lab, pytest.mark.ssh]

SMALL = [word for setting in ("webs=2", "clients=2") for word in ("--set", setting)]
SHORT = [
    word
    for setting in ("load.seconds=1", "load.warmup_seconds=0", "repetitions=1", "load.concurrency=20")
    for word in ("--set", setting)
]


@pytest.fixture
def untouched(machines: SshLab) -> Iterator[SshLab]:
    """The machines; after the test each of them is as it was before."""
    before = machines.dumps()
    yield machines
    after = machines.dumps()
    if after != before:  # the next test is to find the machines as this one did
        bmt(machines, "rollback", "--all", "--break-lock", "--testbed", str(machines.testbed))
    for name, text in before.items():
        assert after[name].splitlines() == text.splitlines(), name


def done(lab: SshLab, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    result = bmt(lab, *words)
    assert result.returncode == code, f"{words}: {result.stdout}\n{result.stderr}"
    assert "Traceback" not in result.stderr
    return result


def begin(lab: SshLab, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "bmtlib", *words],
        env={**os.environ, **lab.env, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def journal(host: Host) -> list[dict[str, Any]]:
    text = host.run(["sh", "-c", "cat /var/lib/bmt/journal.jsonl 2>/dev/null; true"]).stdout
    return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def events(folder: Path) -> str:
    path = folder / "events.jsonl"
    return path.read_text() if path.exists() else ""


def runs(host: Host, program: str) -> bool:
    script = 'cat /proc/[0-9]*/comm 2>/dev/null | grep -qx "$1"'
    return host.run(["sh", "-c", script, "sh", program], check=False).rc == 0


def test_plan_says_what_would_be_done_and_does_nothing(untouched: SshLab) -> None:
    said = done(untouched, "plan", "quick", "--testbed", str(untouched.testbed), *SMALL, "--json").stdout
    steps = json.loads(said)["changes"]
    assert {"host", "what", "now", "then", "scope", "reason", "profile", "done"} <= set(steps[0])
    by_host = {step["host"]: [it["what"] for it in steps if it["host"] == step["host"]] for step in steps}
    assert "address 192.168.16.100/32 on lo" in by_host["web01 to web02"]
    assert "file /etc/nginx/nginx.conf" in by_host["web01 to web02"]
    assert any(step["profile"] == "recommended-client" for step in steps if step["host"] == "client01 to client02")
    assert done(untouched, "plan", "quick", "--testbed", str(untouched.testbed), *SMALL).stdout.count("recommended") > 3


def test_apply_twice_verify_and_roll_back(untouched: SshLab) -> None:
    bed = ["--testbed", str(untouched.testbed)]
    web = untouched.lab.hosts["web01"]
    said = done(untouched, "apply", "quick", *bed, *SMALL, "--arm", "proxy").stdout
    found = re.search(r"take back: bmt rollback\s+(\S+)", said)
    assert found
    assert runs(web, "nginx")
    assert runs(untouched.lab.director, "haproxy")
    assert web.read("/etc/sysctl.d/90-bmt.conf").count("net.") == 3
    answer = untouched.lab.hosts["client01"].run(["curl", "-q", "-s", "http://192.168.16.100/dummy_file_5120"]).stdout
    assert len(answer) == 5120
    before = {name: journal(host) for name, host in untouched.lab.hosts.items()}
    assert "Nothing to do" in done(untouched, "apply", "quick", *bed, *SMALL).stdout
    for name, host in untouched.lab.hosts.items():
        changed = [line for line in journal(host)[len(before[name]) :] if not {"boot", "kept"} & set(line)]
        assert changed == [], "a second apply does nothing"
    done(untouched, "verify", *bed)
    web.run(["sysctl", "-q", "-w", "net.ipv4.conf.all.arp_ignore=0"])
    drifted = done(untouched, "verify", *bed, code=1).stdout
    assert "arp_ignore" in re.sub(r"[\s│]", "", drifted)
    done(untouched, "rollback", found[1], *bed)
    assert "nothing" in done(untouched, "rollback", "--all", *bed).stdout


def test_a_run_gives_the_tables_of_a_lab_and_leaves_no_trace(untouched: SshLab, tmp_path: Path) -> None:
    words = ["run", "quick", *SMALL, *SHORT, "--out", str(tmp_path), "--no-report"]
    fleet = RunDir.open(done(untouched, *words, "--testbed", str(untouched.testbed)).stdout.splitlines()[-1])
    lab = RunDir.open(done(untouched, *words, "--testbed", "netns").stdout.splitlines()[-1])
    assert [fleet.case(case)["status"] for case in fleet.case_ids()] == ["done"] * 3
    there, here = read_tables(fleet).frames(), read_tables(lab).frames()
    assert set(there) == set(here)
    for name in there:
        assert list(there[name].columns) == list(here[name].columns), name
    assert there["problems"].empty
    for table in ("cases", "clients"):
        keys = ["case"] + (["host"] if table == "clients" else [])
        assert sorted(there[table][keys].itertuples(index=False)) == sorted(here[table][keys].itertuples(index=False))
    case = fleet.case(fleet.case_ids()[0])
    assert set(case["clock"]) == {"director", "web01", "web02", "client01", "client02"}
    assert all(abs(it["offset_ms"]) < 50 for it in case["clock"].values())
    run = fleet.run_json()
    assert (run["testbed"], run["fidelity"], run["not_rolled_back"]) == ("ssh", "namespace", {})
    assert run["versions"]["nginx"] == lab.run_json()["versions"]["nginx"]
    assert (fleet.path / "facts/web01/nstat.txt").exists() == (lab.path / "facts/web01/nstat.txt").exists()


def test_two_controllers_at_once(untouched: SshLab) -> None:
    bed = ["--testbed", str(untouched.testbed)]
    first = begin(untouched, "run", "quick", *bed, *SMALL, "--set", "load.seconds=30", "--no-report", "--out", "/tmp")
    folder = None
    try:
        assert first.stderr is not None
        while folder is None:
            found = re.match(r"run folder: (\S+)", first.stderr.readline())
            folder = Path(found[1]) if found else None
        wait_until(lambda: '"load"' in events(folder))
        said = done(untouched, "apply", "quick", *bed, *SMALL, code=3).stderr
        assert "is locked by" in said
        assert folder.name in said
        done(untouched, "rollback", "--all", *bed, code=3)
    finally:
        first.send_signal(signal.SIGINT)
        first.wait(60)
        if folder is not None:
            subprocess.run(["rm", "-rf", folder], check=True)
    assert first.returncode == 1


def test_a_host_whose_disk_is_full(untouched: SshLab) -> None:
    """Nothing is done there that is not in its journal, and the other hosts are not left half prepared."""
    web = untouched.lab.hosts["web02"]
    full = "mkdir -p /var/lib/bmt && mount -t tmpfs -o size=8k,nr_inodes=12 bmt-full /var/lib/bmt && "
    web.run(["sh", "-c", f"{full} head -c 4096 /dev/zero > /var/lib/bmt/others"])
    try:
        said = done(untouched, "apply", "quick", "--testbed", str(untouched.testbed), *SMALL, code=1).stderr
        assert "web02" in said
        assert "the journal in /var/lib/bmt cannot be written: 100% of the disk is used" in said
    finally:
        web.run(["sh", "-c", "umount /var/lib/bmt; rmdir /var/lib/bmt"])


def test_kill_9_in_the_middle_of_apply(untouched: SshLab) -> None:
    """nginx takes its time to start on web01; web02's turn has not come, as a script of ours is still at work there."""
    web, other = untouched.lab.hosts["web01"], untouched.lab.hosts["web02"]
    slow = '#!/bin/sh\\nsleep 4; exec /usr/sbin/nginx "$@"\\n'
    web.run(["sh", "-c", 'printf "$1" > "$2"; chmod +x "$2"', "sh", slow, "/usr/local/sbin/nginx"])
    busy = other.start(["sh", "-c", "mkdir -p /var/lib/bmt && exec flock /var/lib/bmt/busy sleep 8"])
    try:
        apply = begin(untouched, "apply", "quick", "--testbed", str(untouched.testbed), *SMALL)
        wait_until(lambda: any(line.get("do") == "process nginx" for line in journal(web)))
        os.killpg(apply.pid, signal.SIGKILL)
        apply.wait()
        assert "address 192.168.16.100/32 on lo" in [line.get("do") for line in journal(web)]
        assert journal(other) == []
        refused = done(untouched, "apply", "quick", "--testbed", str(untouched.testbed), *SMALL, code=3).stderr
        assert "has left changes on these hosts" in refused
        assert "bmt rollback --all" in refused
        done(untouched, "rollback", "--all", "--testbed", str(untouched.testbed))
        assert not runs(web, "nginx")
    finally:
        busy.wait(10)
        web.run(["rm", "/usr/local/sbin/nginx"])


def test_kill_9_in_the_middle_of_a_load(untouched: SshLab, tmp_path: Path) -> None:
    bed = ["--testbed", str(untouched.testbed)]
    words = [*SMALL, "--set", "load.seconds=60", "--no-report", "--out", str(tmp_path)]
    run = begin(untouched, "run", "quick", *bed, *words)
    wait_until(lambda: any('"load"' in events(folder) for folder in tmp_path.iterdir()))
    client = untouched.lab.hosts["client01"]
    wait_until(lambda: runs(client, "ab"))
    (folder,) = tmp_path.iterdir()
    kernel = next(event["pid"] for event in RunDir.open(folder).events() if "pid" in event)
    os.kill(kernel, signal.SIGKILL)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert runs(client, "ab"), "nobody is left to stop the load"
    done(untouched, "rollback", str(folder))
    assert not runs(client, "ab")


def test_a_run_that_was_killed_is_gone_on_with(untouched: SshLab, tmp_path: Path) -> None:
    """Its locks are taken over, what it left is taken back first, and at the end the hosts are as they were found."""
    bed = ["--testbed", str(untouched.testbed)]
    words = [*SMALL, *SHORT, "--set", "load.seconds=3", "--no-report", "--out", str(tmp_path)]
    run = begin(untouched, "run", "quick", *bed, *words)
    wait_until(lambda: any(events(folder).count('"load"') == 2 for folder in tmp_path.iterdir()))
    (path,) = tmp_path.iterdir()
    folder = RunDir.open(path)
    os.kill(folder.run_json()["sessions"][0]["pid"], signal.SIGKILL)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    kept = folder.case_ids()
    assert len(kept) == 1
    first = (path / "cases" / kept[0] / "case.json").read_bytes()
    done(untouched, "run", "--resume", str(path), "--no-report")
    assert folder.run_json()["status"] == "done"
    assert {folder.case(case)["status"] for case in folder.case_ids()} <= {"done", "rejected"}
    assert len(folder.case_ids()) == 3
    assert (path / "cases" / kept[0] / "case.json").read_bytes() == first
    assert [session["status"] for session in folder.run_json()["sessions"]] == ["killed", "done"]
    assert folder.run_json()["not_rolled_back"] == {}


def test_a_host_that_is_cut_off_in_mid_run_and_comes_back(untouched: SshLab, tmp_path: Path) -> None:
    """Its case fails; the hosts are given back, prepared anew, and the next case is measured."""
    words = [*SMALL, *SHORT, "--set", "load.seconds=3", "--no-report", "--out", str(tmp_path)]
    run = begin(untouched, "run", "quick", "--testbed", str(untouched.testbed), *words)
    wait_until(lambda: any('"load"' in events(folder) for folder in tmp_path.iterdir()))
    untouched.cut("web02")
    try:
        time.sleep(6)
    finally:
        untouched.restore("web02")
    out, err = run.communicate(timeout=120)
    assert run.returncode == 1, err
    folder = RunDir.open(out.splitlines()[-1])
    states = [folder.case(case)["status"] for case in folder.case_ids()]
    assert states[0] == "failed"
    assert states[1:] == ["done", "done"]
    error = folder.case(folder.case_ids()[0])["error"]
    assert "web02" in f"{error['what']} {error['where']}"
    assert folder.run_json()["not_rolled_back"] == {}


def test_a_host_that_cannot_be_rolled_back_now_is_later(untouched: SshLab) -> None:
    bed = ["--testbed", str(untouched.testbed)]
    done(untouched, "apply", "quick", *bed, *SMALL)
    untouched.cut("web02")
    try:
        result = done(untouched, "rollback", "--all", *bed, code=3)
        assert "not rolled back: web02" in result.stderr
        assert not journal(untouched.lab.hosts["web01"]), "the others were"
        assert journal(untouched.lab.hosts["web02"])
    finally:
        untouched.restore("web02")
    done(untouched, "rollback", "--all", *bed)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["apply", "quick", "--testbed", "netns"], "a testbed of kind netns is made for each run"),
        (["rollback", "--testbed", "ssh"], "needs either a run or --all"),
        (["rollback", "--all"], "on which hosts?"),
        (["apply", "quick", "--testbed", "BED", "--arm", "nothing"], "the scenario has no arm 'nothing'"),
        (["run", "quick", "--testbed", "BED", "--set", "webs=9"], "9 web hosts, the testbed has 2"),
    ],
)
def test_words_that_make_no_sense(machines: SshLab, words: list[str], said: str) -> None:
    result = done(machines, *(word.replace("BED", str(machines.testbed)) for word in words), code=2)
    assert said in result.stderr


def test_an_open_loop_on_hosts_that_have_nothing_but_python(untouched: SshLab, tmp_path: Path) -> None:
    """The generator is no file there: it comes with its command line."""
    words = ["--set", "load.engine=open_loop", "--set", "load.rate=50", "--set", 'arms={"l2dsr": null}']
    done(
        untouched,
        "run",
        "quick",
        *SMALL,
        *SHORT,
        *words,
        "--testbed",
        str(untouched.testbed),
        "--out",
        str(tmp_path),
        "--no-report",
    )
    run = RunDir.open(next(tmp_path.iterdir()))
    case = run.case(run.case_ids()[0])
    assert case["requests"]["sent"] == case["requests"]["completed"] == 50
    assert [client["planned"] for client in case["clients"]] == [25, 25]
    assert read_tables(run).waits["requests"].sum() == 50
