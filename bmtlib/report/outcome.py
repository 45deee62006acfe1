"""What came of a run, right after it: for the notebook that measures, which has no need of the whole report."""

from __future__ import annotations

from bmtlib.analysis.naming import word
from bmtlib.analysis.tables import read_tables
from bmtlib.report import evidence, results
from bmtlib.report.render import Html, render
from bmtlib.rundir import RunDir
from bmtlib.texts import say


def outcome(folder: RunDir) -> Html:
    """The run's status, the cases that are not among the results, and requests per second by arm."""
    tables = read_tables(folder)
    run = tables.run
    facts = {say("run folder"): run["id"], say("status"): word(run["status"])}
    if run["status"] != "done" and run.get("error"):
        facts[say("reason")] = run["error"]["what"]
    return Html("\n").join(
        [render("facts", facts=facts), evidence.failed_cases(folder, tables), results.throughput(tables)]
    )
