"""The seed's claim that Direct Server Return gains more on faster links, judged by the costs of a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bmtlib.analysis.capacity import Demand, reach, worth
from bmtlib.analysis.cost_model import CPU, SIZE, Line, cost_lines
from bmtlib.analysis.judged import Judged, all_of, by_interval, few_blocks, more_blocks
from bmtlib.analysis.naming import level, ratio_text
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import done, once
from bmtlib.stats import FEWEST_BLOCKS, Estimate, paired_ratio
from bmtlib.texts import say

LINKS = (10.0, 20.0)  # Gbit/s
AT_LEAST = 1.1  # what the study found on its 1 Gbit/s: on faster links it has to be more
_FIGURES = ("ratio", "low", "high", "min", "max")


@once
def df_link_gain(tables: Tables) -> pd.DataFrame:
    """How many times the requests/s a director carries with l2dsr what it does with a proxy, by link and size measured.

    gbit_per_s, kib; arm, against: both in words; ratio with low, high, min, max over n blocks; limit: of each side. The
    model lets clients and web hosts never be the limit: it says what the director could carry, not what a site would.
    """
    rows = []
    for one, lines in cost_lines(tables):
        for other, against in cost_lines(tables):
            apart = [name for name in tables.factors if name != SIZE and pd.notna(one[name]) and pd.notna(other[name])]
            if (one["kind"], other["kind"]) != ("l2dsr", "proxy") or any(one[name] != other[name] for name in apart):
                continue
            rows += _rows(tables, one, lines, other, against)
    return pd.DataFrame(rows, columns=["gbit_per_s", "kib", "arm", "against", *_FIGURES, "limit", "n"])


def judge_link_claim(tables: Tables) -> Judged:
    """The seed: L2DSR, 10 % faster at its 1G, is so "more at 10G, 20G". Judged by what one director carries.

    Reproduced when with each link and at each size measured the whole interval of l2dsr / proxy lies above AT_LEAST;
    not reproduced when each lies below; else undecided.
    """
    table = df_link_gain(tables)
    if table.empty:
        why = say(
            "no arm of kind l2dsr and proxy has its costs measured over three file sizes, with a director on CPUs of "
            "its own: bmt run file-size"
        )
        return Judged(verdict="not testable here", evidence=why, decide="bmt run file-size")
    gains = [
        Estimate(median=row["ratio"], **{name: row[name] for name in ("low", "high", "min", "max", "n")})
        for row in table.to_dict("records")
    ]
    above, below = table["low"] > AT_LEAST, table["high"] < AT_LEAST
    least = min(gains, key=lambda gain: gain.median)
    verdict = all_of(by_interval(gain, (AT_LEAST, float("inf"))) for gain in gains)
    spans = say("{low} to {high}", low=f"{table['ratio'].min():.1f}", high=f"{table['ratio'].max():.1f}")
    gbit = say(" and ").join(f"{link:g}" for link in sorted(table["gbit_per_s"].unique()))
    why = say(
        "by the costs measured a director would carry {spans} times the requests/s with l2dsr on links of {gbit} "
        "Gbit/s: {above} of {total} (links x sizes) are above {at_least}, {below} below, {undecided} undecided; "
        "{worth}",
        spans=spans,
        gbit=gbit,
        above=above.sum(),
        total=len(table),
        at_least=f"{AT_LEAST:g}",
        below=below.sum(),
        undecided=(~above & ~below).sum(),
        worth=worth(tables),
    )
    cases = done(tables)
    return Judged(
        verdict=verdict,
        evidence=why,
        found=least,
        shown=say(
            "{spans} times; the least: {ratio}", spans=spans, ratio=ratio_text(least.median, least.low, least.high)
        ),
        decide=_decide(gains, bool(above.any() and below.any())) if verdict == "undecided" else "",
        metric="director_cpu_us_per_request",
        cases=tuple(cases.loc[cases["kind"].isin(("l2dsr", "proxy")), "case"]),
    )


def _decide(gains: list[Estimate], parted: bool) -> str:
    if parted:
        return say("a claim for each size: it holds for some and not for others")
    if min(gain.n for gain in gains) < FEWEST_BLOCKS:
        return few_blocks(FEWEST_BLOCKS)
    widest = min(
        (gain for gain in gains if gain.low <= AT_LEAST <= gain.high), key=lambda gain: abs(gain.median - AT_LEAST)
    )
    return more_blocks(widest, [AT_LEAST])


def _rows(
    tables: Tables,
    one: Mapping[str, Any],
    lines: Mapping[str, Line | str],
    other: Mapping[str, Any],
    against: Mapping[str, Line | str],
) -> list[dict[str, Any]]:
    cpus, rows = len(tables.run.get("director_cpus") or []) or 1, []
    measured = lines[CPU]
    for link in LINKS:
        for kib in measured.kib if isinstance(measured, Line) else ():
            demand = Demand(requests_per_s=1, kib=float(kib), gbit_per_s=link)
            mine, theirs = reach(lines, demand, cpus), reach(against, demand, cpus)
            if isinstance(mine, str) or isinstance(theirs, str):
                continue
            blocks = sorted({*mine.blocks} & {*theirs.blocks})
            sides = [pd.Series(side.values, index=side.blocks)[blocks].to_numpy() for side in (mine, theirs)]
            found = paired_ratio(*sides)
            figures = (found.median, found.low, found.high, found.min, found.max)
            rows.append(
                {
                    "gbit_per_s": link,
                    "kib": float(kib),
                    "arm": _words(one),
                    "against": _words(other),
                    **dict(zip(_FIGURES, figures, strict=True)),
                    "limit": f"{mine.limit} / {theirs.limit}",
                    "n": found.n,
                }
            )
    return rows


def _words(names: Mapping[str, Any]) -> str:
    own = [
        level(name, names[name]) for name in names if name not in ("arm", "kind", "engine") and pd.notna(names[name])
    ]
    return ", ".join([str(names["arm"]), *own])
