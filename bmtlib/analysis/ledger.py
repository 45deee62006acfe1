"""The ledger: every claim of the scenario, of the seed study and of its table as a row, with what became of it here.

One vocabulary for all: supported, not supported, undecided, not testable here. Of the study's claims and rows `result`
has the finer words (`judged.VERDICT_OF` maps them): with fewer than three blocks a figure may agree or disagree with
the study, and both are undecided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import pandas as pd

from bmtlib.analysis.claims import judged, rule_text
from bmtlib.analysis.judged import VERDICT_OF, Judged
from bmtlib.analysis.naming import blocks_text, level, ratio_text
from bmtlib.analysis.proof import PROOFS, raw_files
from bmtlib.analysis.seed_claims import SEED_CLAIMS, judge
from bmtlib.analysis.seed_rows import SAME_SIZE, df_seed_rows
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import once, records
from bmtlib.params.units import size_text
from bmtlib.texts import say, translated

Origin = Literal["scenario", "study", "table"]
# Where the tables that judge the study's claims and rows stand in the report.
_ROWS, _ROWS_FIGURE = "t-seed-rows", "seed-slope"
_COLUMNS: dict[str, str] = {
    **dict.fromkeys(("id", "of", "claim", "source", "rule", "needs", "fidelity", "verdict", "result"), "string"),
    **dict.fromkeys(("estimate", "low", "high"), "float64"),
    "n": "int64",
    **dict.fromkeys(("shown", "evidence", "decide", "table", "figure", "raw"), "string"),
}


@once
def df_ledger(tables: Tables) -> pd.DataFrame:
    """One row per claim: of the scenario, then of the seed study, then of each row of its table.

    id: its anchor in the report; of: scenario, study, table; claim, source; rule: what decides it, in words
    needs: the scenario that can test it; fidelity: of the testbeds that can, empty: any
    verdict; result: the same in the words for a study that is repeated, of the scenario's claims the verdict
    estimate, low, high, n: what was decided by; shown: that in words
    evidence: a sentence; decide: what would decide it, empty when it is decided
    table: anchor of the report's table that proves it; figure: a name of `plots.FIGURES`; raw: files of the run folder
        that hold the figures, parted by spaces. Empty where nothing was measured
    """
    rows = [*_scenario(tables), *_study(tables), *_table(tables)]
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)


def _scenario(tables: Tables) -> Iterator[dict[str, Any]]:
    for place, claim in enumerate(tables.claims, 1):
        found = judged(tables, claim)
        row = _row(tables, found, claim=translated(claim.text), source=claim.source, rule=rule_text(claim))
        yield {**row, "id": f"claim-{place}", "of": "scenario", "result": found.verdict}


def _study(tables: Tables) -> Iterator[dict[str, Any]]:
    source = say("the seed study, 2022")
    for place, claim in enumerate(SEED_CLAIMS, 1):
        row = _row(tables, judge(tables, claim), claim=say(claim.text), source=source, rule=say(claim.rule))
        own = {"needs": say(claim.needs), "fidelity": " ".join(claim.fidelity)}
        yield {**row, **own, "id": f"study-{place}", "of": "study"}


def _table(tables: Tables) -> Iterator[dict[str, Any]]:
    source = say("the seed study's table, 2022")
    rule = say(
        "the whole 95 % interval of the ratio within {size} times the study's, and on its side of 1", size=SAME_SIZE
    )
    for place, row in enumerate(records(df_seed_rows(tables)), 1):
        measured = row["n"] > 0
        cases = str(row["cases"]).split()
        text, blocks = ratio_text(row["ratio"], row["low"], row["high"]), blocks_text(row["n"])
        yield {
            "id": f"row-{place}",
            "of": "table",
            "claim": _of_row(row),
            "source": source,
            "rule": rule,
            "needs": "bmt run seed-matrix",
            "fidelity": "",
            "verdict": VERDICT_OF[row["result"]],
            "result": row["result"],
            "estimate": row["ratio"],
            **{name: row[name] for name in ("low", "high", "n", "evidence", "decide")},
            "shown": f"{text} ({blocks})" if measured else "",
            "table": _ROWS if measured else "",
            "figure": _ROWS_FIGURE if measured else "",
            "raw": " ".join(raw_files(tables, "requests_per_s", cases)),
        }


def _of_row(row: dict[str, Any]) -> str:
    arm = f"{row['arm']}, {level('threads', row['threads'])}" if row["arm"] == "proxy" else str(row["arm"])
    words: dict[str, Any] = {
        "arm": arm,
        "size": size_text(row["file_bytes"]),
        "concurrency": f"{row['concurrency']:,}",
        "rate": f"{row['requests_per_s']:,.2f}",
    }
    if not row["compared"]:
        return say("{arm} at {size} and concurrency {concurrency}: {rate} requests/s.", **words)
    words |= {"compared": row["compared"], "ratio": ratio_text(row["seed_ratio"])}
    return say("{arm} at {size} and concurrency {concurrency}: {rate} requests/s; {compared}: {ratio}.", **words)


def _row(tables: Tables, found: Judged, **own: str) -> dict[str, Any]:
    proof = PROOFS.get(found.metric) if found.cases else None
    return {
        **own,
        "needs": "",
        "fidelity": "",
        "verdict": found.verdict,
        "result": found.result,
        "estimate": found.found.median,
        **{name: getattr(found.found, name) for name in ("low", "high", "n")},
        "shown": found.shown,
        "evidence": found.evidence,
        "decide": found.decide,
        "table": proof.table if proof else "",
        "figure": proof.figure if proof else "",
        "raw": " ".join(raw_files(tables, found.metric, found.cases)),
    }


def tally(verdicts: pd.Series) -> str:
    """How many claims came to which verdict: "2 supported, 1 undecided"."""
    counts = Counter(verdicts)
    words = {
        "supported": say("{count} supported", count=counts["supported"]),
        "not supported": say("{count} not supported", count=counts["not supported"]),
        "undecided": say("{count} undecided", count=counts["undecided"]),
        "not testable here": say("{count} not testable here", count=counts["not testable here"]),
    }
    return ", ".join(text for verdict, text in words.items() if counts[verdict])
