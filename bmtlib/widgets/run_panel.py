"""The run panel: choose a scenario and a testbed, see the plan, start, watch, stop; then go on to what came of it.

It starts and stops a run through what it is given (`bmtlib.panel` has it): a widget knows no hosts.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote

import ipywidgets
from IPython.display import display

from bmtlib.errors import BmtError
from bmtlib.events import EventTail
from bmtlib.report.outcome import outcome
from bmtlib.report.render import Html, render, table
from bmtlib.rundir import RunDir
from bmtlib.widgets.run_panel_state import Choice, Live, Planned, ending, folder_in, shown_cases

_EVERY_S = 0.5
_WIDE = {"width": "98%"}


class Running(Protocol):
    """A run, or a look at the hosts, that is at work in a process of its own."""

    @property
    def code(self) -> int | None: ...
    def said(self) -> str: ...
    def stop(self) -> None: ...
    def keep_off(self, cpus: Iterable[int]) -> None: ...
    def close(self) -> None: ...


class Way(Protocol):
    """How the panel plans and starts runs."""

    def plan(self, choice: Choice) -> Planned: ...
    def start(self, choice: Choice) -> Running: ...
    def changes(self, choice: Choice) -> Running: ...


class RunPanel:
    """A cell shows it by naming it. What came of a run appears below it, and stays in the saved notebook."""

    def __init__(self, way: Way, first: Choice, *, scenarios: Sequence[str], testbeds: Sequence[str]) -> None:
        self._way = way
        self._running: Running | None = None
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._result: Any = None
        field: dict[str, Any] = {"style": {"description_width": "90px"}, "layout": _WIDE}
        self.scenario = _dropdown("scenario", scenarios, first.scenario, field)
        self.testbed = _dropdown("testbed", testbeds, first.testbed, field)
        self.settings = ipywidgets.Textarea(
            description="settings",
            value=first.settings,
            placeholder="one value a line, as with --set: load.concurrency=400",
            rows=2,
            continuous_update=False,
            **field,
        )
        self.plan, self.cases = ipywidgets.HTML(), ipywidgets.HTML()
        self.start = ipywidgets.Button(description="Start", button_style="primary", icon="play")
        self.stop = ipywidgets.Button(description="Stop", button_style="danger", icon="stop", disabled=True)
        self.changes = ipywidgets.Button(
            description="What would be changed",
            icon="search",
            layout={"width": "auto"},
            tooltip="Looks at the hosts, in a lab that is built for it, and lists every setting. Changes nothing.",
        )
        self.bar = ipywidgets.IntProgress(max=1, layout=_WIDE)
        self.status = ipywidgets.HTML()
        self.rates = ipywidgets.HTML()
        self.said = ipywidgets.HTML()
        self.box = ipywidgets.VBox(
            [
                *(self.scenario, self.testbed, self.settings, self.plan),
                ipywidgets.HBox([self.start, self.stop, self.changes]),
                *(self.bar, self.status, self.rates, self.said, self.cases),
            ]
        )
        self.bar.layout.display = "none"
        for choice in (self.scenario, self.testbed, self.settings):
            choice.observe(lambda _: self._replan(), "value")
        self.start.on_click(lambda _: self._begin(self._way.start))
        self.changes.on_click(lambda _: self._begin(self._way.changes))
        self.stop.on_click(lambda _: self._end())
        self._replan()

    def _ipython_display_(self) -> None:
        display(self.box)
        self._result = display(Html(""), display_id=True)

    @property
    def choice(self) -> Choice:
        return Choice(scenario=self.scenario.value, testbed=self.testbed.value, settings=self.settings.value)

    def wait(self, timeout_s: float | None = None) -> None:
        """Until what is under way has ended and is shown. For tests and for scripts."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    # --- choosing --------------------------------------------------------------------------------------------------

    def _replan(self) -> None:
        """Show what the choice would do, or what is wrong with it."""
        try:
            planned, wrong = self._way.plan(self.choice), False
            self.plan.value, self.cases.value = _plan(planned), table("Cases, in this order", *shown_cases(planned))
        except BmtError as error:
            self.plan.value, self.cases.value, wrong = _alert(str(error)), "", True
        self.start.disabled = self.changes.disabled = wrong or self._running is not None

    # --- running ---------------------------------------------------------------------------------------------------

    def _begin(self, how: Any) -> None:
        if self._running is not None:
            return
        self._stopped, measures = False, how == self._way.start
        self.rates.value = self.said.value = ""
        try:
            self._running = how(self.choice)
        except (BmtError, OSError) as error:
            self.status.value = _alert(str(error))
            return
        self._busy(True)
        self.status.value = _line("starting" if measures else "looking at the hosts")
        self._thread = threading.Thread(
            target=self._watch, args=(self._running, measures), name="bmt-run-panel", daemon=True
        )
        self._thread.start()

    def _end(self) -> None:
        if self._running is not None:
            self._stopped = self.stop.disabled = True
            self.status.value = _line("stopping: the case under way is given up, what was measured is kept")
            self._running.stop()

    def _busy(self, busy: bool) -> None:
        for widget in (self.scenario, self.testbed, self.settings, self.start, self.changes):
            widget.disabled = busy
        self.stop.disabled = not busy

    def _watch(self, running: Running, measures: bool) -> None:
        """In a thread of its own, so that the kernel can do other work meanwhile."""
        live, tail, folder = Live(), None, None
        try:
            while True:
                code = running.code  # before the last look at what it wrote
                if measures and tail is None and (path := folder_in(running.said())):
                    folder = RunDir(path)
                    tail = EventTail(folder)
                if tail is not None:
                    self._show(live, tail, running)
                if code is not None:
                    break
                time.sleep(_EVERY_S)
            self._finish(code, running.said(), folder, measures)
        except BmtError as error:  # events or results that cannot be read
            self.status.value = _alert(str(error))
        finally:
            running.stop()
            running.close()
            self._running = None
            self._busy(False)

    def _show(self, live: Live, tail: EventTail, running: Running) -> None:
        for event in tail.new():
            live.add(event)
            if event["step"] == "run":
                running.keep_off(live.other_cpus)
        now_s = time.time()
        state = live.at(now_s)
        self.bar.layout.display = ""
        self.bar.max, self.bar.value = max(1, state.cases), state.cases_done
        self.bar.bar_style = "warning" if state.problems else ""
        if not self._stopped:
            building = "building the report" in running.said()
            self.status.value = _line("building the report" if building else live.text(now_s))
        self.rates.value = _rates(live) + _problems(state.problems)

    def _finish(self, code: int, said: str, folder: RunDir | None, measures: bool) -> None:
        status = folder.run_json()["status"] if folder is not None else ""
        well, words = ending(code, said, status=status, stopped=self._stopped)
        self.bar.bar_style = "success" if well else "warning"
        if not measures and well:
            words = "Nothing was changed."
        self.status.value = _line(words) if well or self._stopped or status == "interrupted" else _alert(words)
        # A look at the hosts says what it saw; of a run that ended well the result says all.
        self.said.value = "" if well == measures else _text(said)
        if folder is not None and self._result is not None and folder.case_ids():
            self._result.update(_what_came(folder))


