"""The raw browser: a case, one of its hosts, and what a probe saw there before and after the load, side by side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ipywidgets

from bmtlib.analysis.raw_files import case_labels, choices, host_labels, shown
from bmtlib.errors import BmtError
from bmtlib.report.render import Html
from bmtlib.rundir import RunDir
from bmtlib.texts import say
from bmtlib.widgets.controls import dropdown, fill, row
from bmtlib.widgets.live import Live
from bmtlib.widgets.pages import problem, raw_page, sentence
from bmtlib.widgets.runs import as_run


class RawBrowser(Live):
    """What a notebook's cell shows by naming it. `widget` is the live part, made when it is asked for.

    run: a run folder; without one the newest in data/
    """

    name = "raw-browser"

    def __init__(self, run: RunDir | Path | str | None = None) -> None:
        self._quiet = False
        try:
            self._given = as_run(run)
            self._page = first_page(self._given)
        except BmtError as error:
            self._page = problem(error)

    def _build(self) -> ipywidgets.Widget:
        self.run = self._choose_run()
        self.case, self.host, self.probe = dropdown("case"), dropdown("host"), dropdown("probe")
        self.changes = ipywidgets.Checkbox(value=True, description="only what changed", indent=False)
        self.page = ipywidgets.HTML(str(self._page))
        for control, below in ((self.run, self._cases), (self.case, self._hosts), (self.host, self._probes)):
            control.observe(lambda _, below=below: self._follow(below), "value")
        for control in (self.probe, self.changes):
            control.observe(lambda _: self._follow(None), "value")
        self._follow(self._cases)
        return ipywidgets.VBox([self.run, row(self.case, self.host, self.probe), self.changes, self.page])

    def _follow(self, below: Callable[[], None] | None) -> None:
        """Fill the controls below the one that changed, then show what they say."""
        if self._quiet:
            return
        self._quiet = True
        try:
            if below is not None:
                below()
            self.page.value = str(self._read())
        except BmtError as error:
            self.page.value = str(problem(error))
        finally:
            self._quiet = False

    def _opened(self) -> RunDir:
        return RunDir.open(self._runs[self.run.value].path)

    def _cases(self) -> None:
        found = case_labels(self._opened()) if self.run.value else {}
        fill(self.case, [(label, case) for case, label in found.items()])
        self._hosts()

    def _hosts(self) -> None:
        """The host, and then the probe, stay what they were where the new case has them too."""
        found = host_labels(self._opened(), self.case.value) if self.case.value else {}
        fill(self.host, [(label, host) for host, label in found.items()])
        self._probes()

    def _probes(self) -> None:
        there = self.case.value and self.host.value
        found = choices(self._opened(), self.case.value, self.host.value) if there else []
        fill(self.probe, [(choice.label, choice) for choice in found])

    def _read(self) -> Html:
        if not self.run.value:
            return sentence(say("There is no run in data/."))
        if not self.case.value:
            return sentence(say("No case of this run was tried, so there are no raw files."))
        if not self.probe.value:
            return sentence(say("There are no raw files of this case."))
        found = shown(
            self._opened(), self.case.value, self.host.value, self.probe.value, changes=bool(self.changes.value)
        )
        return raw_page(found)


def first_page(run: RunDir) -> Html:
    """The first probe of the first host of the first case."""
    for case in case_labels(run):
        for host in host_labels(run, case):
            for choice in choices(run, case, host):
                return raw_page(shown(run, case, host, choice))
    return sentence(say("No case of this run was tried, so there are no raw files."))


def raw_browser(run: RunDir | Path | str | None = None) -> RawBrowser:
    """The raw browser of a run, for the last line of a notebook's cell."""
    return RawBrowser(run)
