"""What widgets show, as HTML: the same for a live widget and for the copy that stays in an exported notebook."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from itertools import count
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from bmtlib.analysis.capacity import Demand
from bmtlib.analysis.directors import answers, df_planned, why_not
from bmtlib.analysis.explore import BLOCK, View, df_explored
from bmtlib.analysis.explore_words import metric_words, notes
from bmtlib.analysis.plots.directors import plot_directors
from bmtlib.analysis.plots.explored import plot_explored
from bmtlib.analysis.plots.style import lay_out
from bmtlib.analysis.raw_files import Shown
from bmtlib.analysis.tables import Tables
from bmtlib.errors import BmtError
from bmtlib.report.forms import interval, named, records
from bmtlib.report.render import MISSING, Html, Number, render, table
from bmtlib.texts import say, translated

_shown = count(1)


def _anchor() -> str:
    """An id that no other table has: a live widget and its copy for export are in one page."""
    return f"t-shown-{next(_shown)}"


def sentence(text: str) -> Html:
    """A text alone, where a figure would be."""
    return render("explored", notes=[text], picture="", alt="", table="")


def problem(error: BmtError) -> Html:
    """An error in place of what it kept from being shown."""
    return render("explored", notes=str(error).splitlines(), picture="", alt="", table="")


def explored_page(tables: Tables, view: View | None) -> Html:
    """A view of a run: what has to be known first, the figure, the table under it."""
    said = notes(tables, view)
    if view is None:
        return render("explored", notes=said or [say("There is nothing to show.")], picture="", alt="", table="")
    return _page(said, plot_explored(tables, view), _explored_table(tables, view))


def _page(said: Sequence[str], drawn: Figure, below: Html) -> Html:
    words = [text.get_text().replace("\n", " ").strip().rstrip(".") for text in drawn.texts]
    alt = ". ".join(word for word in words if word) + "."
    return render("explored", notes=said, picture=base64.b64encode(svg(drawn)).decode(), alt=alt, table=below)


def svg(drawn: Figure) -> bytes:
    """A figure as SVG, its layout made once."""
    lay_out(drawn)
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bmtlib"}):
        FigureCanvasSVG(drawn).print_svg(buffer, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return buffer.getvalue()


def _explored_table(tables: Tables, view: View) -> Html:
    frame, metric = df_explored(tables, view), view.metric
    words = metric_words(metric)
    if view.trials or view.x == BLOCK:
        rows = [
            {
                "case": row["case"],
                **named(tables, row),
                "block": Number(row["block"]),
                words: Number.of(row[metric]),
                "marked by": row["marks"] or MISSING,
            }
            for row in records(frame)
        ]
    else:
        rows = [
            {
                **named(tables, row),
                f"{words}, median": Number.of(row[metric]),
                "95 % interval": interval(row["low"], row["high"]),
                "lowest to highest block": interval(row["min"], row["max"]),
                "blocks": Number(row["n"]),
            }
            for row in records(frame)
        ]
    return table(say("{metric}: what the figure shows", metric=words), rows, anchor=_anchor())


def planned_page(tables: Tables, demand: Demand, directors: int = 0) -> Html:
    """How many directors a demand takes by arm; with `directors`, also what so many carry."""
    if why := why_not(tables, demand):
        return sentence(why)
    said = answers(tables, demand, directors)
    return _page(said, plot_directors(tables, demand), _planned_table(df_planned(tables, demand)))


def _planned_table(frame: pd.DataFrame) -> Html:
    rows = [
        {
            "arm": row["series"],
            "directors": Number.of(None if pd.isna(row["directors"]) else int(row["directors"])),
            "95 % interval": _ends(row["directors_low"], row["directors_high"]),
            "limited by": translated(row["limit"]) if isinstance(row["limit"], str) else row["why"],
            "one carries, requests/s": Number.of(row["per_director_per_s"]),
            "its 95 % interval": interval(row["per_director_low"], row["per_director_high"]),
            "by CPU alone": Number.of(row["cpu_per_s"]),
            "by link in": Number.of(row["link_in_per_s"]),
            "by link out": Number.of(row["link_out_per_s"]),
        }
        for row in records(frame)
    ]
    return table(say("Directors by arm, and what limits one of them"), rows, anchor=_anchor())


def _ends(low: Any, high: Any) -> Number:
    if pd.isna(low):
        return Number(MISSING)
    return Number(f"{low} – {'?' if pd.isna(high) else high}")


def raw_page(shown: Shown) -> Html:
    """Raw files, each character of them as text."""
    return render("raw_pair", shown=shown)
