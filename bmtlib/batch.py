"""A run without a person: the notebook 10-run-scenario in a kernel of its own, progress in the terminal, the report.

The notebook runs in a worker thread, because papermill in the main thread would take Ctrl-C for itself and kill the
kernel. So Ctrl-C comes to us, and we pass it to the kernel, where the runner ends in good order.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bmtlib.errors import BmtError, MachineError
from bmtlib.params.paths import project_root
from bmtlib.run import Loaded, start
from bmtlib.rundir import RunDir
from bmtlib.testbeds.placement import pin_process

_EVERY_S = 0.2


def run_scenario(loaded: Loaded, *, out: str | None, report: bool, keep: bool = False, break_lock: bool = False) -> int:
    """Run one scenario and print its folder's path as the last line of standard output. Returns the exit code."""
    from bmtlib.report import build_report

    console = Console(stderr=True)
    if loaded.choice:
        console.print(f"testbed {loaded.choice}", markup=False)
    folder = start(loaded, out, tell=lambda text: console.print(text, markup=False), keep=keep, break_lock=break_lock)
    console.print(f"run folder: {folder.path}", soft_wrap=True, markup=False)
    final = _measure(folder, console)
    code = _exit_code(folder, final, console)
    if report and folder.case_ids():
        console.print("building the report", markup=False)
        path = build_report(folder.path)
        console.print(f"report: {path}", soft_wrap=True, markup=False)
    print(folder.path)
    return code


def _measure(folder: RunDir, console: Console) -> dict[str, Any]:
    """Execute the notebook and show its progress until it ends. Ctrl-C and SIGTERM are passed on to its kernel."""
    failure: list[BaseException] = []
    # Not Thread.join(): a Ctrl-C while it waits makes Python before 3.13 take the thread for ended.
    ended = threading.Event()

    def work() -> None:
        from bmtlib.report import execute

        try:
            execute(
                project_root() / "notebooks" / "10-run-scenario.ipynb",
                folder.path / "notebooks" / "10-run-scenario.ipynb",
                {"run": folder.path},
            )
        except BaseException as error:
            failure.append(error)
        finally:
            ended.set()

    signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    threading.Thread(target=work, daemon=True).start()
    all_cpus = os.sched_getaffinity(0)
    kernel: dict[str, Any] | None = None
    ending = False
    with _Bar(console) as bar:
        while not ended.is_set():
            try:
                bar.show(folder)
                ended.wait(_EVERY_S)
                if kernel is None and (kernel := _kernel_started(folder)) and kernel["other_cpus"]:
                    # Not earlier: the kernel inherits our CPUs, and it is the one that divides them.
                    pin_process(kernel["other_cpus"])
                if kernel and ending:
                    with suppress(ProcessLookupError):
                        os.kill(kernel["pid"], signal.SIGINT)
                    ending = False
            except KeyboardInterrupt:
                console.print("ending: the case under way is given up, what was measured is kept", markup=False)
                ending = True
        bar.show(folder)
    pin_process(all_cpus)
    final = folder.run_json()
    if failure and final["status"] in ("planned", "running"):
        raise _ended_badly(folder, failure[0])
    return final


def _ended_badly(folder: RunDir, failure: BaseException) -> BmtError:
    """The run ended without saying so itself: mark its folder (as far as the disk lets us), and the error to raise."""
    if isinstance(failure, BmtError):
        error = failure
    else:
        error = BmtError(f"the run's notebook failed: {failure}", where=str(folder.path / "notebooks"))
    reason = {"what": error.what, "where": error.where, "todo": error.todo}
    with suppress(BmtError):
        folder.write_json("run.json", folder.run_json() | {"status": "failed", "error": reason})
    return error


def _kernel_started(folder: RunDir) -> dict[str, Any] | None:
    """The event with which the run began in the kernel: its process id, and the CPUs that are not the director's."""
    return next((event for event in folder.events() if event["step"] == "run" and event["state"] == "start"), None)


def _exit_code(folder: RunDir, final: dict[str, Any], console: Console) -> int:
    """Say what went wrong, in words, and how the run counts."""
    for name, why in final["not_rolled_back"].items():
        console.print(f"{name} could not be rolled back: {why}", style="red", markup=False)
    if final["not_rolled_back"]:
        console.print(f"when they are back: bmt rollback {folder.path}", style="red", markup=False, soft_wrap=True)
    cases = [folder.case(case_id) for case_id in folder.case_ids()]
    for case in cases:
        if case["status"] == "failed":
            console.print(f"case {case['id']} failed: {case['error']['what']}", style="red", markup=False)
        if case["status"] == "left out":
            console.print(f"case {case['id']} was left out: {case['error']['what']}", markup=False)
        if case["status"] == "rejected":
            reasons = "; ".join(guard["text"] for guard in case["guards"] if guard["verdict"] == "reject")
            console.print(f"case {case['id']} was rejected: {reasons}", style="yellow", markup=False)
    if final["status"] == "failed":
        error = final["error"]
        console.print(str(BmtError(error["what"], where=error["where"], todo=error["todo"])), style="red", markup=False)
        return MachineError.exit_code
    if final["not_rolled_back"]:
        return MachineError.exit_code
    bad = final["status"] != "done" or any(case["status"] not in ("done", "left out") for case in cases)
    return 1 if bad else 0


class _Bar:
    """One line in the terminal, from events.jsonl; plain lines when standard error is not a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._seen = 0
        self._events: list[dict[str, Any]] = []
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("starting", total=None, left="")

    def show(self, folder: RunDir) -> None:
        from bmtlib.widgets.state import fold

        new = list(folder.events(self._seen))
        if not new and not self._console.is_terminal:
            return
        self._seen += len(new)
        self._events += new
        state = fold(self._events, now_s=time.time())
        left = "" if state.left_s is None else f"about {state.left_s:.0f} s left"
        self._progress.update(
            self._task, description=state.text, completed=state.cases_done, total=state.cases or None, left=left
        )
        if not self._console.is_terminal:
            for event in new:
                if event["step"] == "case" and "requests_per_s" in event:
                    rate = event["requests_per_s"]
                    figure = f"{rate:,.0f} requests/s" if rate else "no rate"
                    print(
                        f"{event['number']}/{state.cases} {event['case']}: {event['state']}, {figure}", file=sys.stderr
                    )

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
