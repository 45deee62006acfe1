"""The answer in words, composed from the tables: never more than their intervals carry.

Every sentence is made from figures of this run; none is written beforehand. `limits` says what the run cannot show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from bmtlib.analysis.compare import df_cpu_busy, df_ratio, df_throughput
from bmtlib.analysis.costs import separable
from bmtlib.analysis.diagnose import limit_sentence
from bmtlib.analysis.drift import drift_sentence, strong_drift
from bmtlib.analysis.knee import knee_sentences
from bmtlib.analysis.limits import limits
from bmtlib.analysis.naming import level, loop, number, percent, ratio_text
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import done, keys
from bmtlib.analysis.used import df_used
from bmtlib.stats import FEWEST_BLOCKS
from bmtlib.texts import say

__all__ = ["Answer", "answer", "limits"]

FULL = 0.9  # a CPU that is busy for longer than this share has nothing left to give
_MOST_NAMED = 4  # arms and levels of which blocks are left out
NEAR = 0.9  # of the direct arm's rate: the arm hardly costs anything in throughput


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer of a run.

    verdict: higher, lower or undecided, of requests/s (of an open loop: of the wait's 99th percentile), when it is the
        same for all pairs and levels; "mixed" when it is not; "none" when there is nothing to compare, or when a knee
        was searched
    sentences: what was found; `str(answer)` joins them
    numbers: the rows of df_ratio that the sentences are made of
    """

    verdict: str
    sentences: tuple[str, ...]
    numbers: pd.DataFrame

    def __str__(self) -> str:
        return " ".join(self.sentences)


def answer(tables: Tables) -> Answer:
    """What the run says about its arms, and what limited it."""
    ratios = df_ratio(tables)
    ratios = ratios[ratios["n"] > 0]
    if found := knee_sentences(tables):
        # Cases of a search lie at levels of their own choice: their rates say nothing more.
        return Answer(verdict="none", sentences=(*found, _fidelity(tables)), numbers=ratios.iloc[:0])
    if ratios.empty:
        return Answer(verdict="none", sentences=_nothing(tables), numbers=ratios)
    sentences = []
    # In an open loop all arms are asked alike, and what they answer per second says nothing as long as they bear it.
    waits = loop(tables) == "open" and (ratios["measure"] == "wait_p99_ms").any()
    measure = "wait_p99_ms" if waits else "requests_per_s"
    for _, pair in ratios.groupby(["arm", "against"], sort=False):
        asked = pair[pair["measure"] == measure]
        if len(asked):
            sentences.append(_waits(tables, asked) if waits else _throughput(tables, asked))
        sentences += _costs(tables, pair)
    verdicts = set(ratios.loc[ratios["measure"] == measure, "verdict"])
    return Answer(
        verdict=verdicts.pop() if len(verdicts) == 1 else "mixed",
        sentences=(
            *sentences,
            *_left_out(tables),
            *_drift(tables),
            *_limit(tables),
            *_what_limited(tables),
            _fidelity(tables),
        ),
        numbers=ratios.reset_index(drop=True),
    )


def _nothing(tables: Tables) -> tuple[str, ...]:
    table = df_throughput(tables)
    if table.empty:
        total, words = len(tables.cases), tables.cases["status"].value_counts().items()
        return (
            f"There is no answer: of {total} cases none is done ({', '.join(f'{n} {word}' for word, n in words)}).",
        )
    if table["arm"].nunique() > 1:
        return ("There is no answer: in no block are two of the arms to compare both done.", *_left_out(tables))
    parts = [
        f"{number(row['requests_per_s'])} requests/s{f' at {at}' if (at := _level(tables, row)) else ''}"
        for _, row in table.iterrows()
    ]
    only = f"Only {_arm(table.iloc[0]['arm'], table.iloc[0]['engine'])} was measured: {', '.join(parts)}."
    return (only, *_left_out(tables))


