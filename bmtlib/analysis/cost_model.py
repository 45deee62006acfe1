"""What a request costs the director by the size of its answer: a fixed part, and a part for each KiB.

A line is fitted in every block by itself, so a block is the unit here as everywhere: its coefficients, and whatever is
computed from them, have one value per block, and `stats.estimate` makes the interval over blocks. Residuals count as
shares of the cost at their size: costs go from tens to thousands of microseconds, and in absolute weights the largest
size alone would decide. Coefficients are not negative, because costs are not.

What a time limit cut off in flight has cost the director too, and is no right answer: of large files that can be a
tenth of all. Such a request counts as half of one here, so costs are a little lower than per right answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import nnls
from scipy.special import fdtrc

from bmtlib.analysis.costs import separable
from bmtlib.analysis.schema import COLUMNS
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import df_trials, keys, once
from bmtlib.stats import Estimate, Values, estimate
from bmtlib.texts import msg, say

FEWEST_SIZES = 3  # with two, every line fits, and nothing could show that the cost is no line
SIZE = "file_size_bytes"
CPU = "director_cpu_us"
# Columns of df_trials that may grow with the size -> words with their unit.
COSTS = {
    CPU: msg("director CPU, µs"),
    "director_in_bytes": msg("into the director, bytes"),
    "director_out_bytes": msg("out of the director, bytes"),
    "client_bytes": msg("received by the client, bytes"),
}
_BETWEEN = 40  # points of a drawn line: on logarithmic axes it is a curve


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """A cost as `fixed + per_kib * size`, one line per block.

    blocks, fixed, per_kib: entry i of each is of one block. kib: the sizes measured, ascending
    miss, miss_kib: the largest share by which the line misses a median over blocks, and at which size
    lack_p: how likely so large a misfit is by chance if the cost is a line (F test of lack of fit); NaN: cannot be told
    """

    blocks: tuple[int, ...]
    fixed: Values
    per_kib: Values
    kib: Values
    miss: float
    miss_kib: float
    lack_p: float

    def at(self, kib: float) -> Values:
        """The cost at a size, by block."""
        return self.fixed + self.per_kib * kib

    def outside(self, kib: float) -> bool:
        """Whether the size lies beyond those that were measured."""
        return not self.kib[0] <= kib <= self.kib[-1]


def fit_line(kib: Values, cost: Values, block: npt.NDArray[np.int64]) -> Line | str:
    """The line of each block through costs at sizes; entry i of all three is one case. Else why there is none.

    Blocks in which fewer than three sizes were measured are left out.

    >>> kib, block = np.array([1.0, 4.0, 16.0] * 2), np.array([1, 1, 1, 2, 2, 2])
    >>> line = fit_line(kib, 50 + 2 * kib, block)
    >>> line.fixed.round(6), line.per_kib.round(6), bool(line.miss < 1e-9)
    (array([50., 50.]), array([2., 2.]), True)
    >>> fit_line(kib[:2], kib[:2], block[:2])
    'needs 3 file sizes, found 2'
    """
    known = np.isfinite(kib) & np.isfinite(cost) & (cost > 0)
    table = pd.DataFrame({"kib": kib[known], "cost": cost[known], "block": block[known]})
    whole = table.groupby("block")["kib"].transform("nunique") >= FEWEST_SIZES
    if not whole.any():
        found_sizes = table.groupby("block")["kib"].nunique().max() or 0
        return say("needs {fewest} file sizes, found {found}", fewest=FEWEST_SIZES, found=f"{found_sizes:.0f}")
    table = table[whole]
    typical = table.groupby("kib")["cost"].median()
    blocks, found = [], []
    for _, part in table.groupby("block"):
        size, weight = part["kib"].to_numpy(), 1 / typical[part["kib"]].to_numpy()
        found.append(nnls(np.column_stack([weight, size * weight]), part["cost"].to_numpy() * weight)[0])
        blocks.append(int(part["block"].iloc[0]))
    fixed, per_kib = np.array(found).T
    middle = np.median(fixed[:, None] + per_kib[:, None] * typical.index.to_numpy(), axis=0)
    misses = np.abs(middle / typical.to_numpy() - 1)
    return Line(
        blocks=tuple(blocks),
        fixed=fixed,
        per_kib=per_kib,
        kib=typical.index.to_numpy(dtype=np.float64),
        miss=float(misses.max()),
        miss_kib=float(typical.index[misses.argmax()]),
        lack_p=_lack_of_fit(table, typical),
    )


def _lack_of_fit(table: pd.DataFrame, typical: pd.Series) -> float:
    """F test: do the means at the sizes lie further from one common line than blocks lie from their mean?

    Costs as shares of what is typical at their size. NaN where each size was measured once, or nothing scatters.
    """
    weight = 1 / table["kib"].map(typical).to_numpy()
    sides = np.column_stack([weight, table["kib"].to_numpy() * weight])
    shares = table["cost"].to_numpy() * weight
    rest = float(((shares - sides @ np.linalg.lstsq(sides, shares, rcond=None)[0]) ** 2).sum())
    means = pd.Series(shares).groupby(table["kib"].to_numpy()).transform("mean").to_numpy()
    pure = float(((shares - means) ** 2).sum())
    free = (len(typical) - 2, len(table) - len(typical))
    if free[1] <= 0 or pure <= 1e-12:
        return np.nan
    return float(fdtrc(*free, max(0.0, rest - pure) / free[0] / (pure / free[1])))


@once
def costs_by_case(tables: Tables) -> pd.DataFrame:
    """`df_trials` with its costs (COSTS) per request, of which one that was cut off in flight is half a one."""
    trials = df_trials(tables)
    cut_off = trials["case"].map(tables.cases.set_index("case")["cut_off"]).astype("float64").fillna(0).clip(lower=0)
    completed = trials["completed"].astype("float64")
    share = completed / (completed + cut_off / 2).replace(0.0, np.nan)
    return trials.assign(**{measure: trials[measure] * share for measure in COSTS})


def cost_lines(tables: Tables) -> Iterator[tuple[dict[str, Any], dict[str, Line | str]]]:
    """Each arm at each choice of the other levels, and its lines by measure (COSTS), or why there is none.

    Nothing where the size of the file was not varied; nor the arm direct, whose director has nothing to do.
    """
    if SIZE not in tables.factors:
        return
    trials = costs_by_case(tables)
    names = [name for name in keys(tables) if name != SIZE]
    for values, part in trials[trials["kind"] != "direct"].groupby(names, dropna=False, sort=False):
        kib, block = part[SIZE].to_numpy("float64") / 1024, part["block"].to_numpy("int64")
        lines = {measure: fit_line(kib, part[measure].to_numpy("float64"), block) for measure in COSTS}
        if not separable(tables):
            lines[CPU] = say("other hosts share the director's CPUs: its CPU time cannot be told from theirs")
        yield dict(zip(names, values, strict=True)), lines


@once
def df_cost_fit(tables: Tables) -> pd.DataFrame:
    """What a request costs the director by the size of its answer: fixed + per_kib x KiB, by arm and other levels.

    measure: director_cpu_us (µs), director_in_bytes, director_out_bytes, client_bytes; all per request
    fixed, per_kib with _low, _high: median over the lines of all blocks, and 95 % interval
    sizes, smallest_bytes, largest_bytes: what was measured; n: blocks
    miss_share, miss_bytes: the most by which the line misses a median over blocks, and at which size
    lack_p: probability of such a misfit by chance, if the cost is a line
    why: why there is no line; empty where there is one
    """
    rows = [
        {**names, "measure": measure, **_fit_row(line)}
        for names, lines in cost_lines(tables)
        for measure, line in lines.items()
    ]
    names = [name for name in keys(tables) if name != SIZE]
    reals = [f"{part}{end}" for part in ("fixed", "per_kib") for end in ("", "_low", "_high")]
    types = {
        **{name: COLUMNS["cases"][name] for name in names},
        "measure": "string",
        **dict.fromkeys(reals, "float64"),
        **dict.fromkeys(("sizes", "n"), "int64"),
        **dict.fromkeys(("smallest_bytes", "largest_bytes", "miss_bytes"), "Int64"),
        **dict.fromkeys(("miss_share", "lack_p"), "float64"),
        "why": "string",
    }
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def _fit_row(line: Line | str) -> dict[str, Any]:
    if isinstance(line, str):
        return {"sizes": 0, "n": 0, "why": line}
    parts: dict[str, Estimate] = {"fixed": estimate(line.fixed), "per_kib": estimate(line.per_kib)}
    return {
        **{name: found.median for name, found in parts.items()},
        **{f"{name}_low": found.low for name, found in parts.items()},
        **{f"{name}_high": found.high for name, found in parts.items()},
        "sizes": len(line.kib),
        "n": len(line.blocks),
        "smallest_bytes": round(1024 * line.kib[0]),
        "largest_bytes": round(1024 * line.kib[-1]),
        "miss_bytes": round(1024 * line.miss_kib),
        "miss_share": line.miss,
        "lack_p": line.lack_p,
        "why": "",
    }


@once
def df_cost_by_size(tables: Tables) -> pd.DataFrame:
    """The director's CPU time per request over the size of the answer: measured, and by the line of `df_cost_fit`.

    file_size_bytes: sizes measured, and others between them, for which measured_us is missing
    measured_us: median over blocks; line_us, low_us, high_us: of the line at this size, with its 95 % interval
    n: blocks
    """
    trials, rows = costs_by_case(tables), []
    for names, lines in cost_lines(tables):
        line = lines[CPU]
        if isinstance(line, str):
            continue
        part = trials
        for name, value in names.items():
            part = part[part[name].isna() if pd.isna(value) else part[name] == value]
        measured = part.groupby(SIZE)[CPU].median()
        between = np.geomspace(max(line.kib[0], 0.01), line.kib[-1], _BETWEEN) * 1024
        for size in sorted({*map(int, measured.index), *map(round, between)}):
            found = estimate(line.at(size / 1024))
            ends = {"line_us": found.median, "low_us": found.low, "high_us": found.high, "n": found.n}
            rows.append({**names, SIZE: size, "measured_us": measured.get(size, np.nan), **ends})
    types = {
        **{name: COLUMNS["cases"][name] for name in keys(tables)},
        **dict.fromkeys(("measured_us", "line_us", "low_us", "high_us"), "float64"),
        "n": "int64",
    }
    return pd.DataFrame(rows, columns=list(types)).astype(types)
