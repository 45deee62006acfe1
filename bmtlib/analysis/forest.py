"""What the forest of ratios draws: every ratio of two arms, and of many levels those at both ends."""

from __future__ import annotations

import pandas as pd

from bmtlib.analysis.compare import MEASURES, df_ratio, df_trials
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import once

MOST_ROWS = 9  # of one measure; a reader has ten seconds
_ENDS = 4  # of more rows: so many lowest, and as many highest


@once
def df_forest(tables: Tables) -> pd.DataFrame:
    """The rows of `df_ratio` that have a ratio, measure by measure in the order of MEASURES.

    As there, and place: in which order they are drawn, within a measure; missing: folded away, because more than
    MOST_ROWS would be drawn and this one lies between the ends. Few rows stand in the order of their levels, many from
    the highest ratio to the lowest.
    """
    found = df_ratio(tables)
    found = found[found["ratio"].notna()]
    parts = []
    for measure in MEASURES:
        part = found[found["measure"] == measure]
        if len(part) <= MOST_ROWS:
            parts.append(part.assign(place=range(len(part))))
            continue
        ordered = part.sort_values("ratio", ascending=False, kind="stable")
        places = [*range(_ENDS), *[pd.NA] * (len(ordered) - 2 * _ENDS), *range(_ENDS + 1, 2 * _ENDS + 1)]
        parts.append(ordered.assign(place=places))
    return pd.concat(parts).astype({"place": "Int64"}).reset_index(drop=True)


@once
def df_ratio_blocks(tables: Tables) -> pd.DataFrame:
    """The single blocks under each row of `df_ratio`: its names, block, ratio."""
    trials, rows = df_trials(tables), []
    names = ["measure", "arm", "against", *tables.factors]
    for row in df_ratio(tables).to_dict("records"):
        sides = []
        for side in ("arm", "against"):
            mine = trials[trials["arm"] == row[side]]
            for factor in tables.factors:
                # A level that only one side has is that side's.
                if mine[factor].notna().any():
                    mine = mine[(mine[factor] == row[factor]).fillna(False)]
            sides.append(mine[["block", row["measure"]]])
        both = sides[0].merge(sides[1], on="block")
        above, below = (both[f"{row['measure']}_{end}"].astype("float64") for end in "xy")
        ratios = (above / below.where(below > 0)).dropna()
        own = {name: row[name] for name in names}
        rows += [{**own, "block": both["block"][i], "ratio": value} for i, value in ratios.items()]
    return pd.DataFrame(rows, columns=[*names, "block", "ratio"])
