"""A figure inside a page: its picture, what it says for those who do not see it, and the table behind it."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from bmtlib.analysis.plots import FIGURES, save_figure
from bmtlib.analysis.tables import Tables
from bmtlib.report.render import Html, render
from bmtlib.rundir import RunDir


def figure(tables: Tables, name: str, folder: Path | None = None, optional: bool = False) -> Html:
    """The figure `name` (of `plots.FIGURES`), drawn now. With a `folder` it is also kept there as SVG, PNG and CSV.

    An `optional` one without data is left out; else it says why there is nothing to show.
    """
    plot, table = FIGURES[name]
    frame = table(tables)
    if optional and frame.empty:
        return Html("")
    drawn = plot(tables)
    if folder is not None:
        save_figure(drawn, frame, folder, name)
    words = [text.get_text().replace("\n", " ").strip().rstrip(".") for text in drawn.texts]
    return render(
        "figure",
        name=name,
        picture=base64.b64encode(_svg(drawn)).decode(),
        alt=". ".join(word for word in words if word) + ".",
        table=base64.b64encode(frame.to_csv(index=False).encode()).decode() if len(frame) else "",
    )


def shelf(figures: Path, folder: RunDir) -> Path:
    """The folder in `figures` that holds this run's: no run overwrites another's."""
    return figures / folder.path.resolve().name


def _svg(drawn: Figure) -> bytes:
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bmtlib"}):
        drawn.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return buffer.getvalue()