def _dropdown(word: str, names: Sequence[str], value: str, field: Mapping[str, Any]) -> ipywidgets.Dropdown:
    """Names to choose from; one more for a file that the notebook's first cell names."""
    options = [*names] if value in names else [*names, value]
    return ipywidgets.Dropdown(description=word, options=options, value=value, **field)


def _plan(planned: Planned) -> Html:
    return Html("<p><strong>{}</strong> {}</p><p>{}; {}. In a terminal: <code>{}</code></p>").format(
        planned.title, planned.question, planned.hosts, planned.size, planned.command
    )


def _rates(live: Live) -> Html:
    bar = Html('<progress value="{}" max="1" aria-label="share of the highest median"></progress>')
    rows = [{**row, "of the highest": bar.format(f"{row['of the highest']:.3f}")} for row in live.rates()]
    note = "So far, of cases that are done. Hosts are not asked during a load: asking would be load."
    return table("Requests per second", rows, note) if rows else Html("")


def _problems(problems: Sequence[str]) -> Html:
    lines = Html("").join(Html("<li>{}</li>").format(text) for text in problems[-5:])
    return Html("<ul>{}</ul>").format(lines) if problems else Html("")


def _line(text: str) -> Html:
    return Html('<span role="status">{}</span>').format(text)


def _alert(text: str) -> Html:
    return Html('<pre role="alert" style="white-space: pre-wrap; color: #b3261e">{}</pre>').format(text)


def _text(text: str) -> Html:
    return Html('<pre style="overflow-x: auto">{}</pre>').format(text)


def _what_came(folder: RunDir) -> Html:
    """Links to the report and to the notebooks that were executed on this run, and its requests/s."""
    there = {"report": "report.html", "how the arms compare": "notebooks/20-compare-arms.ipynb"}
    links = {
        words: Html('<a href="{}">{}</a>').format(quote(os.path.relpath(folder.path / name)), folder.path / name)
        for words, name in there.items()
        if (folder.path / name).exists()
    }
    return render("facts", facts=links) + outcome(folder)
