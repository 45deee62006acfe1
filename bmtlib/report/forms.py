"""How the report's tables write things: what a row is about, levels with units, intervals, ratios, counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from bmtlib.analysis.naming import factor_word
from bmtlib.analysis.tables import Tables
from bmtlib.params.units import size_text
from bmtlib.report.render import MISSING, Number
from bmtlib.texts import say


def nothing() -> str:
    """Stands where a table would be."""
    return say("no case was measured")


def named(tables: Tables, row: Mapping[str, Any]) -> dict[str, object]:
    """The columns that say what a row is about: arm with its engine, and a level of each factor."""
    engine = "" if row["engine"] in (None, "none", row["arm"]) else f" ({row['engine']})"
    return {
        say("arm"): f"{row['arm']}{engine}",
        **{factor_word(name): level(name, row[name]) for name in tables.factors},
    }


def level(name: str, value: object) -> str:
    """A factor's level in words, without a space that a line could break at.

    >>> level("file_size_bytes", 5120).split(), level("threads", 2), level("threads", None)
    (['5', 'KiB'], '2', '–')
    """
    if value is None or value is pd.NA or value != value:
        return MISSING
    return size_text(int(str(value))).replace(" ", "\u00a0") if name == "file_size_bytes" else str(value)


def interval(low: float, high: float, digits: int = 3) -> Number:
    """A 95 % interval; fewer than three blocks have none.

    >>> interval(0.19, 0.764), interval(float("nan"), float("nan"))
    ('0.190 – 0.764', '–')
    """
    if not math.isfinite(low) or not math.isfinite(high):
        return Number(MISSING)
    return Number(f"{Number.of(low, digits)} – {Number.of(high, digits)}")


def ratio(value: float) -> Number:
    """A ratio: two decimals, of a small one two digits that matter.

    >>> ratio(1.2169), ratio(0.0708951)
    ('1.22', '0.071')
    """
    return Number.written(value, ".2f") if abs(value) >= 0.1 else Number.of(value, digits=2)


def ratio_interval(low: float, high: float) -> Number:
    """The interval of a ratio; fewer than three blocks have none."""
    return Number(f"{ratio(low)} – {ratio(high)}") if math.isfinite(low) and math.isfinite(high) else Number(MISSING)


def effect(size: float, low: float, high: float) -> Number:
    """An effect size with its interval; a very large one is only that.

    >>> effect(-2.345, -4.2, -0.31), effect(45.0, 9.0, 70.0), effect(float("nan"), float("nan"), float("nan"))
    ('-2.3 (-4.2 – -0.3)', '> 10', '–')
    """
    if abs(size) > 10:
        return Number("> 10" if size > 0 else "< -10")
    return Number(f"{size:.1f} ({low:.1f} – {high:.1f})") if math.isfinite(size) else Number(MISSING)


def count_of(some: int, all_of_them: int) -> str:
    """So many of so many.

    >>> count_of(3, 5)
    '3 of 5'
    """
    return say("{count} of {total}", count=some, total=all_of_them)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, columns by name."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
