"""The controls of all widgets: each with a label of its own that has room, and that a screen reader reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets


def dropdown(label: str, options: Sequence[Any] = (), value: Any = None, width: str = "22rem") -> ipywidgets.Dropdown:
    """A choice with its label."""
    layout = ipywidgets.Layout(width=width, max_width="100%")
    return ipywidgets.Dropdown(
        description=label, options=options, value=value, layout=layout, style={"description_width": "7rem"}
    )


def number(label: str, value: float, low: float, high: float, step: float) -> ipywidgets.BoundedFloatText:
    """A number with its label and its limits. It counts when the field is left or Enter is pressed."""
    return ipywidgets.BoundedFloatText(
        description=label,
        value=value,
        min=low,
        max=high,
        step=step,
        layout=ipywidgets.Layout(width="19rem", max_width="100%"),
        style={"description_width": "10rem"},
    )


def row(*controls: ipywidgets.Widget) -> ipywidgets.Box:
    """Controls beside each other, as far as there is room."""
    layout = ipywidgets.Layout(flex_flow="row wrap", align_items="center", grid_gap="0 1rem", display="flex")
    return ipywidgets.Box(list(controls), layout=layout)


def fill(control: ipywidgets.Dropdown, options: Sequence[tuple[str, Any]], value: Any = None) -> None:
    """Other options, and a value among them: the one given, else the one that it had, else the first.

    Call it while events are not listened to: ipywidgets goes through values of its own.
    """
    values = [found for _, found in options]
    wanted = value if value is not None else control.value
    if tuple(control.options) != tuple(options):
        control.options = options
    control.value = wanted if wanted in values else next(iter(values), None)
