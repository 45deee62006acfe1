"""The answer in words, composed from verdicts: never more than their intervals carry.

Every sentence is made from figures of this run; none is written beforehand. `limits` says what the run cannot show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from bmtlib.analysis import caveats
from bmtlib.analysis.caveats import levels_of
from bmtlib.analysis.compare import df_ratio, df_throughput, holds_one
from bmtlib.analysis.costs import separable
from bmtlib.analysis.diagnose import limit_sentence
from bmtlib.analysis.knee import knee_sentences
from bmtlib.analysis.limits import limits
from bmtlib.analysis.naming import blocks_text, level, loop, number, ratio_text
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import done
from bmtlib.stats import FEWEST_BLOCKS
from bmtlib.texts import say

__all__ = ["Answer", "answer", "limits"]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer of a run.

    verdict: higher, lower or undecided, of requests/s (of an open loop: of the wait's 99th percentile), when it is the
        same for all pairs and levels; "mixed" when it is not; "none" when there is nothing to compare, or when a knee
        was searched
    lead: who is ahead, in a sentence per pair of arms, by the verdicts alone; empty when the verdict is "none"
    faster: by how much, and how sure; costs: what it cost the director; limited: the bottleneck; beside: what a reader
        has to know as well
    numbers: the rows of df_ratio that all this is made of
    """

    verdict: str
    faster: tuple[str, ...]
    numbers: pd.DataFrame
    lead: str = ""
    costs: tuple[str, ...] = ()
    limited: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """All of it but the lead, which says it once more."""
        return (*self.faster, *self.costs, *self.limited, *self.beside)

    def __str__(self) -> str:
        return " ".join(self.sentences)


def answer(tables: Tables) -> Answer:
    """What the run says about its arms, and what limited it."""
    ratios = df_ratio(tables)
    ratios = ratios[ratios["n"] > 0]
    where, limited = caveats.testbed(tables), tuple(filter(None, [limit_sentence(tables)]))
    if found := knee_sentences(tables):
        # Cases of a search lie at levels of their own choice: their rates say nothing more.
        return Answer(verdict="none", faster=tuple(found), beside=(where,), numbers=ratios.iloc[:0])
    if ratios.empty:
        return Answer(verdict="none", faster=_nothing(tables), numbers=ratios)
    # In an open loop all arms are asked alike, and what they answer per second says nothing as long as they bear it.
    waits = loop(tables) == "open" and (ratios["measure"] == "wait_p99_ms").any()
    measure = "wait_p99_ms" if waits else "requests_per_s"
    leads, faster, costs = [], [], []
    for _, pair in ratios.groupby(["arm", "against"], sort=False):
        asked = pair[pair["measure"] == measure]
        if len(asked):
            leads.append(_sooner(asked) if waits else _faster(asked))
            faster.append(_waits(tables, asked) if waits else _throughput(tables, asked))
        costs += _costs(tables, pair)
    verdicts = set(ratios.loc[ratios["measure"] == measure, "verdict"])
    beside = (
        *caveats.left_out(tables),
        *caveats.drift(tables),
        *caveats.busy(tables),
        *caveats.near_direct(tables),
        where,
    )
    return Answer(
        verdict=verdicts.pop() if len(verdicts) == 1 else "mixed",
        lead=" ".join(leads),
        faster=tuple(faster),
        costs=tuple(costs),
        limited=limited,
        beside=beside,
        numbers=ratios.reset_index(drop=True),
    )


def _nothing(tables: Tables) -> tuple[str, ...]:
    table = df_throughput(tables)
    if table.empty:
        states = ", ".join(f"{n} {word}" for word, n in tables.cases["status"].value_counts().items())
        total = len(tables.cases)
        return (say("There is no answer: of {total} cases none is done ({states}).", total=total, states=states),)
    if table["arm"].nunique() > 1:
        none = say("There is no answer: in no block are two of the arms to compare both done.")
        return (none, *caveats.left_out(tables))
    rates = []
    for _, row in table.iterrows():
        rate, levels = number(row["requests_per_s"]), levels_of(tables, row)
        if levels:
            rates.append(say("{rate} requests/s at {levels}", rate=rate, levels=levels))
        else:
            rates.append(say("{rate} requests/s", rate=rate))
    arm = _arm(table.iloc[0]["arm"], table.iloc[0]["engine"])
    only = say("Only {arm} was measured: {rates}.", arm=arm, rates=", ".join(rates))
    return (only, *caveats.left_out(tables))


def _sides(rows: pd.DataFrame) -> dict[str, Any]:
    """What the sentences about a pair of arms name."""
    counts = rows["verdict"].value_counts()
    return {
        "arm": rows["arm"].iloc[0],
        "against": rows["against"].iloc[0],
        **{word: int(counts.get(word, 0)) for word in ("higher", "lower", "undecided")},
        "total": len(rows),
    }


def _faster(rows: pd.DataFrame) -> str:
    """Who is ahead by requests/s: the words of the verdict, or how often each verdict was."""
    words = _sides(rows)
    if words["undecided"] == words["total"]:
        return say("Neither {arm} nor {against} is shown to be the faster one.", **words)
    if words["higher"] == words["total"]:
        return say("{arm} is faster than {against}.", **words)
    if words["lower"] == words["total"]:
        return say("{arm} is slower than {against}.", **words)
    return say(
        "{arm} against {against}, by level: faster at {higher}, slower at {lower}, undecided at {undecided} of "
        "{total}.",
        **words,
    )


