"""What a request costs by its size, and what follows for a site: tables of the report, where sizes were varied."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import pandas as pd

from bmtlib.analysis import compare
from bmtlib.analysis.capacity import Demand, df_capacity, worth
from bmtlib.analysis.cost_model import COSTS, SIZE
from bmtlib.analysis.naming import factor_word, level, series_label
from bmtlib.analysis.purchase import ASKED
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import done
from bmtlib.params.units import size_text
from bmtlib.report.forms import interval, records
from bmtlib.report.render import Html, Number, table
from bmtlib.texts import msg, say, translated

_RATES = (5_000, 50_000)
_LINKS = (1, 10, 25)
_UNLIKELY = 0.05  # a misfit that chance makes in fewer runs than this is one of the model
_NOTE = msg(
    "Lines fitted in each block, residuals as shares; 95 % intervals over blocks. Of a request that the time limit cut "
    "off half is counted. Last columns: the most by which the line misses what was measured, and whether that may be "
    "chance."
)


def cost_fit(tables: Tables) -> Html:
    """The fixed cost and the cost per KiB of each arm; nothing where the size was not varied."""
    rows = []
    for row in records(compare.df_cost_fit(tables)):
        words: dict[str, object] = {say("arm"): _series(tables, row), say("cost"): translated(COSTS[row["measure"]])}
        known = not row["why"]
        lack = say("no") if row["lack_p"] < _UNLIKELY else say("may be") if row["lack_p"] >= _UNLIKELY else ""
        sizes = (size_text(row["smallest_bytes"]), size_text(row["largest_bytes"])) if known else ()
        rows.append(
            {
                **words,
                say("fixed"): Number.of(row["fixed"]),
                say("95 % interval"): interval(row["fixed_low"], row["fixed_high"]),
                say("per KiB"): Number.of(row["per_kib"]),
                say("95 % interval "): interval(row["per_kib_low"], row["per_kib_high"]),
                say("sizes"): say("{low} to {high}", low=sizes[0], high=sizes[1]) if sizes else "",
                say("blocks"): Number.of(row["n"]),
                say("missed by"): Number.written(row["miss_share"], ".0%"),
                say("chance"): lack if known else say("no line: {why}", why=row["why"]),
            }
        )
    caption = say("Cost of a request: fixed + per KiB")
    return table(caption, rows, translated(_NOTE), anchor="t-cost-fit") if rows else Html("")


def capacity(tables: Tables) -> Html:
    """Directors that a site would take, at the smallest, a middle and the largest size measured, and that of ASKED."""
    if SIZE not in tables.factors or done(tables).empty:
        return Html("")
    sizes = sorted(int(size) for size in done(tables)[SIZE].unique())
    asked = round(1024 * ASKED.kib)  # where it was not measured the lines tell, if it lies between
    chosen = sorted({sizes[0], sizes[len(sizes) // 2], sizes[-1], *([asked] if sizes[0] < asked < sizes[-1] else [])})
    demands = [
        Demand(requests_per_s=rate, kib=size / 1024, gbit_per_s=link)
        for rate, size, link in product(_RATES, chosen, _LINKS)
    ]
    found = df_capacity(tables, demands)
    found = found[found["why"] == ""]
    if found.empty:
        return Html("")
    rows: list[dict[str, object]] = []
    for (rate, kib, link), part in found.groupby(["requests_per_s", "kib", "gbit_per_s"], sort=False):
        row: dict[str, object] = {
            say("requests/s"): Number.written(rate, ",.0f"),
            say("size"): size_text(round(1024 * float(str(kib)))),
            say("link (Gbit/s)"): Number.written(link, "g"),
        }
        row |= {_series(tables, one): count_text(one) for one in records(part)}
        rows.append({**row, say("web hosts' links, at least"): Number.of(int(part["web_links"].max()))})
    note = say(
        "Directors of {cpus} CPU(s) with one link each, both used to the full; in brackets the "
        "95 % interval; then what a director meets first. With l2dsr answers leave by the web hosts' own links, with "
        "proxy by those and the director's. Preambles and gaps of frames are not counted. "
        "{worth}. Other demands: bmt capacity.",
        cpus=int(found["cpus"].iloc[0]),
        worth=worth(tables).capitalize(),
    )
    return table(say("How many directors a site would take"), rows, note, anchor="t-capacity")


def count_text(row: Mapping[str, Any]) -> str:
    """Directors of a row of `df_capacity`: "3 (3–4), director CPU"."""
    low, high = row["directors_low"], row["directors_high"]
    known = not pd.isna(low) and (pd.isna(high) or low < high)
    spread = f" ({low}–{'?' if pd.isna(high) else high})" if known else ""
    return f"{row['directors']}{spread}, {translated(row['limit'])}"


def scaling(tables: Tables) -> Html:
    """How requests/s grow with threads or queues; nothing where no law could be fitted, which the figure says."""
    rows = []
    found = compare.df_scaling(tables)
    for row in records(found) if found["contention"].notna().any() else ():
        words: dict[str, object] = {
            say("arm"): _series(tables, row),
            say("along"): say(
                "{along}, {low} to {high}", along=factor_word(row["along"]), low=row["fewest"], high=row["most"]
            ),
            "law": {"amdahl": "Amdahl", "usl": "USL"}[row["law"]],
            say("most / fewest"): Number.written(row["speedup"], ".2f"),
            say("95 % interval"): interval(row["speedup_low"], row["speedup_high"]),
            say("contention"): Number.written(row["contention"], ".3f"),
            say("95 % interval "): interval(row["contention_low"], row["contention_high"]),
            say("coherence"): Number.written(row["coherence"], ".4f"),
            say("95 % interval  "): interval(row["coherence_low"], row["coherence_high"]),
            say("highest at"): Number.of(row["peak"]),
            say("director busy"): Number.written(row["full_share"], ".0%"),
            say("no fit because"): row["why"],
        }
        rows.append(words)
    note = say(
        "Amdahl's law and Gunther's universal scalability law, fitted in each block. Where the director is not busy at "
        "the most, clients or web hosts may be what flattens the curve."
    )
    return table(say("How requests/s grow with the director"), rows, note) if rows else Html("")


def _series(tables: Tables, row: Mapping[str, Any]) -> str:
    """An arm with its settings and its concurrency, where it was varied."""
    text = series_label(tables, {**row, **{name: row.get(name, pd.NA) for name in tables.factors}})
    return f"{text}, {level('concurrency', row['concurrency'])}" if "concurrency" in tables.factors else text
