"""A run without a person: the notebook 10-run-scenario in a kernel of its own, progress in the terminal, the report.

The notebook runs in a worker thread, because papermill in the main thread would take Ctrl-C for itself and kill the
kernel. So Ctrl-C comes to us, and we pass it to the kernel, where the runner ends in good order.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bmtlib.errors import BmtError, MachineError
from bmtlib.events import EventTail
from bmtlib.params.paths import project_root
from bmtlib.run import Loaded, reopen, start
from bmtlib.rundir import RunDir
from bmtlib.testbeds.placement import pin_process

_EVERY_S = 0.2


def run_scenario(
    loaded: Loaded,
    *,
    out: str | None,
    report: bool,
    languages: Sequence[str] = ("en",),
    keep: bool = False,
    break_lock: bool = False,
) -> int:
    """Run one scenario and print its folder's path as the last line of standard output. Returns the exit code."""
    _one_interrupt_a_second()
    console = Console(stderr=True)
    if loaded.choice:
        console.print(f"testbed {loaded.choice}", markup=False)
    folder = start(loaded, out, tell=_teller(console), keep=keep, break_lock=break_lock)
    return _finish(folder, console, languages if report else ())


def resume_run(
    run: str,
    asked: Loaded | None = None,
    *,
    report: bool,
    languages: Sequence[str] = ("en",),
    keep: bool = False,
    break_lock: bool = False,
) -> int:
    """Do what is missing of a run that was broken off; the rest as in `run_scenario`."""
    _one_interrupt_a_second()
    console = Console(stderr=True)
    folder = reopen(run, asked, tell=_teller(console), keep=keep, break_lock=break_lock)
    return _finish(folder, console, languages if report else ())


def run_each(commands: Sequence[tuple[str, Sequence[str]]]) -> int:
    """Run commands of `bmt`, each with a name, one after the other in processes of their own: the worst exit code.

    One that fails does not keep the others from running. Ctrl-C (or SIGTERM) ends the one under way in good order, and
    those after it are not started.
    """
    _one_interrupt_a_second()
    console, codes = Console(stderr=True), []
    for number, (name, words) in enumerate(commands, 1):
        console.print(f"scenario {number} of {len(commands)}: {name}", markup=False)
        with subprocess.Popen([sys.executable, "-P", "-m", "bmtlib", *words]) as process:
            interrupted = _wait(process)
        # Ended by a signal, so not by itself: as bad as a machine that cannot.
        codes.append(process.returncode if process.returncode >= 0 else MachineError.exit_code)
        if interrupted:
            if rest := ", ".join(name for name, _ in commands[number:]):
                console.print(f"not started: {rest}", markup=False, soft_wrap=True)
            return max(1, *codes)
    return max(codes)


def _wait(process: subprocess.Popen[bytes]) -> bool:
    """Wait for its end, and hand on an interrupt; whether there was one."""
    interrupted = False
    while True:
        try:
            process.wait()
            return interrupted
        except KeyboardInterrupt:
            # From a terminal it has had the signal already, and takes the second one for the same.
            interrupted = True
            process.send_signal(signal.SIGINT)


def _one_interrupt_a_second() -> None:
    """Ctrl-C and SIGTERM interrupt; two in the same second are one. A terminal's Ctrl-C reaches a whole batch."""
    last_s = -1.0

    def interrupt(number: int, frame: object) -> None:
        nonlocal last_s
        now_s = time.monotonic()
        if now_s - last_s > 1:
            last_s = now_s
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)


def _teller(console: Console) -> Callable[[str], None]:
    return lambda text: console.print(text, markup=False)


def _finish(folder: RunDir, console: Console, languages: Sequence[str]) -> int:
    """From a folder that is ready to its report in each language. Returns the exit code."""
    from bmtlib.report import build_reports

    console.print(f"run folder: {folder.path}", soft_wrap=True, markup=False)
    final = _measure(folder, console)
    code = _exit_code(folder, final, console)
    if languages and folder.case_ids():
        console.print("building the report", markup=False)
        for path in build_reports(folder.path, languages):
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

    now = EventTail(folder, from_end=True)
    threading.Thread(target=work, daemon=True).start()
    all_cpus = os.sched_getaffinity(0)
    kernel: dict[str, Any] | None = None
    ending = False
    with _Bar(console, folder) as bar:
        while not ended.is_set():
            try:
                bar.show()
                ended.wait(_EVERY_S)
                if kernel is None and (kernel := _kernel_started(now)) and kernel["other_cpus"]:
                    # Not earlier: the kernel inherits our CPUs, and it is the one that divides them.
                    pin_process(kernel["other_cpus"])
                if kernel and ending:
                    with suppress(ProcessLookupError):
                        os.kill(kernel["pid"], signal.SIGINT)
                    ending = False
            except KeyboardInterrupt:
                console.print("ending: the case under way is given up, what was measured is kept", markup=False)
                ending = True
        bar.show()
    pin_process(all_cpus)
    final = folder.run_json()
    if failure and (kernel is None or final["status"] in ("planned", "running") or _refused(final)):
        raise _ended_badly(folder, failure[0])
    return final


