"""The explorer: any run, any metric over any factor, with its table and its files. What it shows is in `pages`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import ipywidgets

from bmtlib.analysis.explore import (
    ARM,
    BLOCK,
    View,
    arms,
    df_explored,
    first_held,
    first_view,
    fitted,
    left_over,
    levels,
    metrics,
    varied,
)
from bmtlib.analysis.explore_words import column_words, metric_words
from bmtlib.analysis.naming import level
from bmtlib.analysis.plots import save_figure
from bmtlib.analysis.plots.explored import plot_explored
from bmtlib.analysis.tables import Tables
from bmtlib.errors import BmtError
from bmtlib.report.figures import shelf
from bmtlib.report.parameters import find
from bmtlib.report.render import Html
from bmtlib.rundir import RunDir
from bmtlib.widgets.controls import dropdown, fill, row
from bmtlib.widgets.live import Live
from bmtlib.widgets.pages import explored_page, problem
from bmtlib.widgets.runs import Reader, as_run

_EACH = "each by itself"  # a factor that is not held


class Explorer(Live):
    """What a notebook's cell shows by naming it. `widget` is the live part, made when it is asked for.

    run: a run folder; without one the newest in data/. tables: of that run, where they have been read already.
    figures: the folder in which the explorer keeps what is exported, in one of its own for each run
    """

    name = "explorer"

    def __init__(
        self, run: RunDir | Path | str | None = None, tables: Tables | None = None, figures: Path | str = "figures"
    ) -> None:
        self._reader, self._figures, self._quiet = Reader(), find(str(figures)), False
        try:
            self._given = as_run(run)
            if tables is not None:
                self._reader.keep(self._given, tables)
            self._tables: Tables | None = self._reader.tables(self._given)
            self._view = first_view(self._tables)
            self._page = explored_page(self._tables, self._view)
        except BmtError as error:
            self._tables, self._view, self._page = None, None, problem(error)

    def _build(self) -> ipywidgets.Widget:
        self.run = self._choose_run()
        self.metric, self.x, self.split = dropdown("metric"), dropdown("along x"), dropdown("split by")
        self.show_as = dropdown("show", [("median and interval", False), ("single cases", True)], False)
        self.log = ipywidgets.Checkbox(description="logarithmic values", indent=False)
        self.arms, self.held = row(), row()
        self.folder = ipywidgets.Text(description="export to", layout=ipywidgets.Layout(width="26rem"))
        self.export = ipywidgets.Button(description="Export figure and table", layout=ipywidgets.Layout(width="14rem"))
        self.page, self.exported = ipywidgets.HTML(), ipywidgets.HTML()
        self.run.observe(self._other_run, "value")
        for control in (self.metric, self.x, self.split, self.show_as, self.log):
            control.observe(self._changed, "value")
        self.export.on_click(self._export)
        self._options()
        self._draw()
        return ipywidgets.VBox(
            [
                self.run,
                row(self.metric, self.x, self.split),
                self.arms,
                self.held,
                row(self.show_as, self.log),
                self.page,
                row(self.folder, self.export),
                self.exported,
            ]
        )

    # --- from the run to the controls --------------------------------------------------------------------------------

    def _options(self) -> None:
        """Fill all controls with what the run has, as the view says."""
        self._quiet = True
        try:
            self.folder.value = str(shelf(self._figures, self._runs[self.run.value])) if self.run.value else ""
            nothing = self._tables is None or self._view is None
            for control in (self.metric, self.x, self.split, self.show_as, self.log, self.export, self.folder):
                control.disabled = nothing
            if self._tables is None or self._view is None:
                self.arms.children = self.held.children = ()
                return
            factors = [(column_words(column), column) for column in varied(self._tables)]
            fill(self.metric, [(metric_words(name), name) for name in metrics(self._tables)], self._view.metric)
            fill(self.x, [("arm", ARM), *factors, ("block", BLOCK)], self._view.x)
            self._arm_boxes(self._tables, self._view)
            self._level_boxes(self._tables, self._view)
            self._follow()
        finally:
            self._quiet = False

    def _arm_boxes(self, tables: Tables, view: View) -> None:
        boxes = [
            ipywidgets.Checkbox(
                value=arm in view.arms, description=arm, indent=False, layout=ipywidgets.Layout(width="auto")
            )
            for arm in arms(tables)
        ]
        for box in boxes:
            box.observe(self._changed, "value")
        self.arms.children = (ipywidgets.Label("arms"), *boxes)

    def _level_boxes(self, tables: Tables, view: View) -> None:
        """One for each factor: which of its levels is shown, when it is neither along x nor split."""
        self._levels: dict[str, ipywidgets.Dropdown] = {}
        held = first_held(tables) | dict(view.held)
        for column in varied(tables):
            choices = [(_EACH, None), *((level(column, value), value) for value in levels(tables, column))]
            self._levels[column] = dropdown(column_words(column), choices, held.get(column))
            self._levels[column].observe(self._changed, "value")

    def _follow(self) -> None:
        """What one control leaves for the others: a factor has one place."""
        assert self._tables is not None
        assert self._view is not None
        free = [column for column in varied(self._tables) if column != self._view.x]
        fill(self.split, [("nothing", ""), *((column_words(column), column) for column in free)], self._view.split)
        boxes = [self._levels[column] for column in left_over(self._tables, self._view)]
        self.held.children = (ipywidgets.Label("show of the others"), *boxes) if boxes else ()

    # --- from the controls to the page -------------------------------------------------------------------------------

    def _changed(self, _: Any) -> None:
        if self._quiet or self._tables is None or self._view is None:
            return
        chosen = View(
            metric=self.metric.value,
            arms=tuple(box.description for box in self.arms.children[1:] if box.value),
            x=self.x.value,
            split=self.split.value or "",
            held={column: box.value for column, box in self._levels.items() if box.value is not None},
            trials=self.show_as.value,
            log=self.log.value,
        )
        self._view = fitted(self._tables, chosen)
        self._quiet = True
        try:
            self._follow()
            self._tick(chosen)
        finally:
            self._quiet = False
        self._draw()

    def _tick(self, chosen: View) -> None:
        """No arm at all is no view: then all of them are shown again, and the boxes say so."""
        assert self._view is not None
        if not chosen.arms:
            for box in self.arms.children[1:]:
                box.value = box.description in self._view.arms

    def _other_run(self, _: Any) -> None:
        self.exported.value = ""
        self.page.value = Html("<p>{}</p>").format(f"Reading {self.run.value} …")
        try:
            self._tables = self._reader.tables(self._runs[self.run.value])
            self._view = fitted(self._tables, self._view) if self._view else first_view(self._tables)
        except BmtError as error:
            self._tables, self._view, self._page = None, None, problem(error)
        self._options()
        self._draw()

    def _draw(self) -> None:
        if self._tables is not None:
            self._page = explored_page(self._tables, self._view)
        self.page.value = str(self._page)

    def _export(self, _: Any) -> None:
        if self._tables is None or self._view is None:
            return
        folder = (
            find(self.folder.value) if self.folder.value.strip() else shelf(self._figures, self._runs[self.run.value])
        )
        try:
            drawn, table = plot_explored(self._tables, self._view), df_explored(self._tables, self._view)
            paths = save_figure(drawn, table, folder, file_name(self._view))
        except BmtError as error:
            self.exported.value = str(Html("<p>{}</p>").format(f"Nothing was kept: {error}".replace("\n", ";")))
            return
        text = f"Wrote {', '.join(path.name for path in paths)} in {folder}"
        self.exported.value = str(Html("<p>{}</p>").format(text))


def file_name(view: View) -> str:
    """What a view's files are called: other views have other names.

    >>> file_name(View(metric="requests_per_s", arms=("l2dsr",), x="threads", split="tuning", trials=True))
    'explored-requests_per_s-by-threads-split-tuning-cases-of-l2dsr'
    """
    parts = ["explored", view.metric, "by", view.x]
    parts += ["split", view.split] if view.split else []
    parts += [
        f"at-{column}-{value}" for column, value in sorted(view.held.items()) if column not in (view.x, view.split)
    ]
    parts += ["cases"] if view.trials else []
    parts += ["log"] if view.log else []
    return re.sub(r"[^\w.-]+", "_", "-".join([*parts, "of", *view.arms]))[:200]


def explorer(
    run: RunDir | Path | str | None = None, tables: Tables | None = None, figures: Path | str = "figures"
) -> Explorer:
    """The explorer of a run, for the last line of a notebook's cell."""
    return Explorer(run, tables, figures)
