"""How many directors a demand takes, by arm, and what limits each: worked out from the lines of `cost_model`.

A director gives out at the first of three limits: its CPUs, what its link brings in, what its link takes out (a link
carries as much each way). Everything is computed block by block, so intervals are those of the blocks; they are
widened by the share by which the line missed what was measured. Beyond the sizes that were measured a figure is marked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bmtlib.analysis.cost_model import CPU, SIZE, Line, cost_lines
from bmtlib.analysis.naming import fidelity
from bmtlib.analysis.schema import COLUMNS
from bmtlib.analysis.tables import Tables, read_tables
from bmtlib.analysis.trials import keys
from bmtlib.errors import InputError
from bmtlib.params.units import size_text
from bmtlib.rundir import RunDir
from bmtlib.stats import Estimate, Values, estimate
from bmtlib.texts import msg, say, translated

# Limit of a director -> the cost that reaches it.
LIMITS = {
    msg("director CPU"): CPU,
    msg("link into the director"): "director_in_bytes",
    msg("link out of the director"): "director_out_bytes",
}
# What figures of a testbed are worth, by its fidelity.
_WORTH = {
    "namespace": msg(
        "measured in a lab of namespaces: compare the arms by their ratio, do not size a site by these counts"
    ),
    "emulated": msg(
        "measured on an emulated director: compare the arms by their ratio, do not size a site by these counts"
    ),
    "virtual": msg("measured on virtual machines: counts hold for such machines, if nothing else ran beside them"),
    "physical": msg("measured on the hosts' own hardware, by the CPUs of this director"),
}
_BYTES_PER_S = 1e9 / 8  # of 1 Gbit/s


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What a site has to carry: requests_per_s of kib KiB each, with links of gbit_per_s.

    use: the share of CPUs and links that may be in use, 0 to 1. cpus: of a director; None: as many as were measured
    """

    requests_per_s: float
    kib: float
    gbit_per_s: float
    use: float = 1.0
    cpus: int | None = None

    def __post_init__(self) -> None:
        for name in ("requests_per_s", "kib", "gbit_per_s", "use"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} has to be a number above 0, found {value}")
        if self.use > 1:
            raise InputError(f"use is a share, at most 1, found {self.use}", todo="for 70 % write 0.7")
        if self.cpus is not None and self.cpus < 1:
            raise InputError(f"a director has at least one CPU, found {self.cpus}")


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Requests/s that one director carries: `values` by block, `estimate` over blocks, and the `limit` it meets first.

    by_limit: the median of each limit by itself, in requests/s
    """

    blocks: tuple[int, ...]
    values: Values
    estimate: Estimate
    limit: str
    by_limit: Mapping[str, float]


def reach(lines: Mapping[str, Line | str], demand: Demand, cpus: int) -> Reach | str:
    """What one director with `cpus` CPUs carries, or why that is not known.

    `lines`: one arm's, by measure, as `cost_lines` gives them. Blocks are those that all lines have.
    """
    known: dict[str, Line] = {}
    for measure in LIMITS.values():
        line = lines[measure]
        if isinstance(line, str):
            return line
        known[measure] = line
    common = sorted(set.intersection(*(set(line.blocks) for line in known.values())))
    if not common:
        return say("in no block are CPU time and bytes both known")
    budget = {CPU: cpus * 1e6, **dict.fromkeys(set(LIMITS.values()) - {CPU}, demand.gbit_per_s * _BYTES_PER_S)}
    rates = {}
    for limit, measure in LIMITS.items():
        line = known[measure]
        cost = pd.Series(line.at(demand.kib), index=line.blocks)[common].to_numpy()
        with np.errstate(divide="ignore"):
            rates[limit] = budget[measure] * demand.use / cost
    middle = {limit: float(np.median(values)) for limit, values in rates.items()}
    limit = min(middle, key=lambda name: middle[name])
    values = np.min(list(rates.values()), axis=0)
    miss = known[LIMITS[limit]].miss
    found = estimate(values)
    wide = Estimate(
        median=found.median,
        low=found.low / (1 + miss),
        high=found.high / (1 - miss) if miss < 1 else math.inf,
        min=found.min,
        max=found.max,
        n=found.n,
    )
    return Reach(blocks=tuple(common), values=values, estimate=wide, limit=limit, by_limit=middle)


def df_capacity(tables: Tables, demands: Iterable[Demand]) -> pd.DataFrame:
    """Directors that each demand takes, by arm and levels other than the size. Empty where no size was varied.

    requests_per_s, kib, gbit_per_s, use, cpus: the demand
    directors, directors_low, directors_high: how many it takes, with 95 % interval (missing with fewer than 3 blocks)
    limit: what a director meets first. per_director_per_s with _low, _high: requests/s that one carries
    cpu_per_s, link_in_per_s, link_out_per_s: the same by each limit alone
    web_links: links that the answers fill on their way out of the web hosts: so many web hosts at least
    extrapolated: what lies beyond the measurement; empty where nothing does
    why: why there is no figure; empty where there is one. fidelity: what the figures are worth
    """
    measured_cpus = len(tables.run.get("director_cpus") or [])
    rows, arms = [], list(cost_lines(tables))
    for demand in demands:
        cpus = demand.cpus or measured_cpus
        for names, lines in arms:
            found = reach(lines, demand, cpus) if cpus else say("run.json does not name the director's CPUs")
            row = {**names, **_asked(demand, cpus), **_web_links(lines, demand), "fidelity": worth(tables)}
            row["extrapolated"] = _beyond(lines, demand, cpus, measured_cpus)
            if isinstance(found, str):
                rows.append({**row, "why": found})
                continue
            rows.append({**row, **_counts(found, demand), "why": ""})
    reals = ("requests_per_s", "kib", "gbit_per_s", "use")
    rates = ("per_director_per_s", "per_director_low", "per_director_high")
    types = {
        **{name: COLUMNS["cases"][name] for name in keys(tables) if name != SIZE},
        **dict.fromkeys(reals, "float64"),
        "cpus": "int64",
        **dict.fromkeys(("directors", "directors_low", "directors_high"), "Int64"),
        "limit": "string",
        **dict.fromkeys((*rates, "cpu_per_s", "link_in_per_s", "link_out_per_s"), "float64"),
        "web_links": "Int64",
        **dict.fromkeys(("extrapolated", "why", "fidelity"), "string"),
    }
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def capacity_of(run: RunDir, demand: Demand) -> pd.DataFrame:
    """`df_capacity` of one demand. InputError when the run did not measure what it takes."""
    found = df_capacity(read_tables(run), [demand])
    if found.empty or (found["why"] != "").all():
        why = "; ".join(found["why"].unique()) or "the size of the file was not varied, or no case is done"
        raise InputError(
            f"{run.path.name} cannot say how many directors it takes: {why}",
            todo="measure one that can: bmt run file-size, with a director on CPUs of its own",
        )
    return found


def worth(tables: Tables) -> str:
    """What figures of this testbed are worth."""
    found = tables.run.get("fidelity")
    known = translated(_WORTH[found]) if found in _WORTH else say("what counts are worth here is not known")
    return f"{fidelity(tables)}: {known}"


def _asked(demand: Demand, cpus: int) -> dict[str, Any]:
    names = ("requests_per_s", "kib", "gbit_per_s", "use")
    return {**{name: getattr(demand, name) for name in names}, "cpus": cpus}


def _counts(found: Reach, demand: Demand) -> dict[str, Any]:
    one = found.estimate
    return {
        "directors": whole(demand.requests_per_s / one.median),
        "directors_low": whole(demand.requests_per_s / one.high),
        "directors_high": whole(demand.requests_per_s / one.low),
        "limit": found.limit,
        "per_director_per_s": one.median,
        "per_director_low": one.low,
        "per_director_high": one.high,
        **dict(zip(("cpu_per_s", "link_in_per_s", "link_out_per_s"), found.by_limit.values(), strict=True)),
    }


def whole(count: float) -> int | None:
    """Things that come in wholes, at least one; None when it is not known how many.

    >>> whole(2.0000000001), whole(2.1), whole(0.01), whole(float("nan")), whole(float("inf"))
    (2, 3, 1, None, None)
    """
    return max(1, math.ceil(count - 1e-9)) if math.isfinite(count) else None


def _web_links(lines: Mapping[str, Line | str], demand: Demand) -> dict[str, Any]:
    line = lines["client_bytes"]
    if isinstance(line, str):
        return {}
    carried = demand.requests_per_s * float(np.median(line.at(demand.kib)))
    return {"web_links": whole(carried / (demand.gbit_per_s * _BYTES_PER_S * demand.use))}


def _beyond(lines: Mapping[str, Line | str], demand: Demand, cpus: int, measured: int) -> str:
    """In words, what of a demand lies beyond the measurement."""
    parts = []
    line = next((line for line in lines.values() if isinstance(line, Line)), None)
    if line is not None and line.outside(demand.kib):
        low, high = (size_text(round(1024 * kib)) for kib in (line.kib[0], line.kib[-1]))
        parts.append(say("sizes measured: {low} to {high}", low=low, high=high))
    if measured and cpus != measured:
        parts.append(say("CPUs of a director measured: {count}", count=measured))
    return "; ".join(parts)
