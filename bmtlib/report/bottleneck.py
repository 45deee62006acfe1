"""Who was the bottleneck: what limited each arm, and each case, with the counters that prove it."""

from __future__ import annotations

from bmtlib.analysis import compare
from bmtlib.analysis.finding import LIMITS
from bmtlib.analysis.tables import Tables
from bmtlib.report.render import MISSING, Html, Number, render, table
from bmtlib.report.results import named, records

_NOTHING = "no case was measured"


def by_arm(tables: Tables) -> Html:
    """The most frequent limit of each arm at each choice of levels."""
    rows = [
        {
            **named(tables, row),
            "limited by": row["words"],
            "cases": Number(f"{row['cases']} of {row['of']}"),
            "next": _words(row["runner_up"]),
            "other cases": row["others"] or MISSING,
            "how it shows, for example": f"{row['example']}: {row['evidence']}",
        }
        for row in records(compare.df_limit_by_arm(tables))
    ]
    note = (
        "A rule for each resource says how far it was used. What refuses connections, or passes them at a rate of its "
        "own, goes before a full CPU, and that before a queue, which a full CPU fills as well."
    )
    return table("What limited each arm", rows, note, _NOTHING, anchor="t-limits")


def by_case(tables: Tables) -> Html:
    """Every case with its limit, the runner-up, and what proves both."""
    rows = [
        {
            "case": row["case"],
            "limited by": row["words"],
            "proof": row["evidence"],
            "next": _words(row["runner_up"]),
            "its proof": row["runner_up_evidence"] if isinstance(row["runner_up_evidence"], str) else MISSING,
        }
        for row in records(compare.df_bottleneck(tables))
    ]
    content = table("What limited each case", rows, empty=_NOTHING, anchor="t-limit-by-case")
    return render("details", summary=f"All {len(rows)} cases that were measured", content=content)


def _words(limit: object) -> str:
    return LIMITS[limit] if isinstance(limit, str) else MISSING
