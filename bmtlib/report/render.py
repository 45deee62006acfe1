"""Values into HTML. Text from hosts and scenarios becomes HTML here and nowhere else, always escaped (by Jinja2)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypeGuard
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bmtlib.rundir import RunDir
from bmtlib.texts import say, say_n, translated

TEMPLATES = Path(__file__).parent / "templates"

MISSING = "–"

# Of a table with more rows than fit a screen the first are shown, the others folded.
_FOLD_ABOVE, _SHOWN = 20, 12


class Html(Markup):
    """HTML that is safe to show. A notebook shows it as the value of a cell."""

    def _repr_html_(self) -> str:
        return str(self)

    def __repr__(self) -> str:  # what a notebook keeps beside it for readers without HTML
        return " ".join(self.striptags().split())[:2000]


class Number(str):
    """A figure as text: tables set it to the right. Its default form has thousands separators.

    >>> Number.of(13258.52), Number.of(0.02847), Number.of(None), Number.of(1.3148, digits=3)
    ('13,259', '0.0285', '–', '1.31')
    """

    @classmethod
    def of(cls, value: object, digits: int = 3) -> Number:
        """`value` with `digits` significant digits, and never fewer than its whole part has."""
        if not _known(value):
            return cls(MISSING)
        whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
        if isinstance(value, int) or whole >= digits:
            return cls(f"{value:,.0f}")
        leading = 0 if whole or not value else -math.floor(math.log10(abs(value))) - 1
        return cls(f"{value:,.{digits - whole + leading}f}")

    @classmethod
    def written(cls, value: object, form: str) -> Number:
        """`value` in a form of Python's format().

        >>> Number.written(1234, ","), Number.written(0.5, ".0%").split(), Number.written(float("nan"), ".1%")
        ('1,234', ['50', '%'], '–')
        """
        return cls(format(value, form).replace("%", "\u00a0%") if _known(value) else MISSING)


def _known(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and math.isfinite(value)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES / "parts"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["quantity"] = lambda value: isinstance(value, Number)
    environment.globals.update(say=say, say_n=say_n, say_html=say_html, translated=translated)
    environment.filters["slug"] = lambda text: "t-" + re.sub(r"\W+", "-", text.lower())
    return environment


def render(template: str, **values: object) -> Html:
    """The part `templates/parts/<template>.html.j2` with `values`."""
    return Html(_environment().get_template(f"{template}.html.j2").render(**values))


def say_html(text: str, /, **values: object) -> Html:
    """As `say`, of a text that has tags of its own; values that are no HTML are escaped.

    >>> str(say_html("<b>{name}</b>", name="<i>"))
    '<b>&lt;i&gt;</b>'
    """
    return Html(translated(text)).format(**values)


def table(
    caption: str,
    rows: Sequence[Mapping[str, object]],
    note: str = "",
    empty: str = "",
    anchor: str = "",
) -> Html:
    """Rows as a table, the keys as its head. The first column names the row; a `Number` is set to the right.

    `anchor`: its id in the page, where others link to it: the same in every language; without, made of the caption. Of
    many rows the first are shown, and the others folded.

    >>> table("Rates", [{"arm": "a<b", "requests/s": Number("9")}], anchor="t-rates").count("a&lt;b")
    1
    """
    shown = len(rows) if len(rows) <= _FOLD_ABOVE else _SHOWN
    columns = list(rows[0]) if rows else []
    return render(
        "table",
        caption=caption,
        rows=rows,
        columns=columns,
        shown=shown,
        more=say("{count} more rows", count=len(rows) - shown),
        note=note,
        empty=empty or say("nothing to show"),
        anchor=anchor,
    )


def link(folder: RunDir, path: str, text: str) -> Html:
    """A link to a file of the run folder, or the bare text when the run did not come to write that file.

    `path` is relative to the run folder; notebooks, in which the link must work too, lie one folder below it.
    """
    form = '<a href="../{}">{}</a>' if (folder.path / path).exists() else "{1}"
    return Html(form).format(quote(path), text)
