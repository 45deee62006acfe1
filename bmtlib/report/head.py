"""The top of the report: what was asked, the answer, how far the run came, and what kind of testbed it was."""

from __future__ import annotations

from collections import Counter

from bmtlib.analysis import compare
from bmtlib.analysis.answer import answer, limits
from bmtlib.analysis.naming import fidelity_name, word
from bmtlib.analysis.plots.fonts import hangul_family
from bmtlib.analysis.questions import questions
from bmtlib.analysis.tables import Tables
from bmtlib.report.claims import summary, verdicts
from bmtlib.report.forms import ratio, ratio_interval, records
from bmtlib.report.render import Html, render
from bmtlib.report.results import ratio_overview
from bmtlib.rundir import RunDir
from bmtlib.texts import current, msg, say, translated

_STATUS = {
    "planned": msg("The run has not begun: there is nothing to show yet."),
    "running": msg("The run is under way, or its process was killed: this report shows the cases that were finished."),
    "interrupted": msg("The run was interrupted: this report shows the cases that were finished before."),
    "failed": msg("The run failed: this report shows the cases that were finished before."),
}


def headline(tables: Tables) -> Html:
    """Title, question, when and where; and a banner when the run is not whole."""
    run = tables.run
    status = Counter(tables.cases["status"])
    missing = [
        say("{count} {what}", count=count, what=word(state))
        for state, count in status.items()
        if state not in ("done", "not needed")
    ]
    lines = [translated(_STATUS[run["status"]])] if run["status"] in _STATUS else []
    if run["status"] != "done" and run.get("error"):
        lines.append(say("Reason: {error}", error=run["error"]["what"]))
    if missing:
        lines.append(
            say(
                "Of {total} planned cases {done} are among the results; {missing}.",
                total=len(tables.cases) - status["not needed"],
                done=status["done"],
                missing=", ".join(missing),
            )
        )
    if current() != "en" and hangul_family() is None:
        lines.append(say("Figures are in English: this machine has no font with Hangul (Debian: fonts-nanum)."))
    return render("headline", run=run, lines=lines)


def answer_box(folder: RunDir, tables: Tables) -> Html:
    """The answer in one sentence, the comparison in figures, a stranger's questions, and what was expected."""
    ratios = compare.df_ratio(tables)
    alone = len(ratios) == ratios["measure"].nunique()  # one pair of arms at one choice of levels
    tiles = [
        {
            "name": translated(compare.MEASURES[row["measure"]]),
            "value": f"{ratio(row['ratio'])} ×",
            "pair": f"{row['arm']}\u00a0/\u00a0{row['against']}",
            "interval": ratio_interval(row["low"], row["high"]),
            "verdict": word(row["verdict"]),
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
        expect=translated(folder.read_json("plan.json")["scenario"].get("expect", "")),
    )


def cannot_show(tables: Tables) -> Html:
    """What this testbed and this run cannot show."""
    return render("limits", fidelity=fidelity_name(tables.run["fidelity"]), limits=limits(tables))
