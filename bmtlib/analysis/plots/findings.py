"""The heading of each figure: what its table says, in one sentence, and no more than that."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from bmtlib.analysis.compare import (
    df_director_bytes,
    df_director_cpu,
    df_irq_softirq,
    df_ratio,
    df_waits,
    df_web_share,
)
from bmtlib.analysis.naming import (
    in_sentence,
    loop,
    named,
    number,
    percent,
    ratio_text,
    scales,
    series_label,
    wait_text,
    word,
)
from bmtlib.analysis.tables import Tables
from bmtlib.texts import say

_NAMED = 4  # arms with settings of their own that a heading has room for


def by_series(found: Mapping[str, float], text: Callable[[float], str]) -> str:
    """A figure of each series; where they are many, of each arm, from the lowest to the highest of its settings.

    >>> by_series({"proxy": 1.0, "l2dsr": 0.5}, str)
    'proxy 1.0, l2dsr 0.5'
    >>> by_series({**{f"proxy, {n} threads": n / 10 for n in (1, 2, 4, 8)}, "l2dsr": 0.5}, str)
    'proxy 0.1–0.8, l2dsr 0.5'
    """
    if len(found) <= _NAMED:
        return ", ".join(f"{in_sentence(series)} {text(value)}" for series, value in found.items())
    arms: dict[str, list[float]] = {}
    for series, value in found.items():
        arms.setdefault(series.partition(", ")[0], []).append(value)
    each = {arm: dict.fromkeys(text(end) for end in (min(values), max(values))) for arm, values in arms.items()}
    return ", ".join(f"{arm} {'–'.join(ends)}" for arm, ends in each.items())


def pair_text(tables: Tables, row: pd.Series) -> tuple[str, str]:
    """Names of both sides of a row of df_ratio; levels that are settings of an arm stand with the arm that has them."""
    own = [column for column in tables.factors if column not in scales(tables)]
    sides = []
    for side in ("arm", "against"):
        cases = tables.cases[tables.cases["arm"] == row[side]]
        has = [column for column in own if cases[column].notna().all()]
        values = {column: row[column] if column in has else pd.NA for column in tables.factors}
        sides.append(series_label(tables, {"arm": row[side], **values}))
    return sides[0], sides[1]


def throughput_finding(tables: Tables) -> str:
    """What df_ratio says about requests/s."""
    ratios = _ratios(tables, "requests_per_s")
    if ratios.empty:
        return say("Requests/s by arm")
    if len(ratios) == 1:
        row = ratios.iloc[0]
        arm, against = pair_text(tables, row)
        times = ratio_text(row["ratio"], row["low"], row["high"])
        names = {"arm": arm, "against": against, "times": times}
        if row["verdict"] == "undecided" and row["marked"]:  # its interval alone might decide it
            return say("Requests/s of {arm} and {against}: undecided by marks of guards, ratio {times}", **names)
        if row["verdict"] == "undecided":
            return say("Requests/s of {arm} and {against}: no difference shown, ratio {times}", **names)
        if row["verdict"] == "higher":
            return say("{arm} answers more requests/s than {against}: {times} times as many", **names)
        return say("{arm} answers fewer requests/s than {against}: {times} times as many", **names)
    return _many(ratios, say("Requests/s"))


def cpu_finding(tables: Tables) -> str:
    """What df_ratio says about the director's CPU time per request."""
    table, ratios = df_director_cpu(tables), _ratios(tables, "director_cpu_us")
    if not table["separable"].all():
        return say("Busy time of the CPUs that the director shares with other hosts, per request")
    if len(ratios) == 1:
        row = ratios.iloc[0]
        arm, against = pair_text(tables, row)
        times = ratio_text(row["ratio"], row["low"], row["high"])
        names = {"arm": arm, "against": against, "times": times}
        if row["verdict"] == "undecided" and row["marked"]:
            return say(
                "Director CPU per request, {arm} and {against}: undecided by marks of guards, ratio {times}", **names
            )
        if row["verdict"] == "undecided":
            return say("Director CPU per request, {arm} and {against}: no difference shown, ratio {times}", **names)
        if row["verdict"] == "lower":
            return say(
                "A request costs the director less CPU time with {arm} than with {against}: {times} times", **names
            )
        return say("A request costs the director more CPU time with {arm} than with {against}: {times} times", **names)
    return _many(ratios, say("Director CPU per request")) if len(ratios) else say("Director CPU time per request")


