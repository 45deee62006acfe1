"""The capacity planner: how many directors a demand takes with each arm, from what a run measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipywidgets

from bmtlib.analysis.capacity import Demand
from bmtlib.analysis.tables import Tables
from bmtlib.errors import BmtError
from bmtlib.report.render import Html
from bmtlib.rundir import RunDir
from bmtlib.widgets.controls import number, row
from bmtlib.widgets.live import Live
from bmtlib.widgets.pages import planned_page, problem
from bmtlib.widgets.runs import Reader, as_run


class Planner(Live):
    """What a notebook's cell shows by naming it. `widget` is the live part, made when it is asked for.

    run: a run in which the size of the file was varied; without one the newest in data/. directors: how many there
    are, 0 for not said. The other words are those of `capacity.Demand`
    """

    name = "capacity-planner"

    def __init__(
        self,
        run: RunDir | Path | str | None = None,
        tables: Tables | None = None,
        *,
        demand: Demand | None = None,
        directors: int = 0,
    ) -> None:
        self._reader = Reader()
        self._demand = demand or Demand(requests_per_s=50_000, kib=20, gbit_per_s=10, use=0.7)
        self._directors = directors
        try:
            self._given = as_run(run)
            if tables is not None:
                self._reader.keep(self._given, tables)
            self._page = planned_page(self._reader.tables(self._given), self._demand, directors)
        except BmtError as error:
            self._page = problem(error)

    def _build(self) -> ipywidgets.Widget:
        asked = self._demand
        self.run = self._choose_run()
        self.requests = number("requests/s", asked.requests_per_s, 1, 1e9, 1000)
        self.kib = number("KiB in an answer", asked.kib, 0.01, 1e6, 1)
        self.gbit = number("link, Gbit/s", asked.gbit_per_s, 0.01, 1e4, 1)
        self.use = number("in use at most, %", round(100 * asked.use, 3), 1, 100, 5)
        self.cpus = number("CPUs in a director", asked.cpus or 0, 0, 4096, 1)
        self.directors = number("directors at hand", self._directors, 0, 1e6, 1)
        self.cpus.tooltip = "0: as many as were measured"
        self.directors.tooltip = "0: not said"
        self.page = ipywidgets.HTML(str(self._page))
        controls = (self.run, self.requests, self.kib, self.gbit, self.use, self.cpus, self.directors)
        for control in controls:
            control.observe(self._changed, "value")
        hint = ipywidgets.Label("CPUs 0: as many as were measured. Directors 0: not said.")
        return ipywidgets.VBox([self.run, row(*controls[1:]), hint, self.page])

    def _changed(self, _: Any) -> None:
        self.page.value = str(self._planned())

    def _planned(self) -> Html:
        if not self.run.value:
            return self._page
        try:
            demand = Demand(
                requests_per_s=self.requests.value,
                kib=self.kib.value,
                gbit_per_s=self.gbit.value,
                use=self.use.value / 100,
                cpus=round(self.cpus.value) or None,
            )
            return planned_page(self._reader.tables(self._runs[self.run.value]), demand, round(self.directors.value))
        except BmtError as error:
            return problem(error)


def planner(
    run: RunDir | Path | str | None = None,
    tables: Tables | None = None,
    *,
    demand: Demand | None = None,
    directors: int = 0,
) -> Planner:
    """The capacity planner of a run, for the last line of a notebook's cell."""
    return Planner(run, tables, demand=demand, directors=directors)
