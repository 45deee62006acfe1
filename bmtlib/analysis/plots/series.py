"""Which colour and line each arm gets, the same in every figure of a run."""

from __future__ import annotations

from dataclasses import dataclass

from bmtlib.analysis.naming import named
from bmtlib.analysis.plots.style import KIND_COLOURS, Colour, shade
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import done

_DASHES = ("-", "--", "-.", ":")


@dataclass(frozen=True, kw_only=True)
class Series:
    """What gets one colour: an arm with its own settings."""

    label: str
    kind: str
    colour: Colour
    dash: str


def all_series(tables: Tables) -> dict[str, Series]:
    """Every series of the run by label, in the order in which they are shown."""
    cases = named(tables, done(tables)).drop_duplicates("series")
    found = {}
    for kind, part in cases.groupby("kind", sort=False):
        for place, label in enumerate(part["series"]):
            colour = shade(KIND_COLOURS.get(str(kind), "#222222"), place, len(part))
            dash = _DASHES[place % len(_DASHES)]
            found[label] = Series(label=label, kind=str(kind), colour=colour, dash=dash)
    return found
