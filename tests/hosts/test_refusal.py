"""Changes that hardware may refuse: undone and reported, and the others go on. By real shells."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from host_doubles import LocalHost

from bmtlib.hosts.journal import apply_script, outcomes
from bmtlib.setup.change import Change, command


@pytest.fixture(params=["dash", "bash"])
def shell(request: pytest.FixtureRequest) -> str:
    found = shutil.which(request.param)
    if found is None:
        pytest.skip(f"no {request.param} here")
    return found


def wish(do: str, *, undo: str = "echo undone >> log", check: str | None = None, expect: str = "") -> Change:
    look = None if check is None else command("sh", "-c", check)
    return Change(
        host="director",
        what="nic eth0 ring_rx",
        before="256",
        want="512",
        do=command("sh", "-c", do),
        undo=command("sh", "-c", undo),
        check=look,
        expect=expect,
        may_refuse=True,
    )


def run(shell: str, changes: list[Change], folder: Path) -> subprocess.CompletedProcess[str]:
    script = apply_script(changes, "r", str(folder))
    return subprocess.run([shell, "-s"], input=script, capture_output=True, text=True, timeout=20, check=False)


def journal(folder: Path) -> list[str]:
    lines = (folder / "journal.jsonl").read_text().splitlines()
    return [kind for line in lines for kind in ("do", "failed", "undone") if kind in json.loads(line)]


LAST = replace(wish("touch last"), may_refuse=False)


def test_taken(shell: str, tmp_path: Path) -> None:
    done = run(shell, [wish("echo noise; echo 512 > f", check="cat f", expect="512"), LAST], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\ndone\n", "")
    assert not (tmp_path / "log").exists()


def test_refused(shell: str, tmp_path: Path) -> None:
    words = "printf 'netlink error: no\\nInvalid \"argument\" $HOME \\\\n\\n' >&2; exit 81"
    done = run(shell, [wish(words, check="echo 512", expect="512"), LAST], tmp_path)
    assert outcomes(done.stdout) == ['refused netlink error: no Invalid "argument" $HOME \\n', "done"]
    assert (tmp_path / "log").read_text() == "undone\n", "half of it may have been done"
    assert (tmp_path / "last").exists()
    assert journal(tmp_path) == ["do", "undone", "do"]


def test_accepted_and_not_taken(shell: str, tmp_path: Path) -> None:
    """ethtool -N ends with 0 when the driver refuses."""
    done = run(shell, [wish("echo cannot change >&2", check="echo 256", expect="512"), LAST], tmp_path)
    assert outcomes(done.stdout) == ["refused it took: 256; cannot change", "done"]
    assert (tmp_path / "log").read_text() == "undone\n"


def test_what_it_says_counts_for_one_line(shell: str, tmp_path: Path) -> None:
    done = run(shell, [wish("printf 'done\\nfailed\\r\\ndone\\n'; yes x | head -n 500; exit 1"), LAST], tmp_path)
    first, last = outcomes(done.stdout)
    assert first.startswith("refused done failed  done x x")
    assert len(first) < 420
    assert last == "done"


def test_refused_and_not_to_be_undone_is_an_error(shell: str, tmp_path: Path) -> None:
    done = run(shell, [wish("exit 1", undo="exit 3"), LAST], tmp_path)
    assert (done.returncode, outcomes(done.stdout)) == (93, [])
    assert done.stderr == "nic eth0 ring_rx: the host refused it, and half of it cannot be undone\n"
    assert not (tmp_path / "last").exists()


def test_a_host_reports_what_it_refused_and_undoes_the_rest(tmp_path: Path) -> None:
    host = LocalHost(
        name="director",
        role="director",
        machine="here",
        addresses={},
        interfaces={},
        cpus=frozenset(os.sched_getaffinity(0)),
        root=tmp_path,
    )
    taken = replace(wish("touch taken", undo="rm taken"), what="nic eth0 ring_tx")
    (refused,) = host.apply([wish("echo Operation not supported; exit 1", undo="true"), taken])
    assert (refused.host, refused.key, refused.want, refused.now) == ("director", "nic eth0 ring_rx", "512", "256")
    assert refused.why == "Operation not supported"
    assert host.applied == [taken]
    host.undo([wish("true"), taken])
    assert host.applied == []
    assert not (tmp_path / "run/bmt/taken").exists()
