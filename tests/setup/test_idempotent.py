"""Sysctl, and what is made for a time: undone where nothing was done, undone twice, done twice. Run by real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bmtlib.setup.change import Command
from bmtlib.setup.made import made
from bmtlib.setup.sysctl import read_key, restore_keys, sysctl_change, write_keys

Run = Callable[[Command], subprocess.CompletedProcess[str]]
KEY = "net.ipv4.tcp_rmem"


@pytest.fixture(params=["dash", "bash"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs a command of a change; the folder `sys` stands where /proc/sys is."""
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param} here")

    def run(it: Command) -> subprocess.CompletedProcess[str]:
        script = it.argv[2].replace("/proc/sys/", f"{tmp_path}/sys/")
        argv = [request.param, "-c", script, *it.argv[3:]]
        env = os.environ | {"KEEP": str(tmp_path)}
        return subprocess.run(argv, input=it.stdin, capture_output=True, text=True, check=False, env=env, cwd=tmp_path)

    return run


@pytest.fixture
def rmem(tmp_path: Path) -> Path:
    file = tmp_path / "sys" / "net" / "ipv4" / "tcp_rmem"
    file.parent.mkdir(parents=True)
    file.write_text("4096\t131072\t6291456\n")
    return file


def ended_well(done: subprocess.CompletedProcess[str]) -> bool:
    return (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_key_is_set_read_back_and_restored(run: Run, rmem: Path) -> None:
    (change,) = sysctl_change("web01", KEY, "4096 8192 16384", {KEY: rmem.read_text()})
    assert change.lasting
    assert change.check is not None
    assert ended_well(run(change.undo))
    assert rmem.read_text().split() == ["4096", "131072", "6291456"]
    assert ended_well(run(change.do))
    assert rmem.read_text() == "4096 8192 16384\n"
    assert " ".join(run(change.check).stdout.split()) == change.expect
    for _ in range(2):
        assert ended_well(run(change.undo))
        assert rmem.read_text() == "4096 131072 6291456\n"
    assert " ".join(run(change.check).stdout.split()) != change.expect


def test_a_key_that_is_not_there(run: Run, rmem: Path) -> None:
    done = run(write_keys({KEY: "1 2 3", "net.ipv4.no_such.key": "7"}))
    assert done.returncode == 1
    said, _, why = done.stderr.rpartition(": ")
    assert said == 'net.ipv4.no_such.key: no "7"'
    assert why in ("Directory nonexistent\n", "No such file or directory\n"), "as dash and as bash have it"
    assert rmem.read_text() == "1 2 3\n"
    assert ended_well(run(restore_keys({"net.ipv4.no_such.key": "7", KEY: "4 5 6"}))), "gone with its module"
    assert rmem.read_text() == "4 5 6\n"
    assert run(read_key("net.ipv4.no_such.key")).returncode != 0


def test_a_key_of_an_interface_with_a_dot_in_its_name(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "sys" / "net" / "ipv4" / "conf" / "eth0.100" / "rp_filter"
    file.parent.mkdir(parents=True)
    file.write_text("0\n")
    assert ended_well(run(write_keys({"net.ipv4.conf.eth0/100.rp_filter": "2"})))
    assert run(read_key("net.ipv4.conf.eth0/100.rp_filter")).stdout == file.read_text() == "2\n"


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_what_the_kernel_refuses(shell: str) -> None:
    """On the machine's own keys, with values that no kernel takes: nothing is changed."""
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")

    def run(it: Command) -> subprocess.CompletedProcess[str]:
        return subprocess.run([shell, *it.argv[1:]], capture_output=True, text=True, check=False)

    key = "net.ipv4.ip_default_ttl"
    if os.access(f"/proc/sys/{key.replace('.', '/')}", os.W_OK):
        present = run(read_key(key)).stdout
        for it in (write_keys({key: "no number"}), restore_keys({key: "no number"})):
            done = run(it)
            assert (done.returncode, done.stderr) == (1, f'{key}: no "no number": Invalid argument\n')
        assert run(read_key(key)).stdout == present
    release = Path("/proc/sys/kernel/osrelease").read_text().strip()
    done = run(write_keys({"kernel.osrelease": release}))
    assert done.returncode == 1
    assert done.stderr.startswith(f'kernel.osrelease: no "{release}": ')
    assert ended_well(run(restore_keys({"kernel.osrelease": release}))), "in force already: no need to write"
    assert run(restore_keys({"kernel.osrelease": "another"})).returncode == 1


LOOK = '[ ! -e "$1" ] || echo "a thing: $(cat "$1")"'
DO, UNDO = made("thing a/b", ("it's a thing",), look=LOOK, make='cat > "$1"', remove='rm "$1"', stdin="ours")


def test_made_and_removed(run: Run, tmp_path: Path) -> None:
    thing = tmp_path / "it's a thing"
    assert ended_well(run(UNDO))
    for _ in range(2):
        assert ended_well(run(DO))
        assert thing.read_text() == "ours"
    for _ in range(2):
        assert ended_well(run(UNDO))
        assert list(tmp_path.iterdir()) == []


def test_what_was_there_is_neither_made_nor_removed(run: Run, tmp_path: Path) -> None:
    thing = tmp_path / "it's a thing"
    thing.write_text("theirs")
    done = run(DO)
    assert (done.returncode, done.stderr) == (1, "there already, and not ours: a thing: theirs\n")
    assert ended_well(run(UNDO))
    assert thing.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [thing]


def test_killed_between_mark_and_thing(run: Run, tmp_path: Path) -> None:
    (tmp_path / DO.argv[4]).touch()
    assert ended_well(run(UNDO))
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_made_leaves_no_mark(run: Run, tmp_path: Path) -> None:
    do, undo = made("thing", (), look="true", make="echo broken >&2; return 3", remove="false")
    done = run(do)
    assert (done.returncode, done.stderr) == (1, "broken\n")
    assert list(tmp_path.iterdir()) == []
    assert ended_well(run(undo))


@pytest.mark.parametrize(("look", "remove"), [("echo it", "echo stuck >&2; return 1"), ("echo stuck >&2; false", ":")])
def test_what_cannot_be_removed_is_a_failure_and_can_be_tried_again(
    run: Run, tmp_path: Path, look: str, remove: str
) -> None:
    _, undo = made("thing", (), look=look, make="true", remove=remove)
    mark = tmp_path / undo.argv[4]
    mark.touch()
    done = run(undo)
    assert (done.returncode, done.stderr) == (1, "stuck\n")
    assert mark.exists()


def test_without_a_folder_for_marks_nothing_is_done(tmp_path: Path) -> None:
    for it in (DO, UNDO):
        done = subprocess.run(it.argv, capture_output=True, text=True, check=False, env={}, cwd=tmp_path)
        assert done.returncode != 0
        assert "no folder for marks" in done.stderr
    assert list(tmp_path.iterdir()) == []
