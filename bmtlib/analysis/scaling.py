"""How an arm's rate grows with the director's threads or queues: Amdahl's law, and Gunther's universal scalability law.

    rate(N) = one * N / (1 + contention * (N - 1) + coherence * N * (N - 1))

Amdahl's law is the same with coherence 0. `contention` is the share of the work that cannot run side by side;
`coherence` is what keeping N workers in step costs, and the only term that lets the rate fall again
(N. J. Gunther, *Guerrilla Capacity Planning*, 2007, ch. 4). Fitted in every block by itself, with `stats.estimate` over
blocks, as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.optimize import OptimizeWarning, curve_fit

from bmtlib.analysis.costs import df_cpu_busy
from bmtlib.analysis.schema import COLUMNS
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import df_trials, keys, once
from bmtlib.stats import Values, estimate
from bmtlib.texts import say

FACTORS = ("threads", "queues")
FEWEST_LEVELS = {"amdahl": 3, "usl": 4}  # one more than each law has parameters
_NOTHING = 1e-5

Law = Literal["amdahl", "usl"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scaling:
    """A law with one set of parameters per block; entry i of each array is of one block.

    coherence is 0 under Amdahl's law. miss: the largest share by which the law misses a median over blocks
    """

    law: Law
    one: Values
    contention: Values
    coherence: Values
    miss: float

    @property
    def peak(self) -> float:
        """The N at which the rate is highest, median over blocks; NaN where it is not shown that it ever falls."""
        if not estimate(self.coherence).low > 0:
            return np.nan
        return float(np.median(np.sqrt((1 - self.contention) / self.coherence)))


def usl(n: Values, one: float, contention: float, coherence: float) -> Values:
    """The rate of n workers.

    >>> usl(np.array([1.0, 2.0]), 100.0, 0.0, 0.0), usl(np.array([2.0]), 100.0, 1.0, 0.0)
    (array([100., 200.]), array([100.]))
    """
    return one * n / (1 + contention * (n - 1) + coherence * n * (n - 1))


def amdahl(n: Values, one: float, contention: float) -> Values:
    """The rate of n workers."""
    return usl(n, one, contention, 0.0)


def fit_law(law: Law, workers: Values, rate: Values, block: Values) -> Scaling | str:
    """The law's parameters of each block; entry i of all three is one case. Else why there is no fit.

    Blocks that lack a level that others have are left out: what a law says must not hang on which levels a block has.
    """
    known = np.isfinite(workers) & np.isfinite(rate) & (rate > 0)
    table = pd.DataFrame({"n": workers[known], "rate": rate[known], "block": block[known]})
    levels = table["n"].nunique()
    if levels < FEWEST_LEVELS[law]:
        return say("needs {fewest} levels, found {found}", fewest=FEWEST_LEVELS[law], found=levels)
    found = []
    for _, part in table.groupby("block"):
        if part["n"].nunique() == levels:
            found.append(_fit(law, part["n"].to_numpy("float64"), part["rate"].to_numpy("float64")))
    fits = [values for values in found if values is not None]
    if not fits:
        return say("the fit does not converge") if found else say("no block has all levels")
    one, contention, coherence = np.array(fits).T
    # What a bounded fit leaves near its bound is that bound.
    contention, coherence = (np.where(values < _NOTHING, 0.0, values) for values in (contention, coherence))
    typical = table.groupby("n")["rate"].median()
    at = typical.index.to_numpy("float64")
    middle = np.median([usl(at, *values) for values in zip(one, contention, coherence, strict=True)], axis=0)
    miss = float(np.abs(middle / typical.to_numpy() - 1).max())
    return Scaling(law=law, one=one, contention=contention, coherence=coherence, miss=miss)


def _fit(law: Law, workers: Values, rate: Values) -> tuple[float, float, float] | None:
    curve: Callable[..., Values] = amdahl if law == "amdahl" else usl
    first = float(rate[workers.argmin()] / workers.min())
    start, high = ([first, 0.1], [np.inf, 1.0]) if law == "amdahl" else ([first, 0.1, 0.01], [np.inf, 1.0, 1.0])
    try:  # residuals as shares of the rate, as noise is
        found, _ = curve_fit(curve, workers, rate, p0=start, bounds=(0.0, high), sigma=rate, x_scale=start)
    except (RuntimeError, ValueError, OptimizeWarning):
        return None
    return (*map(float, found), 0.0)[:3]  # type: ignore[return-value]


@once
def df_scaling(tables: Tables) -> pd.DataFrame:
    """How requests/s grow with the director's threads or queues, by arm, other levels and law (amdahl, usl).

    along: the factor; levels: how many of it were reached, from fewest to most; n: blocks
    one_per_s: requests/s of one worker; contention (0 to 1), coherence: as in the module; each with _low and _high
    peak: workers at which the rate is highest (usl; missing where it is not shown that it ever falls)
    miss_share: the most by which the law misses a median over blocks
    speedup, speedup_low, speedup_high: rate at the most / at the fewest, measured, paired by block
    full_share: how busy the director's busiest CPU was at the most; below 0.9 clients or web hosts may be what
        flattens the curve
    why: why there is no fit; empty where there is one
    """
    trials, busy, rows = df_trials(tables), df_cpu_busy(tables), []
    for along in (name for name in FACTORS if name in tables.factors):
        names = [name for name in keys(tables) if name != along]
        of_it = trials[trials[along].notna() & (trials["kind"] != "direct")]
        for values, part in of_it.groupby(names, dropna=False, sort=False):
            about = dict(zip(names, values, strict=True))
            workers = part[along].to_numpy("float64")
            shared = {**_speedup(part, along), "full_share": _full_share(busy, about, along, workers)}
            shared |= {"levels": len(set(workers)), "fewest": workers.min(), "most": workers.max()}
            for law in FEWEST_LEVELS:
                fit = fit_law(law, workers, part["requests_per_s"].to_numpy("float64"), part["block"].to_numpy())  # type: ignore[arg-type]
                rows.append({**about, "along": along, "law": law, **shared, **_row(fit)})
    parts = [f"{name}{end}" for name in ("one_per_s", "contention", "coherence") for end in ("", "_low", "_high")]
    types = {
        **{name: COLUMNS["cases"][name] for name in keys(tables)},
        **dict.fromkeys(("along", "law"), "string"),
        **dict.fromkeys(("levels", "fewest", "most", "n"), "int64"),
        **dict.fromkeys(
            [*parts, "peak", "miss_share", "speedup", "speedup_low", "speedup_high", "full_share"], "float64"
        ),
        "why": "string",
    }
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def _row(fit: Scaling | str) -> dict[str, Any]:
    if isinstance(fit, str):
        return {"n": 0, "why": fit}
    row: dict[str, Any] = {"n": len(fit.one), "peak": fit.peak, "miss_share": fit.miss, "why": ""}
    for name, values in (("one_per_s", fit.one), ("contention", fit.contention), ("coherence", fit.coherence)):
        if name == "coherence" and fit.law == "amdahl":
            continue
        found = estimate(values)
        row |= {name: found.median, f"{name}_low": found.low, f"{name}_high": found.high}
    return row


def _speedup(part: pd.DataFrame, along: str) -> dict[str, Any]:
    """Highest level against lowest, of the blocks that have both."""
    rates = part.pivot_table(index="block", columns=along, values="requests_per_s")
    found = estimate((rates[rates.columns.max()] / rates[rates.columns.min()]).to_numpy("float64"))
    return {"speedup": found.median, "speedup_low": found.low, "speedup_high": found.high}


def _full_share(busy: pd.DataFrame, about: dict[str, Any], along: str, workers: Values) -> float:
    at = busy[(busy["role"] == "director") & (busy[along] == workers.max())]
    for name, value in about.items():
        at = at[at[name].isna() if pd.isna(value) else at[name] == value]
    return float(at["busiest_share"].iloc[0]) if len(at) else np.nan