def bytes_finding(tables: Tables) -> str:
    """Whether answers pass the director, by its bytes."""
    table = named(tables, df_director_bytes(tables))
    table = table[(table["kind"] != "direct") & table["out_per_client_byte"].notna()]
    if table.empty:
        return say("Bytes through the director per request")
    if table["series"].nunique() > _NAMED:
        table = table.assign(series=table["arm"])
    parts = []
    for series, group in table.groupby("series", sort=False):
        values = sorted(
            {f"{value:.2f}" for value in (group["out_per_client_byte"].min(), group["out_per_client_byte"].max())}
        )
        parts.append(say("{bytes} with {arm}", bytes="–".join(values), arm=in_sentence(str(series))))
    return say("For each byte that clients receive, the director sends {parts}", parts=", ".join(parts))


def waits_finding(tables: Tables) -> str:
    """The 99th percentile by arm."""
    table = named(tables, df_waits(tables))
    if table.empty:
        return say("What clients waited")
    if scales(tables):
        if loop(tables) == "open":
            return say("What clients waited in an open loop: percentiles over all requests")
        return say("What clients waited in a closed loop: percentiles over all requests")
    waits = dict(zip(table["series"], table["p99_ms"], strict=True))
    found = by_series(waits, lambda wait_ms: wait_text(tables, wait_ms))
    if loop(tables) == "open":
        return say("In an open loop, 99 of 100 requests were answered within: {found}", found=found)
    return say("In a closed loop, 99 of 100 requests were answered within: {found}", found=found)


def busy_finding(tables: Tables) -> str:
    """How busy the director's CPUs were, by arm."""
    table = named(tables, df_director_cpu(tables)).dropna(subset="busy_share")
    if table.empty or table["scale"].nunique() > 1:
        return say("What the CPUs did while the load ran")
    shares = dict(zip(table["series"], table["busy_share"], strict=True))
    return say("The director's CPUs were busy: {shares}", shares=by_series(shares, percent))


def softirq_finding(tables: Tables) -> str:
    """Packet work on the director's CPUs, by arm."""
    table = named(tables, df_irq_softirq(tables))
    # Under the direct arm no packet comes to the director.
    table = table[(table["role"] == "director") & (table["name"] == "NET_RX") & (table["kind"] != "direct")]
    if table.empty or table["scale"].nunique() > 1:
        return say("Softirqs and interrupts per request, by CPU")
    sums = table.groupby("series", sort=False)["per_request"].sum()
    found = by_series({str(series): float(value) for series, value in sums.items()}, number)
    return say("Receive softirqs on the director's CPUs per request: {found}", found=found)


def web_share_finding(tables: Tables) -> str:
    """How even the spread was."""
    table = df_web_share(tables).dropna(subset="share")
    if table.empty:
        return say("Connections by web host")
    ends = dict.fromkeys(f"{100 * end:.1f}" for end in (table["share"].min(), table["share"].max()))
    low, high = next(iter(ends)), list(ends)[-1]
    if low == high:
        return say(
            "A web host took {share} % of the connections (an equal share: {fair} %)", share=low, fair=_fair(table)
        )
    return say(
        "A web host took {low} to {high} % of the connections (an equal share: {fair} %)",
        low=low,
        high=high,
        fair=_fair(table),
    )


def _fair(table: pd.DataFrame) -> str:
    return ", ".join(sorted({f"{share * 100:.1f}" for share in table["fair_share"]}))


def _ratios(tables: Tables, measure: str) -> pd.DataFrame:
    table = df_ratio(tables)
    return table[(table["measure"] == measure) & (table["n"] > 0)]


def _many(ratios: pd.DataFrame, what: str) -> str:
    """Several levels or pairs: from the lowest to the highest ratio, and what is decided."""
    pairs = {(row["arm"], row["against"]) for _, row in ratios.iterrows()}
    low, high = ratio_text(ratios["ratio"].min()), ratio_text(ratios["ratio"].max())
    counts = ratios["verdict"].value_counts()
    verdicts = [verdict for verdict in ("higher", "lower", "undecided") if verdict in counts]
    decided = ", ".join(say("{count} {what}", count=counts[verdict], what=word(verdict)) for verdict in verdicts)
    if len(pairs) == 1:
        arm, against = next(iter(pairs))
        what = say("{what}, {arm} against {against}", what=what, arm=arm, against=against)
    return say("{what}: {low} to {high} times, by level ({decided})", what=what, low=low, high=high, decided=decided)
