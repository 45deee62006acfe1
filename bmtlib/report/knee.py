"""The chapter on the knee: where it lies, and what clients waited below it. Empty where nothing was searched."""

from __future__ import annotations

import pandas as pd

from bmtlib.analysis import compare
from bmtlib.analysis.knee import UNITS, knee_sentences, objective_text
from bmtlib.analysis.tables import Tables
from bmtlib.report.forms import count_of, nothing, records
from bmtlib.report.render import Html, Number, table
from bmtlib.texts import say, translated


def knees(tables: Tables) -> Html:
    """The interval of each arm's knee."""
    if tables.search is None:
        return Html("")
    unit = translated(UNITS[tables.search.vary])
    rows = [
        {
            say("arm"): f"{row['arm']} ({row['engine']})",
            say("kept up to ({unit})", unit=unit): Number.of(_known(row["knee_low"])),
            say("broken from ({unit})", unit=unit): Number.of(_known(row["knee_high"])),
            say("search"): translated(row["ending"]),
            say("what broke"): row["broke"],
            say("what limited there"): "" if row["limit_words"] is pd.NA else row["limit_words"],
            say("cases"): Number.of(row["cases"]),
        }
        for row in records(compare.df_knees(tables))
    ]
    note = " ".join(
        [say("Objective: {objective}.", objective=objective_text(tables.search)), *knee_sentences(tables)[1:]]
    )
    return table(say("The knee of each arm"), rows, note, nothing())


def waits_at_knee(tables: Tables) -> Html:
    """What clients waited at shares of the lowest knee."""
    found = compare.df_waits_at_knee(tables)
    if tables.search is None or found.empty:
        return Html("")
    unit = translated(UNITS[tables.search.vary])
    percents = {"50 %": "p50_ms", "90 %": "p90_ms", "99 %": "p99_ms", "99.9 %": "p99_9_ms", say("longest"): "max_ms"}
    rows = [
        {
            say("of the knee"): Number(f"{row['percent']}\u00a0%"),
            unit: Number.of(row["level"]),
            say("arm"): f"{row['arm']} ({row['engine']})",
            **{f"{word} (ms)": Number.of(row[column]) for word, column in percents.items()},
            say("requests"): Number.of(row["requests"]),
            say("kept"): Number(count_of(row["kept"], row["cases"])),
        }
        for row in records(found)
    ]
    note = say(
        "Shares of the lowest knee of the arms that pass the director, and the same load for all arms: at shares of "
        "its own knee each would be asked for another load, and waits could not be compared. Pooled over all requests."
    )
    return table(say("What clients waited below the knee"), rows, note)


def _known(value: object) -> int | None:
    return None if value is None or value is pd.NA else int(str(value))
