"""A stranger's questions, each with its answer in words and the places that prove it.

The words are composed from verdicts: of the ratios (`df_ratio`), of the bottleneck (`df_bottleneck`), of the study's
claims (`df_ledger`), and from counts of directors with their intervals (`df_purchase`).
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bmtlib.analysis.answer import answer
from bmtlib.analysis.capacity import worth
from bmtlib.analysis.diagnose import df_limit_by_arm
from bmtlib.analysis.judged import sentence
from bmtlib.analysis.ledger import df_ledger, tally
from bmtlib.analysis.naming import level, number
from bmtlib.analysis.purchase import ASKED, df_purchase, payload_gbit, payload_links, why_not
from bmtlib.analysis.tables import Tables
from bmtlib.texts import say, say_n

_MOST_ARMS = 6  # of which the counts are said


@dataclass(frozen=True, kw_only=True)
class Question:
    """asked; lead: the answer in one sentence, no more than the verdicts; said: figures and reasons.

    places: where it is proven: words -> anchor in the report
    """

    asked: str
    lead: str
    said: tuple[str, ...]
    places: dict[str, str]


def questions(tables: Tables) -> tuple[Question, ...]:
    """The four that people ask first."""
    return _faster(tables), _bottleneck(tables), _study(tables), _buy(tables)


def study_held(tables: Tables) -> tuple[str, ...]:
    """Whether the study's claims held, in sentences."""
    asked = _study(tables)
    return (asked.lead, *asked.said)


def _faster(tables: Tables) -> Question:
    found = answer(tables)
    first, *rest = found.faster
    places = {say("ratios with their intervals"): "figure-ratio-forest", say("the same as a table"): "t-ratios"}
    if tables.search is not None:
        places = {say("waits over the load"): "figure-knee"}
    elif found.verdict == "none":
        places = {say("requests/s"): "t-throughput"}
    return Question(
        asked=say("Which is faster here, by how much, how sure?"),
        lead=found.lead or first,
        said=tuple(found.faster if found.lead else rest) + found.costs,
        places=places,
    )


def _bottleneck(tables: Tables) -> Question:
    limits = df_limit_by_arm(tables)
    said = answer(tables).limited
    if limits.empty or not said:
        lead = say("Not known: no case was measured, or no counter says so.")
    else:
        lead = " ".join(said)
    return Question(
        asked=say("Who was the bottleneck?"),
        lead=lead,
        said=(),
        places={say("each arm, with the counters"): "t-limits", say("each case"): "t-limit-by-case"},
    )


def _study(tables: Tables) -> Question:
    ledger = df_ledger(tables)
    claims, rows = (ledger[ledger["of"] == of] for of in ("study", "table"))
    first = claims.iloc[0]
    lead = {
        "reproduced": say("Reproduced here: “{claim}”", claim=first["claim"]),
        "not reproduced": say("Not reproduced here: “{claim}”", claim=first["claim"]),
        "undecided": say("Undecided here: “{claim}”", claim=first["claim"]),
        "agrees, without interval": say("Undecided here, too few blocks: “{claim}”", claim=first["claim"]),
        "disagrees, without interval": say("Undecided here, too few blocks: “{claim}”", claim=first["claim"]),
        "not testable here": say("Not testable in this run: “{claim}”", claim=first["claim"]),
    }[first["result"]]
    counts = say(
        "Of the study's {claims} claims: {verdicts}. Of the {rows} rows of its table: {of_rows}.",
        claims=len(claims),
        verdicts=tally(claims["verdict"]),
        rows=len(rows),
        of_rows=tally(rows["verdict"]),
    )
    return Question(
        asked=say("Did the study's claim hold?"),
        lead=lead,
        said=(str(first["evidence"]), counts),
        places={
            say("every claim"): "t-ledger",
            say("its table, row by row"): "t-seed-rows",
            say("its ratios beside ours"): "figure-seed-slope",
        },
    )


def _buy(tables: Tables) -> Question:
    asked = say(
        "What should I buy for {rate} requests/s of {size} KiB (links of {link} Gbit/s)?",
        rate=f"{ASKED.requests_per_s:,.0f}",
        size=f"{ASKED.kib:g}",
        link=f"{ASKED.gbit_per_s:g}",
    )
    found = df_purchase(tables)
    payload = say(
        "The answers alone are {gbit} Gbit/s: web hosts need {links} or more such links with every arm, and through a "
        "proxy the directors carry it too.",
        gbit=number(payload_gbit()),
        links=payload_links(),
    )
    if found.empty:
        why = {
            "no case": say("This run cannot say: no case is done."),
            "shared": say("This run cannot say: other hosts share the director's CPUs, so its cost is not known."),
        }
        lead = why.get(why_not(tables), say("This run cannot say: no case tells what a request costs the director."))
        return Question(asked=asked, lead=lead, said=(payload, _sweep()), places={})
    exact = (found["bound"] == "").all() and (found["extrapolated"].fillna("") == "").all()
    best = _best(found)
    counts = [_count(tables, row) for _, row in best.head(_MOST_ARMS).iterrows()]
    cpus = int(found["cpus"].iloc[0])
    lead = say_n(
        "Directors with {n} CPU: {counts}.", "Directors with {n} CPUs: {counts}.", cpus, counts="; ".join(counts)
    )
    said = [payload]
    if len(best) < len(found):
        said.append(say("Of each arm the settings that take the fewest are named."))
    if not exact:
        said += [_sweep()]
    said.append(sentence(worth(tables)))
    fitted = found["from_kib"].isna().any()
    places = {say("other demands"): "t-capacity"} if fitted else {say("the cost measured"): "t-director-cpu"}
    return Question(asked=asked, lead=lead, said=tuple(said), places=places)


def _sweep() -> str:
    return say(
        "A number for this size needs a run over file sizes: bmt run file-size, with a director on CPUs of its own; "
        "then bmt capacity RUN --rps {rate} --kib {size} --gbit {link}.",
        rate=f"{ASKED.requests_per_s:g}",
        size=f"{ASKED.kib:g}",
        link=f"{ASKED.gbit_per_s:g}",
    )


def _best(found: pd.DataFrame) -> pd.DataFrame:
    """Of each arm and kind of bound the settings that take the fewest directors."""
    order = found.sort_values(["directors", "high"], kind="stable")
    return order.groupby(["arm", "bound"], sort=False).head(1).sort_index()


def _count(tables: Tables, row: pd.Series) -> str:
    levels = ", ".join(
        level(name, row[name]) for name in tables.factors if name != "file_size_bytes" and pd.notna(row[name])
    )
    spread = ""
    if pd.notna(row["low"]) and (pd.isna(row["high"]) or row["low"] < row["high"]):
        spread = f" ({row['low']}–{'?' if pd.isna(row['high']) else row['high']})"
    words = {
        "arm": say("{arm} with {levels}", arm=row["arm"], levels=levels) if levels else row["arm"],
        "count": f"{row['directors']}{spread}",
        "size": f"{row['from_kib']:g} KiB",
    }
    if row["bound"] == "at least":
        return say("{arm} at least {count}, by the cost of {size}", **words)
    if row["bound"] == "at most":
        return say("{arm} at most {count}, by the cost of {size}", **words)
    if isinstance(row["extrapolated"], str) and row["extrapolated"]:
        return say("{arm} {count}, a guess beyond what was measured ({what})", **words, what=row["extrapolated"])
    return say("{arm} {count}", **words)
