"""The seed's claim that Direct Server Return gains more on faster links, judged by the costs of a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from bmtlib.analysis.capacity import Demand, reach, worth
from bmtlib.analysis.cost_model import CPU, SIZE, Line, cost_lines
from bmtlib.analysis.naming import level
from bmtlib.analysis.tables import Tables
from bmtlib.stats import paired_ratio

Finding = Literal["reproduced", "not reproduced", "undecided", "not testable here"]


@dataclass(frozen=True, kw_only=True)
class LinkClaim:
    """How the claim fares. rows: link, size and both arms with ratio, low, high, the limit of each, and n blocks."""

    verdict: Finding
    why: str
    rows: pd.DataFrame


def judge_link_claim(tables: Tables, links: Iterable[float] = (10.0, 20.0), at_least: float = 1.1) -> LinkClaim:
    """The seed: L2DSR, 10 % faster at its 1G, is so "more at 10G, 20G". Judged by what one director carries.

    Reproduced when with each link and at each size measured the whole interval of l2dsr / proxy lies above `at_least`;
    not reproduced when each lies below; else undecided. The model lets clients and web hosts never be the limit: it
    says what the director could carry, not what a site of this size would.
    """
    rows = []
    for one, lines in cost_lines(tables):
        for other, against in cost_lines(tables):
            apart = [name for name in tables.factors if name != SIZE and pd.notna(one[name]) and pd.notna(other[name])]
            if (one["kind"], other["kind"]) != ("l2dsr", "proxy") or any(one[name] != other[name] for name in apart):
                continue
            rows += _link_rows(tables, one, lines, other, against, links)
    table = pd.DataFrame(rows, columns=["gbit_per_s", "kib", "arm", "against", "ratio", "low", "high", "limit", "n"])
    if table.empty:
        why = (
            "no arm of kind l2dsr and proxy has its costs measured over three file sizes, with a director on CPUs of "
            "its own: bmt run file-size"
        )
        return LinkClaim(verdict="not testable here", why=why, rows=table)
    above, below = table["low"] > at_least, table["high"] < at_least
    verdict: Finding = "reproduced" if above.all() else "not reproduced" if below.all() else "undecided"
    spans = f"{table['ratio'].min():.1f} to {table['ratio'].max():.1f}"
    gbit = " and ".join(f"{link:g}" for link in sorted(table["gbit_per_s"].unique()))
    why = (
        f"by the costs measured a director would carry {spans} times the requests/s with l2dsr on links of {gbit} "
        f"Gbit/s: {above.sum()} of {len(table)} (links x sizes) are above {at_least:g}, {below.sum()} below, "
        f"{(~above & ~below).sum()} undecided; {worth(tables)}"
    )
    return LinkClaim(verdict=verdict, why=why, rows=table)


def _link_rows(
    tables: Tables,
    one: Mapping[str, Any],
    lines: Mapping[str, Line | str],
    other: Mapping[str, Any],
    against: Mapping[str, Line | str],
    links: Iterable[float],
) -> list[dict[str, Any]]:
    cpus, rows = len(tables.run.get("director_cpus") or []) or 1, []
    measured = lines[CPU]
    for link in links:
        for kib in measured.kib if isinstance(measured, Line) else ():
            demand = Demand(requests_per_s=1, kib=float(kib), gbit_per_s=link)
            mine, theirs = reach(lines, demand, cpus), reach(against, demand, cpus)
            if isinstance(mine, str) or isinstance(theirs, str):
                continue
            blocks = sorted({*mine.blocks} & {*theirs.blocks})
            sides = [pd.Series(side.values, index=side.blocks)[blocks].to_numpy() for side in (mine, theirs)]
            found = paired_ratio(*sides)
            rows.append(
                {
                    "gbit_per_s": link,
                    "kib": float(kib),
                    "arm": _words(one),
                    "against": _words(other),
                    "ratio": found.median,
                    "low": found.low,
                    "high": found.high,
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
