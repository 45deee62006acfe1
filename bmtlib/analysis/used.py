"""How many of the measured blocks are used, how many are left out, and why: nothing leaves a comparison in silence.

A case that a guard rejected, or that failed, takes no part in any figure. Few of them are said. When they are many the
rest is no fair sample of the arm any more (what goes wrong under load goes wrong in the worst blocks first), so a
comparison built on it is undecided. The rule holds for each side by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import arranged, keys, once

# Of the blocks that were measured, the share that may be left out before the rest decides nothing.
MOST_LEFT_OUT = 0.25
# Measured, and not used. The other states (not run, interrupted, left out) say nothing about the arm.
_LEFT_OUT = ("rejected", "failed", "unreadable")


@once
def df_used(tables: Tables) -> pd.DataFrame:
    """One row per arm and choice of levels of the plan: what became of its blocks.

    planned; measured: done, rejected, failed or unreadable; used: done; left_out: measured and not used; not_measured
    decides: False when more than MOST_LEFT_OUT of the measured blocks are left out
    why: of those left out: "2 of 8 measured cases rejected by the guard overlap, 1 failed", else empty
    """
    names, rows = keys(tables), []
    cases = tables.cases.assign(engine=_engines(tables))
    for values, part in cases.groupby(names, dropna=False, sort=False):
        rows.append({**dict(zip(names, values, strict=True)), **used(tables, part)})
    kinds = {name: tables.cases[name].dtype for name in names}
    counts = dict.fromkeys(("planned", "measured", "used", "left_out", "not_measured"), "int64")
    types: dict[str, Any] = {**kinds, **counts, "decides": "bool", "why": "string"}
    return arranged(tables, pd.DataFrame(rows, columns=list(types)).astype(types))


def _engines(tables: Tables) -> pd.Series:
    """A case that was not measured has the engine that was planned (auto): it belongs to those that were."""
    return tables.cases["arm"].map(tables.run.get("engine") or {}).fillna(tables.cases["engine"]).astype("string")


def used(tables: Tables, cases: pd.DataFrame) -> dict[str, Any]:
    """What became of `cases`, rows of the table of that name; as in `df_used`."""
    states = Counter(cases["status"])
    left_out = sum(states[state] for state in _LEFT_OUT)
    measured = left_out + states["done"]
    return {
        "planned": len(cases),
        "measured": measured,
        "used": states["done"],
        "left_out": left_out,
        "not_measured": len(cases) - measured,
        "decides": left_out <= MOST_LEFT_OUT * measured,
        "why": _why(tables, cases, measured) if left_out else "",
    }


def spoilt_by(tables: Tables, side: Mapping[str, Any]) -> str:
    """Why too many cases of an arm at its levels (the columns of `keys`) are left out; empty when they are not."""
    table = df_used(tables)
    for name in keys(tables):
        value = side[name]
        table = table[table[name].isna() if pd.isna(value) else (table[name] == value).fillna(False)]
    return "; ".join(table.loc[~table["decides"], "why"])


def _why(tables: Tables, cases: pd.DataFrame, measured: int) -> str:
    """Words such as: 2 of 8 measured cases rejected by the guard overlap, 1 failed."""
    judged = tables.guards[(tables.guards["verdict"] == "reject") & tables.guards["case"].isin(cases["case"])]
    parts: list[str] = []
    for state in _LEFT_OUT:
        ours = cases[cases["status"] == state]["case"]
        if len(ours):
            guards = dict.fromkeys(judged.loc[judged["case"].isin(ours), "name"])
            word = "guard" if len(guards) == 1 else "guards"
            by = f" by the {word} {' and '.join(guards)}" if guards and state == "rejected" else ""
            whole = f" of {measured} measured case{'' if measured == 1 else 's'}" if not parts else ""
            parts.append(f"{len(ours)}{whole} {state}{by}")
    return ", ".join(parts)
