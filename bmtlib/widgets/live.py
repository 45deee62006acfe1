"""A widget where somebody can use it, and what it shows at first as plain HTML everywhere else.

Notebooks that are run in batch (papermill, nbconvert) get the HTML alone. Where somebody sits before the notebook it is
there too, but hidden as long as the widget lives: a notebook that is saved, exported or opened again without its kernel
shows a figure and no dead widget.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import uuid4

from bmtlib.report.render import Html, render
from bmtlib.rundir import RunDir
from bmtlib.widgets.runs import offered

if TYPE_CHECKING:
    import ipywidgets


class Live:
    """What a notebook's cell shows by naming it: a page, and the widget in its place, made when it is asked for."""

    name = ""  # of its CSS class
    _page: Html
    _given: RunDir | None = None  # None: the run could not be opened, and the page says why
    _made: ipywidgets.Widget | None = None

    def _ipython_display_(self) -> None:
        show(self._page, lambda: self.widget, self.name)

    @property
    def widget(self) -> ipywidgets.Widget:
        if self._made is None:
            self._made = self._build()
        return self._made

    def _build(self) -> ipywidgets.Widget:
        raise NotImplementedError

    def _choose_run(self) -> ipywidgets.Dropdown:
        """A control to choose among the runs, which are kept by name in `_runs`; the one given is chosen."""
        from bmtlib.widgets.controls import dropdown

        self._runs = offered(self._given)
        name = next((name for name, run in self._runs.items() if run is self._given), None)
        return dropdown("run", list(self._runs), name, width="34rem")


def show(page: Html, build: Callable[[], ipywidgets.Widget], name: str) -> None:
    """Display `page`, and the widget that `build` makes in its place when somebody is there to use it."""
    from IPython.display import display

    style = render("widget_style")
    if not somebody_is_there():
        display(Html("{}{}").format(style, page))
        return
    import ipywidgets

    key = f"bmt-{uuid4().hex[:12]}"
    display(Html('{}<div id="{}">{}</div>').format(style, key, page))
    hide = ipywidgets.HTML(f"<style>#{key} {{ display: none }}</style>", layout=ipywidgets.Layout(display="none"))
    root = ipywidgets.VBox([hide, build()])
    root.add_class("bmt-widget")
    root.add_class(f"bmt-{name}")
    content = {
        "text/plain": f"The {name.replace('-', ' ')}: run this cell in JupyterLab to choose what is shown.",
        "application/vnd.jupyter.widget-view+json": {
            "version_major": 2,
            "version_minor": 0,
            "model_id": root.model_id,
        },
    }
    display(content, raw=True)


def somebody_is_there() -> bool:
    """Whether the running cell was asked for by a frontend in which somebody can answer.

    Batch runners say in each request that nobody can (allow_stdin, Jupyter's messaging protocol).
    """
    from IPython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return False
    request = kernel.get_parent("shell")
    return bool(request.get("content", {}).get("allow_stdin"))
