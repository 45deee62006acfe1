"""The table of the seed study beside this run, each row with what became of it here. Its claims: `claims`."""

from __future__ import annotations

import math
from collections import Counter

from bmtlib.analysis.proof import raw_files
from bmtlib.analysis.seed_rows import SAME_SIZE, df_seed_rows
from bmtlib.analysis.tables import Tables
from bmtlib.params.units import size_text
from bmtlib.report.claims import RESULTS, badge, badge_words, files
from bmtlib.report.forms import ratio, ratio_interval, records
from bmtlib.report.render import MISSING, Html, Number, render, table
from bmtlib.rundir import RunDir
from bmtlib.texts import say


def rows(folder: RunDir, tables: Tables, page: str = "") -> Html:
    """The study's table, each row beside the same ratio here. When no row can be tested, it is folded away; of a search
    it is left out.

    `page`: as in `claims.ledger`.
    """
    if tables.search is not None:
        return Html("")
    found = records(df_seed_rows(tables))
    counts = Counter(row["result"] for row in found)
    said = ", ".join(
        say("{count} {result}", count=counts[result], result=badge_words(result))
        for result in RESULTS
        if counts[result]
    )
    raw = say("raw files")
    shown = [
        {
            say("Arm"): row["arm"],
            say("Thread"): Number(row["threads"]),
            say("Concurrency"): Number.written(row["concurrency"], ","),
            say("Total Requests"): Number.written(row["total_requests"], ","),
            say("File Size"): size_text(int(row["file_bytes"])),
            say("Requests (sec)"): Number.written(row["requests_per_s"], ",.2f"),
            say("Latency (ms)"): Number.written(row["latency_ms"], ".3f"),
            say("Requests (sec) here"): Number.written(row["requests_per_s_here"], ",.2f"),
            say("ratio"): row["compared"] or MISSING,
            say("of the study"): ratio(row["seed_ratio"]),
            say("here"): _ratio(row["ratio"], row["low"], row["high"]),
            say("result"): badge(row["result"], "" if math.isfinite(row["ratio"]) else row["evidence"]),
            raw: files(folder, " ".join(raw_files(tables, "requests_per_s", row["cases"].split())), page) or MISSING,
        }
        for row in found
    ]
    if counts["not testable here"] == len(found):
        shown = [{name: cell for name, cell in row.items() if name != raw} for row in shown]
    note = say(
        "Requests/s of another machine cannot be reproduced, ratios between its rows can. Reproduced: the whole 95 % "
        "interval lies within {size} times the study's ratio, up or down, and on its side of 1 where the study's rows "
        "lie further apart than 5 %. The study ran each row once.",
        size=SAME_SIZE,
    )
    caption = say("The {count} rows of the study's table: {results}", count=len(found), results=said)
    content = table(caption, shown, note, anchor="t-seed-rows")
    if counts["not testable here"] < len(found):
        return content
    return render("details", summary=caption, content=content)


def _ratio(value: float, low: float, high: float) -> Number:
    if not math.isfinite(value):
        return Number(MISSING)
    return Number(f"{ratio(value)} ({ratio_interval(low, high)})" if math.isfinite(low) else ratio(value))