def _sooner(rows: pd.DataFrame) -> str:
    """Who is ahead by the 99th percentile of the wait."""
    words = _sides(rows)
    if words["undecided"] == words["total"]:
        return say("Neither {arm} nor {against} is shown to answer sooner.", **words)
    if words["lower"] == words["total"]:
        return say("{arm} answers sooner than {against}.", **words)
    if words["higher"] == words["total"]:
        return say("{arm} answers later than {against}.", **words)
    return say(
        "{arm} against {against}, by level: sooner at {lower}, later at {higher}, undecided at {undecided} of {total}.",
        **words,
    )


def _throughput(tables: Tables, rows: pd.DataFrame) -> str:
    words = {**_engines(rows), "conditions": _conditions(tables), "times": _times(tables, rows), "rule": _rule(rows)}
    if len(rows) > 1 or not words["conditions"]:
        return say("{arm} answered {times} as many requests/s as {against}: {rule}.", **words)
    return say("At {conditions}, {arm} answered {times} as many requests/s as {against}: {rule}.", **words)


def _waits(tables: Tables, rows: pd.DataFrame) -> str:
    words = {**_engines(rows), "conditions": _conditions(tables), "times": _times(tables, rows), "rule": _rule(rows)}
    if len(rows) > 1 or not words["conditions"]:
        return say(
            "At the same rate of requests, the 99th percentile of the wait with {arm} was {times} that with {against}: "
            "{rule}.",
            **words,
        )
    return say(
        "At {conditions}, the 99th percentile of the wait with {arm} was {times} that with {against}: {rule}.", **words
    )


def _costs(tables: Tables, pair: pd.DataFrame) -> list[str]:
    cpu = pair[(pair["measure"] == "director_cpu_us") & pair["ratio"].notna()]
    through = pair[(pair["measure"] == "director_bytes") & pair["ratio"].notna()]
    found = []
    if not separable(tables):
        found.append(say("What it cost the director in CPU time cannot be told: other hosts share its CPUs."))
    elif len(cpu):
        words = {"times": _times(tables, cpu), "rule": _rule(cpu)}
        found.append(say("It cost the director {times} the CPU time per request: {rule}.", **words))
    if len(through):
        words = {"times": _times(tables, through), "rule": _rule(through)}
        found.append(say("It sent {times} the bytes through the director per request: {rule}.", **words))
    return found


def _engines(rows: pd.DataFrame) -> dict[str, Any]:
    first = rows.iloc[0]
    return {
        "arm": _arm(first["arm"], first["engine"]),
        "against": _arm(first["against"], first["against_engine"]),
    }


def _rule(rows: pd.DataFrame) -> str:
    """The verdict, with the reason of an undecided one where its interval does not tell it; of several levels how often
    each was found."""
    if len(rows) == 1:
        row = rows.iloc[0]
        if row["verdict"] != "undecided" and row["marked"]:
            return say(
                "{verdict}, and without marks more so ({marks})", verdict=_word(row["verdict"]), marks=row["marked"]
            )
        told = row["why"] in ("", holds_one()) or row["n"] < FEWEST_BLOCKS
        return _word(row["verdict"]) if told else f"{_word(row['verdict'])}, {row['why']}"
    counts = rows["verdict"].value_counts()
    words = [
        say("{verdict} at {count}", verdict=_word(verdict), count=counts[verdict])
        for verdict in ("higher", "lower", "undecided")
        if verdict in counts
    ]
    found = {"verdicts": ", ".join(words), "total": len(rows), "n": rows["n"].min()}
    marked = ((rows["verdict"] == "undecided") & (rows["marked"] != "")).sum()
    if marked:
        return say(
            "{verdicts} of {total} levels ({n} or more blocks each; {count} of the undecided by marks of guards)",
            **found,
            count=marked,
        )
    return say("{verdicts} of {total} levels ({n} or more blocks each)", **found)


def _word(verdict: str) -> str:
    return {"higher": say("higher"), "lower": say("lower"), "undecided": say("undecided")}[verdict]


def _times(tables: Tables, rows: pd.DataFrame) -> str:
    """A ratio with its interval and the number of blocks; of several levels the lowest and the highest, and where."""
    if len(rows) > 1:
        ordered = rows.sort_values("ratio")
        ends = [
            say("{ratio} (at {levels})", ratio=ratio_text(row["ratio"]), levels=levels_of(tables, row))
            for row in (ordered.iloc[0], ordered.iloc[-1])
        ]
        return say("{low} to {high} times", low=ends[0], high=ends[1])
    row = rows.iloc[0]
    text, blocks = ratio_text(row["ratio"], row["low"], row["high"]), blocks_text(row["n"])
    if text.endswith(")"):
        return say("{ratio}, {blocks}) times", ratio=text[:-1], blocks=blocks)
    return say("{ratio} ({blocks}, no interval) times", ratio=text, blocks=blocks)


def _conditions(tables: Tables) -> str:
    """What holds for all cases that are compared."""
    cases = done(tables)
    values: dict[str, Any] = {}
    for column in ("file_size_bytes", "offered_per_s" if loop(tables) == "open" else "concurrency"):
        if cases[column].nunique() == 1:
            values[column] = cases[column].iloc[0]
    return say(" and ").join(level(column, value) for column, value in values.items())


def _arm(name: str, engine: str) -> str:
    return name if engine == "none" else say("{arm} (engine {engine})", arm=name, engine=engine)
