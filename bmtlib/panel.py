"""The run panel in a notebook: the widget, and what it may call to plan, start and stop a run."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from bmtlib.check_testbed import chosen, planned
from bmtlib.errors import InputError
from bmtlib.params.load_yaml import names
from bmtlib.run import default_out, load
from bmtlib.testbeds.placement import pin_process
from bmtlib.widgets.run_panel import RunPanel
from bmtlib.widgets.run_panel_state import Choice, Planned

_BMT = (sys.executable, "-P", "-m", "bmtlib")
_WIDTH = "160"  # columns of tables that `bmt plan` prints for the panel


def wanted(panel: str) -> bool:
    """Whether a notebook shall ask in a panel. `panel`: its parameter, "yes", "no" or "auto".

    auto: where a Jupyter server has opened this notebook for a person, which it tells its kernels. papermill, and so
    `bmt run`, does not.
    """
    if panel not in ("yes", "no", "auto"):
        raise InputError(f"panel must be yes, no or auto, found {panel!r}", where="the notebook's parameters")
    return panel == "yes" or (panel == "auto" and bool(os.environ.get("JPY_SESSION_NAME")))


def run_panel(scenario: str = "quick", testbed: str = "netns", settings: str = "", out: str | Path = "") -> RunPanel:
    """A panel that begins with this choice. `out`: where run folders are made; empty: as `bmt run` does.

    The run is a process of its own. It ends in good order when it is stopped, when the kernel is interrupted (■), shut
    down or restarted, and when the kernel dies: no run goes on that nobody watches. What was measured is kept, and
    `bmt run --resume` goes on from there.
    """
    return RunPanel(
        Bmt(Path(out) if out else default_out()),
        Choice(scenario=scenario, testbed=testbed, settings=settings),
        scenarios=names("scenarios"),
        testbeds=["auto", *names("testbeds")],
    )


class Bmt:
    """What the panel may call. `out`: the folder in which run folders are made."""

    def __init__(self, out: Path) -> None:
        self._out = out

    def plan(self, choice: Choice) -> Planned:
        """What a choice would do. Reads files only. Raises InputError."""
        testbed, _ = chosen(choice.testbed)
        plan = load(choice.scenario, testbed, choice.overrides).plan
        return planned(plan, shlex.join(["./bmt", *self._words(choice)]))

    def start(self, choice: Choice) -> Child:
        return Child([*_BMT, *self._words(choice)])

    def changes(self, choice: Choice) -> Child:
        """`bmt plan`: looks at the hosts, in a lab that is built for it, and changes nothing."""
        return Child([*_BMT, "plan", *choice.words])

    def _words(self, choice: Choice) -> list[str]:
        return ["run", *choice.words, *(["--out", str(self._out)] if self._out != default_out() else [])]


class Child:
    """A command in a process of its own, under a keeper: see `bmtlib.keeper`."""

    def __init__(self, command: Sequence[str]) -> None:
        # A file and not a pipe: a run that outlives this process must be able to go on writing.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as this
        environment = {key: value for key, value in os.environ.items() if key != "JPY_SESSION_NAME"}
        self._keeper = subprocess.Popen(
            [sys.executable, "-P", "-m", "bmtlib.keeper", *command],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**environment, "COLUMNS": _WIDTH, "NO_COLOR": "1"},
        )
        self._cpus = os.sched_getaffinity(0)

    @property
    def code(self) -> int | None:
        """Its exit code; None while it is at work."""
        return self._keeper.poll()

    def said(self) -> str:
        """All that it has printed so far."""
        return os.pread(self._log.fileno(), os.fstat(self._log.fileno()).st_size, 0).decode(errors="replace")

    def stop(self) -> None:
        """Ask it to end in good order. It may take its time; asking again changes nothing."""
        assert self._keeper.stdin is not None
        with suppress(OSError):
            self._keeper.stdin.close()

    def keep_off(self, cpus: Iterable[int]) -> None:
        """Keep this process on these CPUs until the end: what a kernel does on the director's would be its cost."""
        if wanted := self._cpus & frozenset(cpus):
            pin_process(wanted)

    def close(self) -> None:
        """Forget it: it has ended."""
        pin_process(self._cpus)
        self.stop()
        self._log.close()
