"""What follows from a notebook's tables, in sentences: each figure with its interval, its spread or its count.

`answer` speaks of the whole run; these speak of one question each, and say less where less was measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from bmtlib.analysis.compare import df_ratio, holds_one
from bmtlib.analysis.costs import df_director_bytes, df_director_cpu, separable
from bmtlib.analysis.drops import df_lost, unread
from bmtlib.analysis.irqs import df_packets_by_cpu
from bmtlib.analysis.naming import (
    blocks_text,
    in_sentence,
    named,
    no_interval,
    number,
    percent,
    ratio_text,
    wait_text,
    word,
)
from bmtlib.analysis.settings import df_settings
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import records
from bmtlib.analysis.waits import df_little, df_waits
from bmtlib.stats import FEWEST_BLOCKS
from bmtlib.texts import say

_MOST = 4  # rows of a table that are told one by one; more are for the table itself
_IDLE = 0.9  # of the connections in flight: fewer, and the clients were late
_MUCH = 0.9  # of the packets: one CPU had nearly all of them
_THROUGH = 0.9  # bytes out of the director for each that clients got: the answers go through it


def waits(tables: Tables) -> list[str]:
    """What clients waited with each arm, how the arms compare, and whether the clients kept their connections busy."""
    found = named(tables, df_waits(tables))
    if found.empty:
        return [say("No wait was measured in this run.")]
    said = _ratios(
        tables,
        "wait_p99_ms",
        lambda row: say(
            "With {arm} the 99th percentile of the wait was {ratio} times that with {against} ({spread}): {verdict}.",
            **row,
        ),
        lambda rows: say(
            "With {arm} the 99th percentile of the wait was {least} to {most} times that with {against}: "
            "higher at {higher}, lower at {lower}, undecided at {undecided} of {levels} levels ({blocks} or more).",
            **rows,
        ),
    )
    said += [
        say(
            "{arm}: half of {requests} requests had their answer within {half}, 99 in 100 within {most}, "
            "the last one after {longest} (pooled over {blocks}).",
            arm=_name(row),
            requests=f"{row['requests']:,}",
            half=wait_text(tables, row["p50_ms"]),
            most=wait_text(tables, row["p99_ms"]),
            longest=wait_text(tables, row["max_ms"]),
            blocks=blocks_text(row["blocks"]),
        )
        for row in records(found.head(_MOST))
    ]
    said += _more(len(found) - _MOST)
    late = named(tables, df_little(tables)).query("in_flight_share < @_IDLE")
    said += [
        say(
            "{arm}: only {share} of the connections had a request in flight: the clients are part of what limits it.",
            arm=_name(row),
            share=percent(row["in_flight_share"]),
        )
        for row in records(late.head(_MOST))
    ]
    return said


def director_cost(tables: Tables) -> list[str]:
    """What a request cost the director in CPU time and bytes, by arm and against each other."""
    arms = df_director_bytes(tables).query("kind != 'direct'")
    if arms.empty:
        return [say("No arm of this run has a director at work.")]
    if not separable(tables):
        said = [say("What a request cost the director in CPU time cannot be told: other hosts share its CPUs.")]
    else:
        said = _ratios(
            tables,
            "director_cpu_us",
            lambda row: say(
                "With {arm} a request cost the director {ratio} times the CPU time that it cost with {against} "
                "({spread}): {verdict}.",
                **row,
            ),
            lambda rows: say(
                "With {arm} a request cost the director {least} to {most} times the CPU time that it cost with "
                "{against}: higher at {higher}, lower at {lower}, undecided at {undecided} of {levels} levels "
                "({blocks} or more).",
                **rows,
            ),
        )
        said += _cpu(tables)
    said += _ratios(
        tables,
        "director_bytes",
        lambda row: say(
            "With {arm} {ratio} times as many bytes per request went through the director as with {against} "
            "({spread}): {verdict}.",
            **row,
        ),
        lambda rows: say(
            "With {arm} {least} to {most} times as many bytes per request went through the director as with {against}: "
            "higher at {higher}, lower at {lower}, undecided at {undecided} of {levels} levels ({blocks} or more).",
            **rows,
        ),
    )
    found = named(tables, arms)
    passed = found[found["out_per_client_byte"] < _THROUGH]
    said += [
        say(
            "With {arm} the director sent {share} of a byte for each byte that clients received: answers pass it by.",
            arm=_name(row),
            share=number(row["out_per_client_byte"]),
        )
        for row in records(passed.head(_MOST))
    ]
    return said


def packets_and_losses(tables: Tables) -> list[str]:
    """Which CPUs had the director's packets, what was lost where, and which settings changed the rate."""
    said = []
    cpus = named(tables, df_packets_by_cpu(tables).query("kind != 'direct'"))
    # One that had no packet has no share.
    cpus = cpus[cpus["share"].notna()].sort_values("share", ascending=False, kind="stable")
    counts = cpus.groupby(["series", "scale"])["cpu"].nunique().to_dict()
    busiest = records(cpus.drop_duplicates(["series", "scale"]).sort_index())
    said += [
        say(
            "With {arm}, CPU {cpu} had {share} of the director's packets.",
            arm=_name(row),
            cpu=row["cpu"],
            share=percent(row["share"]),
        )
        if row["share"] >= _MUCH
        else say(
            "With {arm}, {cpus} CPUs had the director's packets, the busiest of them {share}.",
            arm=_name(row),
            cpus=counts[row["series"], row["scale"]],
            share=percent(row["share"]),
        )
        for row in busiest[:_MOST]
    ]
    said += _more(len(busiest) - _MOST)
    return said + _lost(tables) + _settings(tables)


