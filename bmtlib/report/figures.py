"""A figure inside a page: what it shows in words, its picture, and the table behind it."""

from __future__ import annotations

import base64
import gzip
import io
import re
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from bmtlib.analysis.plots import FIGURES, save_figure
from bmtlib.analysis.plots.style import lay_out
from bmtlib.analysis.tables import Tables
from bmtlib.report.render import Html, render
from bmtlib.rundir import RunDir
from bmtlib.texts import language, say

_POINTS_PER_IN = 72
_LARGE_BYTES = 50_000
# Of cases at planned levels: those that a search tries are its own choice, and there are many.
_NOT_OF_A_SEARCH = ("throughput", "ratio-forest", "rate-over-time", "seed-slope")


def figure(tables: Tables, name: str, folder: Path | None = None, optional: bool = False) -> Html:
    """The figure `name` (of `plots.FIGURES`), drawn now. With a `folder` it is also kept there as SVG, PNG and CSV.

    An `optional` one without data is left out, as is one that says nothing of a search (`bmt knee`); else it says why
    there is nothing to show. What the figure says is text of the page, where it can be read on a phone and by a screen
    reader; a kept file has it in the picture.
    """
    plot, table = FIGURES[name]
    with language("en"):  # a file of data is the same in every language
        frame = table(tables)
    if (optional and frame.empty) or (tables.search is not None and name in _NOT_OF_A_SEARCH):
        return Html("")
    drawn = plot(tables)
    if folder is not None:
        save_figure(drawn, frame, folder, name)
    return shown(name, drawn, frame)


def shown(name: str, drawn: Figure, frame: pd.DataFrame) -> Html:
    """A figure that was drawn from the rows of `frame`."""
    title, *notes = (" ".join(text.get_text().split()) for text in drawn.texts)
    picture = _picture(drawn) if drawn.axes else b""
    return render(
        "figure",
        name=name,
        title=title,
        note=" ".join(note for note in notes if note),
        picture=base64.b64encode(picture).decode(),
        alt=say("Chart: {title}", title=title),
        table=_attached(frame) if len(frame) else None,
    )


def _attached(table: pd.DataFrame) -> dict[str, str]:
    """A table as a file inside the page: ending, media type, and content in base64. A large one is compressed, so that
    a page of hundreds of cases can still be sent by mail; spreadsheets open the small ones as they are."""
    content = table.to_csv(index=False).encode()
    ending, kind = "csv", "text/csv"
    if len(content) > _LARGE_BYTES:
        ending, kind, content = "csv.gz", "application/gzip", gzip.compress(content, mtime=0)
    return {"ending": ending, "kind": kind, "content": base64.b64encode(content).decode()}


def shelf(figures: Path, folder: RunDir) -> Path:
    """The folder in `figures` that holds this run's: no run overwrites another's."""
    return figures / folder.path.resolve().name


def _picture(drawn: Figure) -> bytes:
    """The figure as SVG without its head: heading and note, which are above the rest, are hidden and cut off."""
    lay_out(drawn)
    head = drawn.texts[:2]
    lowest_px = min((text.get_window_extent().y0 for text in head if text.get_text()), default=drawn.bbox.height)
    for text in head:
        text.set_visible(False)
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bmtlib"}):
        drawn.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    width, height = (_POINTS_PER_IN * float(inches) for inches in drawn.get_size_inches())
    left = lowest_px / drawn.dpi * _POINTS_PER_IN
    svg = buffer.getvalue().decode()
    for name, value in {"height": f"{left:g}pt", "viewBox": f"0 {height - left:g} {width:g} {left:g}"}.items():
        svg = re.sub(rf'(<svg [^>]*?\b{name}=")[^"]*', rf"\g<1>{value}", svg, count=1)
    return svg.encode()
