"""The top of the report: what was asked, the answer, how far the run came, and what kind of testbed it was."""

from __future__ import annotations

from collections import Counter

from bmtlib.analysis import compare
from bmtlib.analysis.answer import answer, limits
from bmtlib.analysis.questions import questions
from bmtlib.analysis.tables import Tables
from bmtlib.report.claims import summary, verdicts
from bmtlib.report.render import Html, render
from bmtlib.report.results import ratio, ratio_interval, ratio_overview, records
from bmtlib.rundir import RunDir

_STATUS = {
    "planned": "The run has not begun: there is nothing to show yet.",
    "running": "The run is under way, or its process was killed: this report shows the cases that were finished.",
    "interrupted": "The run was interrupted: this report shows the cases that were finished before.",
    "failed": "The run failed: this report shows the cases that were finished before.",
}


def headline(tables: Tables) -> Html:
    """Title, question, when and where; and a banner when the run is not whole."""
    run = tables.run
    status = Counter(tables.cases["status"])
    missing = [f"{count} {word}" for word, count in status.items() if word not in ("done", "not needed")]
    lines = [_STATUS[run["status"]]] if run["status"] in _STATUS else []
    if run["status"] != "done" and run.get("error"):
        lines.append(f"Reason: {run['error']['what']}")
    if missing:
        lines.append(
            f"Of {len(tables.cases) - status['not needed']} planned cases {status['done']} are among the results; "
            f"{', '.join(missing)}."
        )
    return render("headline", run=run, lines=lines)


def answer_box(folder: RunDir, tables: Tables) -> Html:
    """The answer in one sentence, the comparison in figures, a stranger's questions, and what was expected."""
    ratios = compare.df_ratio(tables)
    alone = len(ratios) == ratios["measure"].nunique()  # one pair of arms at one choice of levels
    tiles = [
        {
            "name": compare.MEASURES[row["measure"]],
            "value": f"{ratio(row['ratio'])} ×",
            "pair": f"{row['arm']}\u00a0/\u00a0{row['against']}",
            "interval": ratio_interval(row["low"], row["high"]),
            "verdict": row["verdict"],
        }
        for row in records(ratios)
        if alone and row["n"]
    ]
    asked, claims = questions(tables), summary(tables)
    return render(
        "answer",
        overview="" if alone or ratios.empty else ratio_overview(tables),
        lead=claims or asked[0].lead,
        verdicts=verdicts(tables),
        questions=asked,
        beside=answer(tables).beside,
        tiles=tiles,
        expect=folder.read_json("plan.json")["scenario"].get("expect", ""),
    )


def cannot_show(tables: Tables) -> Html:
    """What this testbed and this run cannot show."""
    return render("limits", fidelity=tables.run["fidelity"], limits=limits(tables))
