"""A session of the scenario `quick` made short, on the real programs; and machines that are reached over SSH."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from ssh_lab import SshLab, ssh_lab

from bmtlib.measure.ready import check
from bmtlib.measure.session import Session
from bmtlib.run import Loaded, load

MARK = f"BMT_LAB_OF_TEST={os.getpid()}"
os.environ.update([MARK.split("=")])

SHORT = ("load.seconds=1", "load.warmup_seconds=0", "repetitions=1", "load.concurrency=20", "webs=2", "clients=2")


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return load("quick", settings=SHORT)


@pytest.fixture(scope="module")
def session(loaded: Loaded) -> Iterator[Session]:
    ready = check(loaded.plan)
    with Session(loaded.plan, ready, run_id="test") as found:
        yield found


@pytest.fixture
def no_leftovers() -> Iterator[None]:
    """The test leaves no process, network namespace holder or mount of a lab behind."""
    before = lab_processes()
    yield
    assert lab_processes() == before


def lab_processes() -> set[int]:
    """Processes in PID namespaces that this process, or a child of it, has made: those of its labs, and of no others.

    Such a namespace lives as long as its first process, which has the environment that it was started with. (What it
    starts may have written over its own, as nginx does.)
    """
    found: dict[Path, set[int]] = {}
    ours: set[Path] = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            space = (process / "ns/pid").readlink()
            found.setdefault(space, set()).add(int(process.name))
            status = (process / "status").read_text()
            first = re.search(r"^NSpid:.*\t1$", status, re.MULTILINE)
            if first and MARK.encode() in (process / "environ").read_bytes().split(b"\0"):
                ours.add(space)
        except OSError:
            continue
    return {pid for space in ours for pid in found[space]}


def why_no_sshd() -> str:
    """Why no host of a lab can have an sshd here, "" when it can."""
    if os.geteuid() != 0:
        return "sshd separates its privileges, which only real root lets it do: run the tests as root"
    return "" if os.path.exists("/usr/sbin/sshd") else "no /usr/sbin/sshd (Debian: apt-get install openssh-server)"


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshLab]:
    """A director, two web hosts and two clients, each behind an sshd of its own."""
    if why := why_no_sshd():
        pytest.skip(why)
    with ssh_lab(tmp_path_factory.mktemp("machines"), webs=2, clients=2) as lab:
        before = {key: os.environ.get(key) for key in lab.env}
        os.environ.update(lab.env)
        yield lab
        for key, value in before.items():
            os.environ.pop(key) if value is None else os.environ.update({key: value})
