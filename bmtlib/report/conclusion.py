"""The end of a notebook: what follows from its tables, as a reader wants it."""

from __future__ import annotations

from collections.abc import Sequence

from bmtlib.report.render import Html, render


def conclusion(sentences: Sequence[str]) -> Html:
    """Sentences that were computed, the first of them large.

    >>> conclusion(["a < b."]).count("a &lt; b.")
    1
    """
    return render("conclusion", sentences=sentences)
