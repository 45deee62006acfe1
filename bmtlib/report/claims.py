"""A scenario's claims and what became of them, for a reader who has ten seconds."""

from __future__ import annotations

from collections import Counter

from bmtlib.analysis.claims import df_claims
from bmtlib.analysis.tables import Tables
from bmtlib.report.render import Html, table
from bmtlib.report.results import records

# Verdict -> sign and class: no reader shall depend on colour.
_SIGNS = {"supported": ("✔", "ok"), "not supported": ("✘", "reject"), "undecided": ("?", "mark")}


def verdicts(tables: Tables) -> Html:
    """Every claim with its verdict and the evidence in one sentence."""
    rows = [
        {
            "claim": Html("{}<br><small>{}</small>").format(row["claim"], row["source"])
            if row["source"]
            else row["claim"],
            "verdict": _badge(row["verdict"]),
            "evidence": row["evidence"],
        }
        for row in records(df_claims(tables))
    ]
    note = (
        "Each claim was written down before the run, with the limit that decides it: the whole 95 % interval over "
        "blocks must lie on one side of it; of counts, all blocks. Otherwise it is undecided."
    )
    return table("Claims and verdicts", rows, note, "the scenario makes none")


def summary(tables: Tables) -> str:
    """How many claims came true; empty without claims.

    "Of 4 claims 2 are supported, 1 is not, 1 is undecided."
    """
    counts = Counter(df_claims(tables)["verdict"])
    if not counts:
        return ""
    words = {"supported": "supported", "not supported": "not", "undecided": "undecided"}
    parts = [
        f"{counts[verdict]} {'is' if counts[verdict] == 1 else 'are'} {word}"
        for verdict, word in words.items()
        if counts[verdict]
    ]
    total = sum(counts.values())
    return f"Of {total} claim{'' if total == 1 else 's'} {', '.join(parts)}."


def _badge(verdict: str) -> Html:
    sign, look = _SIGNS[verdict]
    return Html('<span class="{}">{}\u00a0{}</span>').format(look, sign, verdict.replace(" ", "\u00a0"))