def _refused(final: dict[str, Any]) -> bool:
    return any(session["status"] == "refused" for session in final["sessions"][-1:])


def _ended_badly(folder: RunDir, failure: BaseException) -> BmtError:
    """The run ended without saying so itself: mark its folder (as far as the disk lets us), and the error to raise."""
    if isinstance(failure, BmtError):
        error = failure
    else:
        error = BmtError(f"the run's notebook failed: {failure}", where=str(folder.path / "notebooks"))
    with suppress(BmtError):
        final = folder.run_json()
        if final["status"] in ("planned", "running") and not _refused(final):
            reason = {"what": error.what, "where": error.where, "todo": error.todo}
            sessions = [{**it, "status": "killed"} if it["status"] == "running" else it for it in final["sessions"]]
            folder.write_json("run.json", final | {"status": "failed", "error": reason, "sessions": sessions})
    return error


def _kernel_started(now: EventTail) -> dict[str, Any] | None:
    """The event with which the run began in the kernel: its process id, and the CPUs that are not the director's."""
    return next((event for event in now.new() if event["step"] == "run" and event["state"] == "start"), None)


def _exit_code(folder: RunDir, final: dict[str, Any], console: Console) -> int:
    """Say what went wrong, in words, and how the run counts."""
    for name, why in final["not_rolled_back"].items():
        console.print(f"{name} could not be rolled back: {why}", style="red", markup=False)
    if final["not_rolled_back"]:
        console.print(f"when they are back: bmt rollback {folder.path}", style="red", markup=False, soft_wrap=True)
    bad = final["status"] != "done"
    search = folder.read_json("plan.json").get("search")
    for case in map(folder.case, folder.case_ids()):
        if search and case["status"] in ("failed", "rejected"):
            continue  # above the knee cases do fail: knee.json says which, and why
        bad = bad or case["status"] not in ("done", "left out")
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
    if final["status"] == "interrupted" and not search:
        console.print(f"to go on: bmt run --resume {folder.path}", markup=False, soft_wrap=True)
    return 1 if bad else 0


class _Bar:
    """One line in the terminal, from events.jsonl; plain lines when standard error is not a terminal."""

    def __init__(self, console: Console, folder: RunDir) -> None:
        from bmtlib.widgets.state import Folding

        self._console = console
        self._tail, self._folding = EventTail(folder), Folding()
        for event in self._tail.new():  # of earlier sessions
            self._folding.add(event)
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

    def show(self) -> None:
        from bmtlib.widgets.progress import left

        for event in self._tail.new():
            self._folding.add(event)
            if event["step"] == "stopping" and event["reason"]:
                self._console.print(f"enough: {event['reason']}", markup=False, soft_wrap=True)
            if not self._console.is_terminal:
                self._say(event)
        if not self._console.is_terminal:
            return
        state = self._folding.at(time.time())
        self._progress.update(
            self._task,
            description=state.text,
            completed=state.cases_done,
            total=state.cases or None,
            left=left(state),
        )

    def _say(self, event: Mapping[str, Any]) -> None:
        from bmtlib.widgets.progress import left

        state = self._folding.at(event["time_s"])
        if event["step"] == "run" and event["state"] == "start":
            kept = f", {event['kept']} of them are there" if event["kept"] else ""
            print(f"{state.cases} cases{kept}; {left(state)}", file=sys.stderr)
        elif event["step"] == "case" and "requests_per_s" in event:
            rate = event["requests_per_s"]
            figure = f"{rate:,.0f} requests/s" if rate else "no rate"
            then = f"; {left(state)}" if state.cases_done < state.cases else ""
            print(f"{event['number']}/{state.cases} {event['case']}: {event['state']}, {figure}{then}", file=sys.stderr)

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
