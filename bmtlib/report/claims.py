"""The ledger of claims for a reader: verdict, figures, what would decide it, and links to what proves it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, get_args

from bmtlib.analysis.claims import df_claims
from bmtlib.analysis.judged import VERDICT_OF, Result
from bmtlib.analysis.ledger import df_ledger, tally
from bmtlib.analysis.tables import Tables
from bmtlib.report.forms import records
from bmtlib.report.render import MISSING, Html, Number, link, render, table
from bmtlib.rundir import RunDir
from bmtlib.texts import language, say

_MOST_NAMED = 4  # of the claims that the same would decide
_MOST_FILES = 3  # links beside one claim; the list of raw files has the others
# Verdict -> sign and class: no reader shall depend on colour.
_SIGNS = {
    "supported": ("✔", "ok"),
    "not supported": ("✘", "reject"),
    "undecided": ("?", "mark"),
    "not testable here": ("○", ""),
}
# Of results that have a sign of their own.
_ALONE = {"agrees, without interval": "(✔)", "disagrees, without interval": "(✘)"}
RESULTS: tuple[Result, ...] = get_args(Result)


def ledger(folder: RunDir, tables: Tables, page: str = "") -> Html:
    """Every claim of the scenario and of the study with its verdict and its proof; of the study's table the tally.

    `page`: the one that has the anchors of proofs, where it is not this one.
    """
    found = df_ledger(tables)
    rows = found[found["of"] == "table"]
    shown = [_row(folder, row, page) for row in records(found[found["of"] != "table"])]
    shown.append(
        {
            say("claim"): say("The {count} rows of the study's table.", count=len(rows)),
            say("verdict"): tally(rows["verdict"]),
            say("figures, and why"): say("Ratios between its rows, each beside the same ratio here."),
            say("proof"): _anchor("t-seed-rows", say("row by row"), page),
        }
    )
    note = say(
        "Each claim has its rule from before the run: the whole 95 % interval over blocks must lie where the claim "
        "says; of counts, all blocks. Else it is undecided. Of the study: reproduced is supported, not reproduced not "
        "supported; a figure that agrees or disagrees without an interval is undecided."
    )
    content = table(say("Every claim, with its proof"), shown, note, anchor="t-ledger")
    with language("en"):  # data are the same in every language
        csv = base64.b64encode(df_ledger(tables).to_csv(index=False).encode()).decode()
    whole = say("the whole ledger, with every row of the study's table (CSV)")
    return render("ledger", content=content, csv=csv, csv_words=whole)


def summary(tables: Tables) -> str:
    """How many of the scenario's claims came true; empty without claims.

    "Of the scenario's 4 claims: 2 supported, 1 not supported, 1 undecided."
    """
    found = df_claims(tables)
    if found.empty:
        return ""
    verdicts = tally(found["verdict"])
    if len(found) == 1:
        return say("Of the scenario's one claim: {verdicts}.", verdicts=verdicts)
    return say("Of the scenario's {count} claims: {verdicts}.", count=len(found), verdicts=verdicts)


def still_open(tables: Tables) -> Html:
    """What would decide the claims that this run leaves open; of the study's table in one line for all alike."""
    found = df_ledger(tables)
    found = found[found["decide"] != ""]
    rows = [
        {
            say("what would decide"): decide,
            say("claims"): Html("<br>").join(part["claim"].head(_MOST_NAMED)),
            say("how many"): Number.of(len(part)),
        }
        for decide, part in found.groupby("decide", sort=False)
    ]
    return table(say("What would decide the claims that are open"), rows, empty=say("none is open"), anchor="t-open")


def verdicts(tables: Tables) -> list[Html]:
    """The scenario's claims in short, each with its verdict and a link to its line in the ledger."""
    found = df_ledger(tables)
    return [
        Html('{} <a href="#{}">{}</a>').format(badge(row["verdict"]), row["id"], row["claim"])
        for row in records(found[found["of"] == "scenario"])
    ]


def badge(result: str, why: str = "") -> Html:
    """A verdict, or the finer word for a study that is repeated, with its sign."""
    verdict = VERDICT_OF[result] if result in RESULTS else result
    sign, look = _SIGNS[verdict]
    text = badge_words(result)
    # Long ones may break: a narrow column is better than a wide table.
    text = text if result in _ALONE else text.replace(" ", "\u00a0")
    shown = Html('<span class="{}">{}\u00a0{}</span>').format(look, _ALONE.get(result, sign), text)
    return Html("{}<br><small>{}</small>").format(shown, why) if why else shown


def badge_words(result: str) -> str:
    """A verdict or result in the reader's language."""
    return {
        "supported": say("supported"),
        "not supported": say("not supported"),
        "undecided": say("undecided"),
        "reproduced": say("reproduced"),
        "not reproduced": say("not reproduced"),
        "agrees, without interval": say("agrees, without interval"),
        "disagrees, without interval": say("disagrees, without interval"),
        "not testable here": say("not testable here"),
    }[result]


def files(folder: RunDir, paths: str, page: str = "") -> Html:
    """Links to raw files (parted by spaces), each named by its case; the first few, then how many more (on `page`)."""
    found = paths.split()
    links = [link(folder, path, path.split("/")[1]) for path in found[:_MOST_FILES]]
    if len(found) > _MOST_FILES:
        links.append(_anchor("t-raw", say("{count} more", count=len(found) - _MOST_FILES), page))
    return Html(", ").join(links)


def _row(folder: RunDir, row: Mapping[str, Any], page: str) -> dict[str, object]:
    words = {"rule": row["rule"].rstrip("."), "source": row["source"]}
    small = say("Rule: {rule}. Source: {source}.", **words) if row["source"] else say("Rule: {rule}.", **words)
    decide = row["decide"].rstrip(".")
    # Where the evidence names the scenario that can test it, that is said.
    decide = say("Would decide it: {what}.", what=decide) if decide and decide not in row["evidence"] else ""
    evidence = Html("{}{}<small>{}</small>").format(row["evidence"], Html("<br>") if decide else "", decide)
    finer = badge_words(row["result"]) if row["result"] != row["verdict"] else ""
    return {
        say("claim"): Html('<span id="{}">{}</span><br><small>{}</small>').format(row["id"], row["claim"], small),
        say("verdict"): badge(row["verdict"], finer),
        say("figures, and why"): evidence,
        say("proof"): _proof(folder, row, page),
    }


def _proof(folder: RunDir, row: Mapping[str, Any], page: str) -> Html:
    places = []
    if row["figure"]:
        places.append(_anchor(f"figure-{row['figure']}", say("figure"), page))
    if row["table"]:
        places.append(_anchor(row["table"], say("table"), page))
    if row["raw"]:
        places.append(Html("{} {}").format(say("raw:"), files(folder, row["raw"], page)))
    return Html("<br>").join(places) if places else Html(MISSING)


def _anchor(anchor: str, text: str, page: str) -> Html:
    return Html('<a href="{}#{}">{}</a>').format(page, anchor, text)
