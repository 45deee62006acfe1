"""`bmt` as a person meets it: exit codes, the last line, Ctrl-C, `kill -9`, a full disk, a lab that is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bmtlib.rundir import RunDir

pytestmark = pytest.mark.lab

SHORT = ["load.seconds=1", "load.warmup_seconds=0", "repetitions=1", "load.concurrency=20", "webs=2", "clients=2"]
DEMO = str(Path(__file__).parents[2] / "data/demo")
SETTINGS = [word for setting in SHORT for word in ("--set", setting)]


def bmt(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "bmtlib", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, **options)


def start(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "bmtlib", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Any, what: str, seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)
    return found


def test_run_prints_its_folder_last_and_leaves_a_report(tmp_path: Path) -> None:
    done = bmt("run", "quick", *SETTINGS, "--out", str(tmp_path))
    assert done.returncode in (0, 1), done.stderr  # 1: this machine is busy and a guard rejected a case
    folder = RunDir.open(done.stdout.splitlines()[-1])
    assert folder.path.parent == tmp_path
    assert folder.run_json()["status"] == "done"
    assert (folder.path / "report.html").stat().st_size > 50_000
    assert (folder.path / "notebooks" / "10-run-scenario.ipynb").exists()


def phase_of(out: Path, phase: str) -> RunDir | None:
    for path in out.iterdir():
        if any(event["step"] == "case" and event["state"] == phase for event in RunDir(path).events()):
            return RunDir(path)
    return None


@pytest.mark.parametrize("phase", ["preflight", "load"])
def test_kill_9_leaves_no_process_and_no_interface(tmp_path: Path, phase: str) -> None:
    links, namespaces = links_now(), namespaces_now()
    run = start("run", "quick", *SETTINGS, "--out", str(tmp_path), "--no-report")
    wait_for(lambda: phase_of(tmp_path, phase), f"phase {phase}")
    assert namespaces_now() != namespaces
    run.kill()
    run.communicate()
    wait_for(lambda: namespaces_now() == namespaces, "all processes of the lab are gone", 10)
    assert links_now() == links


def links_now() -> str:
    return " ".join(sorted(line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]))


def namespaces_now() -> set[str]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            found.add(os.readlink(path))
        except OSError:
            continue
    return found


def test_ctrl_c_ends_in_good_order(tmp_path: Path) -> None:
    run = start("run", "quick", *SETTINGS, "--set", "repetitions=3", "--out", str(tmp_path))
    folder = wait_for(lambda: phase_of(tmp_path, "done"), "a case is done")
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=120)
    assert run.returncode == 1
    assert "Traceback" not in err
    assert folder.run_json()["status"] == "interrupted"
    assert out.splitlines()[-1] == str(folder.path)
    assert (folder.path / "report.html").exists()


def test_full_disk_is_one_clear_message(tmp_path: Path) -> None:
    """A file system of half a MiB, in a mount namespace of the test's own."""
    script = f'mount -t tmpfs -o size=500k full "{tmp_path}" && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    command += [sys.executable, "-P", "-m", "bmtlib", "run", "quick", *SETTINGS, "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 3, done.stderr
    assert "No space left on device" in done.stderr or "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", "quik"], 2, "did you mean 'quick'?"),
        (["run", "quick", "--set", "load.concurency=4"], 2, "did you mean 'concurrency'?"),
        (["run", "quick", "--set", "load.concurrency=10000000"], 2, "ab's largest -c"),
        (["run", "quick", "--set", "arms.proxy.threads=64"], 2, "64 HAProxy threads"),
        (["run", "quick", "--set", "testbed.placement.director_cpus=4000"], 2, "cannot have CPU 4000"),
        (["run", "quick", "--out", "/proc/nowhere"], 3, "cannot write"),
        (["run"], 2, "which scenario?"),
        (
            ["run", "quick", "--set", "repetitions={min: 5, max: 9, until: {ratio_interval: 5}}"],
            2,
            "at most 0.5, found 5",
        ),
        (["run", "--resume", "no-such-run"], 2, "not a run folder"),
        (["run", "--resume", DEMO], 2, "nothing is missing"),
        (["run", "--resume", DEMO, "--set", "repetitions=9"], 2, "gone on with as it was planned"),
        (["run", "--resume", DEMO, "--out", "elsewhere"], 2, "gone on with as it was planned"),
        (["run", "quick", "file-size", "--resume", DEMO], 2, "gone on with as it was planned"),
        (["report", "/"], 2, "not a run folder"),
        (["export", "no-such-run"], 2, "not a run folder"),
        (["lab", "shell", "web01"], 2, "no lab is up"),
    ],
)
def test_a_users_mistake_is_one_message(words: list[str], code: int, said: str, tmp_path: Path) -> None:
    done = bmt(*words, env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_lab_is_kept_entered_and_taken_down(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    up = bmt("lab", "up", "quick", "--arm", "l2dsr", *SETTINGS, env=environment)
    assert up.returncode == 0, up.stderr
    try:
        url = up.stdout.split("the service is ")[1].split()[0]
        answer = bmt(
            "lab",
            "shell",
            "client01",
            "--",
            "curl",
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{size_download}",
            url,
            env=environment,
        )
        assert answer.stdout == "5120"
        assert bmt("lab", "up", env=environment).returncode == 2
    finally:
        assert bmt("lab", "down", env=environment).returncode == 0
    assert bmt("lab", "down", env=environment).returncode == 2
