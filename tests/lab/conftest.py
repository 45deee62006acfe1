"""A session of the scenario `quick` made short, on the real programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bmtlib.measure.ready import check
from bmtlib.measure.session import Session
from bmtlib.run import Loaded, load

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
    """Processes that live in another PID namespace than ours, as those of a lab do."""
    own = Path("/proc/self/ns/pid").readlink()
    found = set()
    for path in Path("/proc").glob("[0-9]*/ns/pid"):
        try:
            if path.readlink() != own:
                found.add(int(path.parts[2]))
        except OSError:
            continue
    return found
