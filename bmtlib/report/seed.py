"""The seed study beside this run: its claims and the rows of its table, each with what became of it here."""

from __future__ import annotations

import math
from collections import Counter

from bmtlib.analysis.seed_claims import df_seed_claims
from bmtlib.analysis.seed_rows import SAME_SIZE, df_seed_rows
from bmtlib.analysis.tables import Tables
from bmtlib.params.units import size_text
from bmtlib.report.render import MISSING, Html, Number, render, table
from bmtlib.report.results import ratio, ratio_interval, records

# Result -> sign and class: no reader shall depend on colour.
_SIGNS = {
    "reproduced": ("✔", "ok"),
    "not reproduced": ("✘", "reject"),
    "undecided": ("?", "mark"),
    "agrees, without interval": ("(✔)", "mark"),
    "disagrees, without interval": ("(✘)", "mark"),
    "not testable here": ("–", ""),
}


def claims(tables: Tables) -> Html:
    """The claims of the study, by the rules that decide them here."""
    rows = [
        {
            "the study says": Html("{}<br><small>{}.</small>").format(row["claim"], row["rule"]),
            "here": _badge(row["result"]),
            "evidence": row["evidence"],
        }
        for row in records(df_seed_claims(tables))
    ]
    note = (
        "In small: the rule, which needs the whole 95 % interval over blocks. With one or two blocks there is none: "
        "the figure agrees or disagrees with the study, and nothing is decided."
    )
    return table("The claims of the study", rows, note, anchor="t-seed-claims")


def rows(tables: Tables) -> Html:
    """The study's table, each row beside the same ratio here. When no row can be tested, it is folded away."""
    found = records(df_seed_rows(tables))
    counts = Counter(row["result"] for row in found)
    said = ", ".join(f"{counts[result]} {result}" for result in _SIGNS if counts[result])
    shown = [
        {
            "Arm": row["arm"],
            "Thread": Number(row["threads"]),
            "Concurrency": Number.written(row["concurrency"], ","),
            "Total Requests": Number.written(row["total_requests"], ","),
            "File Size": size_text(int(row["file_bytes"])),
            "Requests (sec)": Number.written(row["requests_per_s"], ",.2f"),
            "Latency (ms)": Number.written(row["latency_ms"], ".3f"),
            "Requests (sec) here": Number.written(row["requests_per_s_here"], ",.2f"),
            "ratio": row["compared"] or MISSING,
            "of the study": ratio(row["seed_ratio"]),
            "here": _ratio(row["ratio"], row["low"], row["high"]),
            "result": _badge(row["result"], "" if math.isfinite(row["ratio"]) else row["evidence"]),
        }
        for row in found
    ]
    note = (
        "Requests/s of another machine cannot be reproduced, ratios between its rows can. Reproduced: the whole 95 % "
        f"interval lies within {SAME_SIZE} times the study's ratio, up or down, and on its side of 1 where the study's "
        "rows lie further apart than 5 %. The study ran each row once."
    )
    caption = f"The {len(found)} rows of the study's table: {said}"
    content = table(caption, shown, note, anchor="t-seed-rows")
    if counts["not testable here"] < len(found):
        return content
    return render("details", summary=caption, content=content)


def _ratio(value: float, low: float, high: float) -> Number:
    if not math.isfinite(value):
        return Number(MISSING)
    return Number(f"{ratio(value)} ({ratio_interval(low, high)})" if math.isfinite(low) else ratio(value))


def _badge(result: str, why: str = "") -> Html:
    sign, look = _SIGNS[result]
    badge = Html('<span class="{}">{}\u00a0{}</span>').format(look, sign, result)
    return Html("{}<br><small>{}</small>").format(badge, why) if why else badge