def _left_out(tables: Tables) -> list[str]:
    """Whose blocks were measured and are not used; the worst first, and no more than a reader can bear."""
    table = df_used(tables)
    table = table[table["left_out"] > 0].sort_values(["decides", "left_out"], ascending=[True, False], kind="stable")
    sentences = []
    for _, row in table.head(_MOST_NAMED).iterrows():
        name = ", ".join(filter(None, [str(row["arm"]), _level(tables, row)]))
        means = "; the others are used." if row["decides"] else ": comparisons with it are undecided."
        sentences.append(f"{name}: {row['why']}{means}")
    if len(table) > _MOST_NAMED:
        sentences.append(f"{len(table) - _MOST_NAMED} more have cases that are left out.")
    return sentences


def _drift(tables: Tables) -> list[str]:
    """A drift that is large and more than chance belongs beside the figures."""
    return [drift_sentence(tables)] if strong_drift(tables) else []


def _throughput(tables: Tables, rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    arm, against = _arm(first["arm"], first["engine"]), _arm(first["against"], first["against_engine"])
    if len(rows) == 1:
        said = f"{arm} answered {_times(first)} as many requests/s as {against}: {_verdict(first)}."
        return _conditions(tables) + said
    return f"{arm} answered {_range(tables, rows)} as many requests/s as {against}: {_counts(rows)}."


def _waits(tables: Tables, rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    arm, against = _arm(first["arm"], first["engine"]), _arm(first["against"], first["against_engine"])
    many = _range(tables, rows) if len(rows) > 1 else _times(first)
    rule = _counts(rows) if len(rows) > 1 else _verdict(first)
    head = "At the same rate of requests" if len(rows) > 1 else _conditions(tables).removesuffix(", ")
    return f"{head}, the 99th percentile of the wait with {arm} was {many} that with {against}: {rule}."


def _costs(tables: Tables, pair: pd.DataFrame) -> list[str]:
    cpu = pair[(pair["measure"] == "director_cpu_us") & pair["ratio"].notna()]
    through = pair[(pair["measure"] == "director_bytes") & pair["ratio"].notna()]
    found = []
    if not separable(tables):
        found.append("What it cost the director in CPU time cannot be told: other hosts share its CPUs.")
    elif len(cpu) == 1:
        found.append(f"It cost the director {_times(cpu.iloc[0])} the CPU time per request: {_verdict(cpu.iloc[0])}.")
    elif len(cpu):
        found.append(f"It cost the director {_range(tables, cpu)} the CPU time per request: {_counts(cpu)}.")
    if len(through) == 1:
        row = through.iloc[0]
        found.append(f"It sent {_times(row)} the bytes through the director per request: {_verdict(row)}.")
    elif len(through):
        times = _range(tables, through)
        found.append(f"It sent {times} the bytes through the director per request: {_counts(through)}.")
    return found


def _verdict(row: pd.Series) -> str:
    """The verdict, with the reason of an undecided one where its interval does not tell it."""
    if row["verdict"] != "undecided" and row["marked"]:
        return say("{verdict}, and without marks more so ({marks})", verdict=row["verdict"], marks=row["marked"])
    told = row["why"] in ("", "the interval holds 1") or row["n"] < FEWEST_BLOCKS
    return str(row["verdict"]) if told else f"{row['verdict']}, {row['why']}"


def _times(row: pd.Series) -> str:
    """A ratio with its interval and the number of blocks."""
    blocks = f"{row['n']} block{'' if row['n'] == 1 else 's'}"
    text = ratio_text(row["ratio"], row["low"], row["high"])
    return f"{text[:-1]}, {blocks}) times" if text.endswith(")") else f"{text} ({blocks}, no interval) times"


def _range(tables: Tables, rows: pd.DataFrame) -> str:
    """Lowest and highest ratio of several levels, and where they were found."""
    ordered = rows.sort_values("ratio")
    ends = [f"{ratio_text(row['ratio'])} (at {_level(tables, row)})" for row in (ordered.iloc[0], ordered.iloc[-1])]
    return f"{ends[0]} to {ends[1]} times"


def _counts(rows: pd.DataFrame) -> str:
    counts = rows["verdict"].value_counts()
    words = [f"{word} at {counts[word]}" for word in ("higher", "lower", "undecided") if word in counts]
    marked = ((rows["verdict"] == "undecided") & (rows["marked"] != "")).sum()
    by_marks = say("; {count} of the undecided by marks of guards", count=marked) if marked else ""
    return f"{', '.join(words)} of {len(rows)} levels ({rows['n'].min()} or more blocks each{by_marks})"


def _conditions(tables: Tables) -> str:
    """What holds for all cases that are compared, at the head of a sentence."""
    cases = done(tables)
    values: dict[str, Any] = {}
    for column in ("file_size_bytes", "offered_per_s" if loop(tables) == "open" else "concurrency"):
        if cases[column].nunique() == 1:
            values[column] = cases[column].iloc[0]
    words = " and ".join(level(column, value) for column, value in values.items())
    return f"At {words}, " if words else ""


def _level(tables: Tables, row: pd.Series) -> str:
    """All levels of a row."""
    return ", ".join(level(column, row[column]) for column in tables.factors if pd.notna(row[column]))


def _arm(name: str, engine: str) -> str:
    return name if engine == "none" else f"{name} (engine {engine})"


def _limit(tables: Tables) -> list[str]:
    return list(filter(None, [limit_sentence(tables)]))


def _what_limited(tables: Tables) -> list[str]:
    """Whose CPUs were full, and whether an arm came near to what clients and web hosts can do by themselves."""
    busy = df_cpu_busy(tables)
    if not separable(tables) or busy.empty:
        return []
    names = keys(tables)
    director, other = (busy[busy["role"] == role].drop(columns="role") for role in ("director", "other"))
    both = director.merge(other, on=names, suffixes=("_director", "_other"))
    both = both[both["kind"] != "direct"]
    shares = zip(both["busiest_share_director"], both["busiest_share_other"], strict=True)
    both = both.assign(words=[_WHOSE[mine > FULL, others > FULL] for mine, others in shares])
    sentences = []
    for (arm, words), rows in both[both["words"] != ""].groupby(["arm", "words"], sort=False):
        own, others = _span(rows["busiest_share_director"]), _span(rows["busiest_share_other"])
        at = _where(tables, rows, both[both["arm"] == arm])
        sentences.append(f"With {arm}{at} {str(words).format(own=own, others=others)}")
    return [*sentences, *_near_direct(tables)]


# (director's CPUs full, those of clients and web hosts full) -> what that means
_WHOSE = {
    (False, True): "the CPUs of clients and web hosts were full ({others} busy) and the director's were not ({own}): "
    "its requests/s are what they can do, not what the director can.",
    (
        True,
        False,
    ): "the director was the limit: its CPUs were full ({own} busy), those of the other hosts not ({others}).",
    (True, True): "the CPUs of the director ({own} busy) and of clients and web hosts ({others}) were full alike.",
    (False, False): "",
}


def _near_direct(tables: Tables) -> list[str]:
    table = df_throughput(tables)
    on = [column for column in tables.factors if column in ("file_size_bytes", "concurrency", "keepalive")]
    direct = table.loc[table["kind"] == "direct", [*on, "requests_per_s"]]
    if direct.empty:
        return []
    rest = table[table["kind"] != "direct"]
    both = rest.merge(direct, on=on or None, how="left" if on else "cross", suffixes=("", "_direct"))
    sentences = []
    for arm, rows in both.groupby("arm", sort=False):
        share = rows["requests_per_s"] / rows["requests_per_s_direct"]
        if (share > NEAR).any():
            at = _where(tables, rows[share > NEAR], rows)
            sentences.append(f"{arm}{at} reached {_span(share[share > NEAR])} of the rate without a director.")
    return sentences


def _where(tables: Tables, rows: pd.DataFrame, all_rows: pd.DataFrame) -> str:
    """Which levels are meant, when it is not all of them."""
    if len(rows) == len(all_rows):
        return ""
    return f" at {'; '.join(_level(tables, row) for _, row in rows.iterrows())}"


def _span(shares: pd.Series) -> str:
    return " to ".join(dict.fromkeys(percent(share) for share in (shares.min(), shares.max())))


def _fidelity(tables: Tables) -> str:
    known = {
        "namespace": "Measured with all hosts in namespaces of one kernel (fidelity namespace)",
        "emulated": "Measured with an emulated director (fidelity emulated): ratios hold at best, figures do not",
    }
    found = tables.run.get("fidelity")
    return known.get(found or "", f"Measured with fidelity {found or 'unknown'}") + "."
