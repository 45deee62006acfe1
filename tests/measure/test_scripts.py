"""The scripts that a case runs on its hosts, run by real shells."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bmtlib.measure.probes import Probe
from bmtlib.measure.scripts import load_script, probe_script, sampler_script, stop_script

SPAN = re.compile(r"### (\d+\.\d{9})\n")


@pytest.fixture(params=["dash", "bash"])
def shell(request: pytest.FixtureRequest) -> str:
    found = shutil.which(request.param)
    if found is None:
        pytest.skip(f"no {request.param} here")
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The case's folder on the host; the scripts make it."""
    return tmp_path / "cases" / "b1 it's $(touch pwned)"


def probe(name: str, *command: str) -> Probe:
    return Probe(name=name, command=command, parse=list, when="during")


def run(shell: str, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([shell, "-c", script], capture_output=True, text=True, check=False, timeout=10)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_probes_leave_their_output(shell: str, folder: Path) -> None:
    text = "$(touch pwned) 'a' \"b\"\n* größe"
    probes = [probe("plain", "printf", "%s", text), probe("ethtool@eth 0'", "echo", "x"), probe("empty", "true")]
    done = run(shell, probe_script(str(folder), probes, "before"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert names(folder) == ["empty.before.txt", "ethtool@eth 0'.before.txt", "plain.before.txt"]
    assert (folder / "plain.before.txt").read_text() == text


def test_a_failing_probe_leaves_its_complaint_and_no_output(shell: str, folder: Path) -> None:
    probes = [
        probe("half", "sh", "-c", "echo half an answer; echo why >&2; exit 3"),
        probe("absent", "no-such-program"),
        probe("silent", "sh", "-c", "echo half an answer; exit 4"),
        probe("good", "echo", "fine"),
    ]
    assert run(shell, probe_script(str(folder), probes, "after")).returncode == 0
    assert names(folder) == ["absent.after.err", "good.after.txt", "half.after.err", "silent.after.err"]
    assert (folder / "half.after.err").read_text() == "why\n"
    assert "not found" in (folder / "absent.after.err").read_text()
    assert "4" in (folder / "silent.after.err").read_text(), "a probe that fails without a word leaves a trace too"


def test_scripts_of_probes_do_not_touch_each_other(shell: str, folder: Path) -> None:
    """They are run by one shell: what one of them sets, or where it goes, is nothing to the next."""
    probes = [
        probe("first", "sh", "-c", "f=changed; x=1; cd /; set -- a b; echo $#; exit 0; echo never"),
        probe("second", "sh", "-c", 'echo "${x-unset} $1" | tr a-z A-Z'),
        probe("third", "pwd"),
    ]
    assert run(shell, probe_script(str(folder), probes, "before")).returncode == 0
    assert (folder / "first.before.txt").read_text() == "2\n"
    assert (folder / "second.before.txt").read_text().startswith("UNSET ")
    assert (folder / "third.before.txt").read_text() == f"{folder}\n"


def test_a_probe_does_not_read_our_standard_input(shell: str, folder: Path) -> None:
    script = probe_script(str(folder), [probe("cat", "cat")], "once")
    done = subprocess.run([shell, "-c", script], input="ours", text=True, check=False, timeout=5)
    assert done.returncode == 0
    assert (folder / "cat.once.txt").read_text() == ""


def test_probes_keep_what_the_load_left(shell: str, folder: Path) -> None:
    """The second round of probes comes to a folder with ab's files in it."""
    folder.mkdir(parents=True)
    (folder / "ab.txt").write_text("")
    (folder / "ab.err").write_text("Completed 500 requests\n")
    run(shell, probe_script(str(folder), [probe("x", "true")], "after"))
    assert names(folder) == ["ab.err", "ab.txt", "x.after.txt"]


def test_a_folder_that_cannot_be_made(shell: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    probes = [probe("x", "true")]
    for script in (
        probe_script(f"{tmp_path}/file/x", probes, "once"),
        sampler_script(f"{tmp_path}/file/x", probes, every_s=1, most=1),
        load_script(f"{tmp_path}/file/x", ["true"], 0),
    ):
        assert run(shell, script).returncode == 90


def test_the_sampler_ends_by_its_bound(shell: str, folder: Path) -> None:
    probes = [probe("a", "printf", "%s\n", "x'y"), probe("b", "echo", "z")]
    before = time.time()
    done = run(shell, sampler_script(str(folder), probes, every_s=0.05, most=3))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert names(folder) == ["a.during.txt", "b.during.txt"]
    text = (folder / "a.during.txt").read_text()
    times = [float(word) for word in SPAN.findall(text)]
    assert SPAN.sub("### \n", text) == "### \nx'y\n" * 3
    assert before <= times[0] < times[1] < times[2] <= time.time()
    assert all(b - a >= 0.05 for a, b in itertools.pairwise(times))
    assert SPAN.findall((folder / "b.during.txt").read_text()) == SPAN.findall(text), "probes of one sample: one time"


def test_what_probes_complain_about_while_sampling(shell: str, folder: Path) -> None:
    run(shell, sampler_script(str(folder), [probe("a", "sh", "-c", "echo no >&2; exit 1")], every_s=0.01, most=2))
    assert names(folder) == ["a.during.txt", "during.err"]
    assert (folder / "during.err").read_text() == "no\nno\n"


def start(shell: str, script: str) -> subprocess.Popen[bytes]:
    """As a host does: the end is when nobody has the pipes any more."""
    return subprocess.Popen(
        [shell, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 5
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} does not come"
        time.sleep(0.005)


def test_the_sampler_stops_at_once_when_told(shell: str, folder: Path) -> None:
    sampler = start(shell, sampler_script(str(folder), [probe("a", "echo", "x")], every_s=60, most=10))
    wait_for(folder / "sleeper")
    time.sleep(0.05)
    began = time.monotonic()
    assert run(shell, stop_script(str(folder))).returncode == 0
    sampler.communicate(timeout=5)
    assert time.monotonic() - began < 2
    assert names(folder) == ["a.during.txt"]
    assert len(SPAN.findall((folder / "a.during.txt").read_text())) == 1


def test_the_sampler_stops_at_once_when_told_in_mid_sample(shell: str, folder: Path) -> None:
    """The sleep that could be cut short has not begun; it must not be slept to its end."""
    slow = probe("slow", "sh", "-c", "echo begun; : > begun; sleep 0.3; echo whole")
    sampler = start(shell, sampler_script(str(folder), [slow], every_s=60, most=10))
    wait_for(folder / "begun")
    began = time.monotonic()
    assert run(shell, stop_script(str(folder))).returncode == 0
    sampler.communicate(timeout=5)
    assert time.monotonic() - began < 2
    assert SPAN.sub("", (folder / "slow.during.txt").read_text()) == "begun\nwhole\n", "the sample under way is whole"


def test_stop_hits_no_process_but_the_sleep_under_way(shell: str, folder: Path) -> None:
    """While a sample is taken there is no sleep: the number of the last one may be somebody else's by now."""
    slow = probe("slow", "sh", "-c", "[ ! -e begun ] || { : > again; sleep 0.3; }; : > begun")
    sampler = start(shell, sampler_script(str(folder), [slow], every_s=0.01, most=10))
    wait_for(folder / "again")
    assert (folder / "sleeper").read_text().strip() == ""
    run(shell, stop_script(str(folder)))
    sampler.communicate(timeout=5)


def test_stop_without_a_sampler(shell: str, folder: Path) -> None:
    assert run(shell, stop_script(str(folder))).returncode == 0
    run(shell, sampler_script(str(folder), [probe("a", "true")], every_s=0.01, most=1))
    assert run(shell, stop_script(str(folder))).returncode == 0


def test_the_load_notes_when_it_began_and_how_it_ended(shell: str, folder: Path) -> None:
    start_ns = time.time_ns() + 300_000_000
    command = ["sh", "-c", 'printf "%s" "$1"; echo log >&2; date +%s%N > ran; sleep 0.1', "sh", "$(x) it's a * URL"]
    done = run(shell, load_script(str(folder), command, start_ns))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    made = ["ab.end", "ab.err", "ab.finished", "ab.rc", "ab.start", "ab.txt", "load.times", "ran"]
    assert names(folder) == made
    began, ran, ended = (int((folder / name).read_text()) for name in ("ab.start", "ran", "ab.end"))
    assert start_ns <= began < ran < ended <= time.time_ns()
    assert abs(int((folder / "ab.finished").read_text()) - ran) < 100_000_000, "when the log had its last line"
    assert began - start_ns < 800_000_000
    assert ended - ran >= 100_000_000
    assert (folder / "ab.txt").read_text() == "$(x) it's a * URL"
    assert (folder / "ab.err").read_text() == "log\n"
    assert (folder / "ab.rc").read_text() == "0\n"


@pytest.mark.parametrize("late_ns", [0, 1, 5_000_000_000])
def test_a_start_that_is_over_already(shell: str, folder: Path, late_ns: int) -> None:
    began = time.monotonic()
    run(shell, load_script(str(folder), ["true"], time.time_ns() - late_ns))
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("left_ns", [9_999_999, 99_999_999, 100_000_001])
def test_a_start_in_a_moment(shell: str, folder: Path, left_ns: int) -> None:
    """Nanoseconds are written with leading zeros: 10 ms must not become a second."""
    start_ns = time.time_ns() + left_ns
    run(shell, load_script(str(folder), ["true"], start_ns))
    assert 0 <= int((folder / "ab.start").read_text()) - start_ns < 800_000_000


@pytest.mark.parametrize(
    ("command", "rc"),
    [(["sh", "-c", "echo half; exit 22"], "22"), (["no-such-ab"], "127"), (["sh", "-c", "kill -9 $$"], "137")],
)
def test_a_load_generator_that_dies(shell: str, folder: Path, command: list[str], rc: str) -> None:
    assert run(shell, load_script(str(folder), command, 0)).returncode == 0
    assert (folder / "ab.rc").read_text().strip() == rc
    assert int((folder / "ab.end").read_text()) >= int((folder / "ab.start").read_text())


def test_a_load_under_way_has_begun_and_not_ended(shell: str, folder: Path) -> None:
    """What is there when it is killed: the start, and no exit code."""
    process = start(shell, load_script(str(folder), ["sh", "-c", "echo half; exec sleep 60"], 0))
    wait_for(folder / "ab.txt")
    time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert names(folder) == ["ab.err", "ab.start", "ab.txt"]


def test_files_are_copied_line_by_line_by_one_process(tmp_path: Path) -> None:
    for name, text in (("one", "a  b \n\tc\n"), ("two", "d%s\\n\n")):
        (tmp_path / name).write_text(text)
    probes = [probe(name, "cat", str(tmp_path / name)) for name in ("one", "two")]
    folder = tmp_path / "case"
    script = sampler_script(str(folder), probes, every_s=0.01, most=2)
    subprocess.run(["sh", "-c", script], check=True, timeout=20)
    assert SPAN.sub("", (folder / "one.during.txt").read_text()) == "a  b \n\tc\n" * 2
    assert SPAN.sub("", (folder / "two.during.txt").read_text()) == "d%s\\n\n" * 2
    assert script.count("awk") == 1