def _name(row: Mapping[str, Any]) -> str:
    """The arm with its settings, and the levels that are scales: "proxy (2 threads), 5 KiB"."""
    return ", ".join(filter(None, [in_sentence(row["series"]), row["scale"]]))


def _more(rest: int) -> list[str]:
    return [say("The table has {rest} more.", rest=rest)] if rest > 0 else []


def _ratios(
    tables: Tables,
    measure: str,
    one: Callable[[dict[str, object]], str],
    several: Callable[[dict[str, object]], str],
) -> list[str]:
    """How arms compare in one measure: one sentence for each pair of them, over all levels."""
    rows = df_ratio(tables)
    rows = rows[(rows["measure"] == measure) & rows["ratio"].notna()]
    said = []
    for (arm, against), part in rows.groupby(["arm", "against"], sort=False):
        both = {"arm": arm, "against": against}
        if len(part) == 1:
            row = part.iloc[0]
            found = {"ratio": ratio_text(row["ratio"]), "spread": _spread(row), "verdict": _verdict(row)}
            said.append(one({**both, **found}))
            continue
        counts = part["verdict"].value_counts()
        ends = {"least": ratio_text(part["ratio"].min()), "most": ratio_text(part["ratio"].max())}
        words = {word: counts.get(word, 0) for word in ("higher", "lower", "undecided")}
        said.append(several({**both, **ends, **words, "levels": len(part), "blocks": blocks_text(part["n"].min())}))
    return said


def _verdict(row: pd.Series) -> str:
    """The verdict; of an undecided one the reason, where the interval does not tell it."""
    if row["why"] in ("", holds_one()) or row["n"] < FEWEST_BLOCKS:
        return word(row["verdict"])
    return say("undecided ({why})", why=row["why"])


def _spread(row: pd.Series) -> str:
    if row["n"] < FEWEST_BLOCKS:
        return no_interval(row["n"])
    low, high = ratio_text(row["low"]), ratio_text(row["high"])
    return say("95 % interval {low} to {high}, {blocks}", low=low, high=high, blocks=blocks_text(row["n"]))


def _cpu(tables: Tables) -> list[str]:
    rows = named(tables, df_director_cpu(tables).query("kind != 'direct'")).dropna(subset="total_us")
    said = []
    for row in records(rows.head(_MOST)):
        at = {"arm": _name(row), "total": number(row["total_us"]), "blocks": blocks_text(row["n"])}
        share = percent(row["softirq_us"] / row["total_us"]) if row["total_us"] else "0 %"
        if row["n"] < FEWEST_BLOCKS:
            said.append(
                say("{arm}: {total} µs of CPU time per request ({blocks}), {share} of it softirq.", share=share, **at)
            )
        else:
            spread = {"low": number(row["low_us"]), "high": number(row["high_us"])}
            said.append(
                say(
                    "{arm}: {total} µs of CPU time per request (95 % interval {low} to {high}, {blocks}), "
                    "{share} of it softirq.",
                    share=share,
                    **at,
                    **spread,
                )
            )
    return said + _more(len(rows) - _MOST)


def _lost(tables: Tables) -> list[str]:
    lost = named(tables, df_lost(tables))
    if lost.empty:
        return [say("No case was measured, so nothing is known of losses.")]
    unknown = list(dict.fromkeys(lost.loc[lost["role"] == "unknown", "layer"]))
    found = lost[lost["count"].fillna(0) > 0].sort_values("per_1000", ascending=False, kind="stable")
    said = [
        say(
            "{arm}: {count} lost in the layer “{layer}” ({role}), {share} per 1,000 right answers over {blocks}.",
            arm=_name(row),
            count=f"{row['count']:,}",
            layer=row["layer"],
            role=row["role"],
            share=number(row["per_1000"]),
            blocks=blocks_text(row["blocks"]),
        )
        for row in records(found.head(_MOST))
    ]
    said += _more(len(found) - _MOST)
    if found.empty:
        said = [say("In no layer that was measured anything was lost.")]
    said += [say("Not measured: {layers}.", layers="; ".join(unknown))] if unknown else []
    return [*said, *filter(None, [unread(tables)])]


def _settings(tables: Tables) -> list[str]:
    """Settings whose interval keeps off 1, by how much they changed the rate."""
    found = df_settings(tables)
    found = found[(found["measure"] == "requests_per_s") & ~found["first"]]
    if found.empty:
        return []
    decided = named(tables, found[found["verdict"].isin(["higher", "lower"])])
    said = [
        say(
            "{arm}: {ratio} times the requests/s of the first setting of its arm: {verdict}.",
            arm=_name(row),
            ratio=ratio_text(row["ratio"], row["ratio_low"], row["ratio_high"]),
            verdict=word(row["verdict"]),
        )
        for row in _strongest(records(decided))
    ]
    rest = len(found) - len(decided)
    return said + ([say("Undecided: {rest} of {all} settings.", rest=rest, all=len(found))] if rest else [])


def _strongest(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: abs(math.log(row["ratio"])), reverse=True)[:_MOST]
