"""How many directors a demand takes, over requests/s: what the capacity planner shows, as tables and sentences.

Everything stands on `capacity.df_capacity`: what one director carries does not depend on how much is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from bmtlib.analysis.capacity import Demand, df_capacity, whole
from bmtlib.analysis.cost_model import SIZE
from bmtlib.analysis.naming import in_sentence, number, series_label
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import records
from bmtlib.texts import say, say_n, translated

_POINTS = 240  # of a drawn line: steps have to look like steps
_BEYOND = 2.0  # so many times the demand is drawn
SWEEP = "bmt run file-size"  # the command that makes a run which can answer


def df_planned(tables: Tables, demand: Demand) -> pd.DataFrame:
    """Rows of `df_capacity` for one demand, with `series`: the arm with its own settings."""
    found = df_capacity(tables, [demand])
    return found.assign(series=[series_label(tables, {**row, SIZE: pd.NA}) for row in records(found)])


def why_not(tables: Tables, demand: Demand) -> str:
    """Why this run cannot say how many directors it takes, and what could; empty when it can."""
    found = df_capacity(tables, [demand])
    if not found.empty and (found["why"] == "").any():
        return ""
    reasons = "; ".join(found["why"].unique()) or say("the size of the file was not varied, or no case is done")
    return say(
        "This run cannot say how many directors it takes: {why}. Measure one that can: {command}, with a director on "
        "CPUs of its own.",
        why=reasons,
        command=SWEEP,
    )


def df_directors(tables: Tables, demand: Demand) -> pd.DataFrame:
    """Directors needed over requests/s, up to twice the demand, by arm: <names>, series, requests_per_s, directors,
    directors_low, directors_high (95 % interval; missing with fewer than three blocks, or where it is open)."""
    rates = np.arange(1, _POINTS + 1) / _POINTS * _BEYOND * demand.requests_per_s  # the demand is among them
    rows: list[dict[str, Any]] = []
    planned = df_planned(tables, demand)
    for row in records(planned[planned["why"] == ""]):
        one = [row[name] for name in ("per_director_per_s", "per_director_high", "per_director_low")]
        for rate in rates:
            counts = [whole(rate / each) if each else None for each in one]
            names = ("directors", "directors_low", "directors_high")
            rows.append({"series": row["series"], "requests_per_s": rate, **dict(zip(names, counts, strict=True))})
    types = {
        "series": "string",
        "requests_per_s": "float64",
        **dict.fromkeys(("directors", "directors_low", "directors_high"), "Int64"),
    }
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def carried(tables: Tables, demand: Demand, directors: int) -> list[str]:
    """What so many directors carry, arm by arm, and whether that is enough for the demand."""
    said: list[str] = []
    planned = df_planned(tables, demand)
    for row in records(planned[planned["why"] == ""]):
        most, low, high = (directors * row[f"per_director_{end}"] for end in ("per_s", "low", "high"))
        words: dict[str, Any] = {"arm": in_sentence(row["series"]), "rate": number(most)}
        if not np.isfinite(low):
            said.append(
                say_n(
                    "{arm}: {n} director carries {rate} requests/s; no interval.",
                    "{arm}: {n} directors carry {rate} requests/s; no interval.",
                    directors,
                    **words,
                )
            )
            continue
        words |= {"low": number(low), "high": number(high) if np.isfinite(high) else say("no end")}
        asked = demand.requests_per_s
        if low >= asked:
            said.append(
                say_n(
                    "{arm}: {n} director is enough: {rate} requests/s ({low} to {high}).",
                    "{arm}: {n} directors are enough: {rate} requests/s ({low} to {high}).",
                    directors,
                    **words,
                )
            )
        elif high < asked:
            said.append(
                say_n(
                    "{arm}: {n} director is not enough: {rate} requests/s ({low} to {high}).",
                    "{arm}: {n} directors are not enough: {rate} requests/s ({low} to {high}).",
                    directors,
                    **words,
                )
            )
        else:
            said.append(
                say_n(
                    "{arm}: not shown whether {n} director is enough: {rate} requests/s ({low} to {high}).",
                    "{arm}: not shown whether {n} directors are enough: {rate} requests/s ({low} to {high}).",
                    directors,
                    **words,
                )
            )
    return said


def directors_finding(tables: Tables, demand: Demand) -> str:
    """How many directors each arm takes for the demand."""
    planned = df_planned(tables, demand)
    each = []
    for row in records(planned[planned["why"] == ""]):
        count = "?" if pd.isna(row["directors"]) else row["directors"]
        low, high = row["directors_low"], row["directors_high"]
        ends = "" if pd.isna(low) else f" ({low}–{'?' if pd.isna(high) else high})"
        each.append(f"{in_sentence(row['series'])} {count}{ends}")
    return say(
        "Directors for {rate} requests/s of {kib:g} KiB: {each}",
        rate=number(demand.requests_per_s),
        kib=demand.kib,
        each=", ".join(each),
    )


def conclusions(tables: Tables, demand: Demand, directors: int = 0) -> list[str]:
    """The answer in one sentence, then arm by arm; or why there is none."""
    if why := why_not(tables, demand):
        return [why]
    return [f"{directors_finding(tables, demand)}.", *answers(tables, demand, directors)]


def answers(tables: Tables, demand: Demand, directors: int = 0) -> list[str]:
    """How many directors the demand takes, arm by arm, with what limits one; whether `directors` are enough, when they
    are given; then what the figures are worth."""
    planned = df_planned(tables, demand)
    enough = carried(tables, demand, directors) if directors else []
    return [*map(_answer, records(planned)), *enough, *_caveats(planned)]


def _answer(row: dict[str, Any]) -> str:
    words: dict[str, Any] = {"arm": in_sentence(row["series"]), "limit": translated(str(row["limit"]))}
    if row["why"]:
        return say("{arm}: not known, because {why}.", arm=words["arm"], why=row["why"])
    if pd.isna(row["directors"]):
        return say("{arm}: not known.", **words)
    n = int(row["directors"])
    if pd.isna(row["directors_low"]):
        return say_n(
            "{arm}: {n} director, limited by {limit}; no interval, for there are fewer than 3 blocks.",
            "{arm}: {n} directors, limited by {limit}; no interval, for there are fewer than 3 blocks.",
            n,
            **words,
        )
    if pd.isna(row["directors_high"]):
        return say_n(
            "{arm}: {n} director ({low} or more), limited by {limit}.",
            "{arm}: {n} directors ({low} or more), limited by {limit}.",
            n,
            **words,
            low=row["directors_low"],
        )
    if row["directors_low"] == row["directors_high"] == 1:
        return say("{arm}: one director is enough, limited by {limit}.", **words)
    ends = {"low": row["directors_low"], "high": row["directors_high"]}
    return say_n(
        "{arm}: {n} director ({low} to {high}), limited by {limit}.",
        "{arm}: {n} directors ({low} to {high}), limited by {limit}.",
        n,
        **words,
        **ends,
    )


def _caveats(planned: pd.DataFrame) -> Iterator[str]:
    links = planned["web_links"].max()
    if pd.notna(links):
        yield say("Links of web hosts that the answers fill, whatever the arm: {count}.", count=links)
    beyond = [text for text in planned["extrapolated"].unique() if text]
    if beyond:
        yield say("Beyond what was measured ({what}): a guess, no measurement.", what="; ".join(beyond))
    if len(planned):
        worth = str(planned["fidelity"].iloc[0])
        yield f"{worth[0].upper()}{worth[1:]}."
