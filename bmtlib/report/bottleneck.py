"""Who was the bottleneck: what limited each arm, and each case, with the counters that prove it."""

from __future__ import annotations

from bmtlib.analysis import compare
from bmtlib.analysis.finding import LIMITS
from bmtlib.analysis.tables import Tables
from bmtlib.report.forms import count_of, named, nothing, records
from bmtlib.report.render import MISSING, Html, Number, render, table
from bmtlib.texts import say, translated


def by_arm(tables: Tables) -> Html:
    """The most frequent limit of each arm at each choice of levels."""
    rows = [
        {
            **named(tables, row),
            say("limited by"): row["words"],
            say("cases"): Number(count_of(row["cases"], row["of"])),
            say("next"): _words(row["runner_up"]),
            say("other cases"): row["others"] or MISSING,
            say("how it shows, for example"): f"{row['example']}: {row['evidence']}",
        }
        for row in records(compare.df_limit_by_arm(tables))
    ]
    note = say(
        "A rule for each resource says how far it was used. What refuses connections, or passes them at a rate of its "
        "own, goes before a full CPU, and that before a queue, which a full CPU fills as well."
    )
    return table(say("What limited each arm"), rows, note, nothing(), anchor="t-limits")


def by_case(tables: Tables) -> Html:
    """Every case with its limit, the runner-up, and what proves both."""
    rows = [
        {
            say("case"): row["case"],
            say("limited by"): row["words"],
            say("proof"): row["evidence"],
            say("next"): _words(row["runner_up"]),
            say("its proof"): row["runner_up_evidence"] if isinstance(row["runner_up_evidence"], str) else MISSING,
        }
        for row in records(compare.df_bottleneck(tables))
    ]
    content = table(say("What limited each case"), rows, empty=nothing(), anchor="t-limit-by-case")
    return render("details", summary=say("All {count} cases that were measured", count=len(rows)), content=content)


def _words(limit: object) -> str:
    return translated(LIMITS[limit]) if isinstance(limit, str) else MISSING
