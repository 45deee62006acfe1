"""Several runs side by side: the same arm at the same levels in each, how far they lie apart, and what stays the same.

Blocks of different runs have no partner in each other, so nothing is paired across runs (`stats.unpaired_ratio`). The
interval knows how blocks differ within each run, and nothing of what else changed between the runs: another day,
another place of the virtual machine. The ratio of two arms within a run is free of much of that, so the ratio of the
runs' ratios is what says whether the answer changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from bmtlib.analysis.compare import MEASURES, Side, holds_one, paired_blocks
from bmtlib.analysis.differences import differences
from bmtlib.analysis.naming import no_interval
from bmtlib.analysis.schema import COLUMNS, FACTOR_COLUMNS
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import df_trials, keys, records
from bmtlib.analysis.used import Doubt, against, cases_of, doubt, spoilt_by
from bmtlib.stats import FEWEST_BLOCKS, Estimate, estimate, unpaired_ratio, verdict

__all__ = ["df_ratios_of_runs", "df_runs", "differences", "factors_of", "letters", "run_names", "unmatched"]

_Key = tuple[Any, ...]
_REAL = ("ratio", "ratio_low", "ratio_high")


def run_names(runs: Sequence[Tables]) -> list[str]:
    """Each run's id; where two have the same, numbered."""
    ids = [str(tables.run["id"]) for tables in runs]
    return [f"{name} ({ids[:i].count(name) + 1})" if ids.count(name) > 1 else name for i, name in enumerate(ids)]


def letters(runs: Sequence[Tables]) -> list[str]:
    """A short name of each run for figures and the heads of columns: A, B ... Z, R27 ..."""
    return [chr(ord("A") + i) if i < 26 else f"R{i + 1}" for i in range(len(runs))]


def factors_of(runs: Sequence[Tables]) -> list[str]:
    """Columns of factors that one of the runs varies."""
    return [name for name in FACTOR_COLUMNS.values() if any(name in tables.factors for tables in runs)]


def df_runs(runs: Sequence[Tables]) -> pd.DataFrame:
    """What each run measured of an arm at its levels, where the first run and another have it.

    measure: column of `df_trials` (compare.MEASURES has the words)
    arm, kind, <levels of the factors that any run varies>, run, engine
    value: median over the run's blocks; low, high: 95 % interval; n: blocks
    against: the first run; ratio: this run / the first; ratio_low, ratio_high: 95 % interval of unpaired blocks. All
        missing in the first run's rows
    verdict: higher, lower or undecided, as in `df_ratio`; empty in the first run's rows; why: of an undecided one
    """
    names, factors = run_names(runs), factors_of(runs)
    measured = [_by_arm(tables, factors) for tables in runs]
    rows: list[dict[str, Any]] = []
    for key, first in measured[0].items():
        shared = [(name, found[key]) for name, found in zip(names[1:], measured[1:], strict=True) if key in found]
        for measure in MEASURES if shared else ():
            if measure.startswith("director") and key[1] == "direct":
                continue
            about = {"measure": measure, **dict(zip(("arm", "kind", *factors), key, strict=True))}
            rows.append({**about, **_side(names[0], first.trials, measure), "verdict": "", "why": ""})
            for name, other in shared:
                found = unpaired_ratio(other.trials[measure].to_numpy(), first.trials[measure].to_numpy())
                doubts = (other.doubt(name, measure), first.doubt(names[0], measure))
                ratio = _ratio(found, _both((names[0], first.spoilt), (name, other.spoilt)), measure, *doubts)
                rows.append({**about, **_side(name, other.trials, measure), "against": names[0], **ratio})
    types = {
        "measure": "string",
        **{name: COLUMNS["cases"][name] for name in ("arm", "kind", *factors)},
        **dict.fromkeys(("run", "engine"), "string"),
        **dict.fromkeys(("value", "low", "high"), "float64"),
        "n": "int64",
        "against": "string",
        **dict.fromkeys(_REAL, "float64"),
        **dict.fromkeys(("verdict", "why"), "string"),
    }
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def df_ratios_of_runs(runs: Sequence[Tables]) -> pd.DataFrame:
    """The ratio of two arms within each run, and how it changed from the first run to each other one.

    measure, arm, against (the other arm), <levels>, run
    value: the run's ratio arm / against, median over blocks in which both are done; low, high: 95 %; n: such blocks
    ratio: this run's ratio / the first run's; ratio_low, ratio_high: 95 %, of unpaired blocks; verdict, why: of that.
    In the first run's rows missing and empty
    """
    names, factors = run_names(runs), factors_of(runs)
    measured = [dict(_by_pair(tables, factors)) for tables in runs]
    rows: list[dict[str, Any]] = []
    for key, first in measured[0].items():
        shared = [(name, found[key]) for name, found in zip(names[1:], measured[1:], strict=True) if key in found]
        measure, about = key[0], dict(zip(("measure", "arm", "against", *factors), key, strict=True))
        if shared:
            rows.append({**about, "run": names[0], **_estimate(first.ratios), "verdict": "", "why": ""})
        for name, other in shared:
            found = unpaired_ratio(other.ratios.to_numpy(), first.ratios.to_numpy())
            # What makes this run's arm look worse lowers the ratio of ratios; so does what makes the first's other arm.
            (above, below), (first_above, first_below) = other.doubts(name, measure), first.doubts(names[0], measure)
            doubts = (_joined(above, first_below), _joined(below, first_above))
            ratio = _ratio(found, _both((names[0], first.spoilt), (name, other.spoilt)), measure, *doubts)
            rows.append({**about, "run": name, **_estimate(other.ratios), **ratio})
    types = {
        **dict.fromkeys(("measure", "arm", "against"), "string"),
        **{name: COLUMNS["cases"][name] for name in factors},
        "run": "string",
        **dict.fromkeys(("value", "low", "high"), "float64"),
        "n": "int64",
        **dict.fromkeys(_REAL, "float64"),
        **dict.fromkeys(("verdict", "why"), "string"),
    }
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def unmatched(runs: Sequence[Tables]) -> pd.DataFrame:
    """Arms at levels that are compared with nothing: arm, kind, <levels>, run. Only one of the runs has them done."""
    names, factors = run_names(runs), factors_of(runs)
    measured = [_by_arm(tables, factors) for tables in runs]
    found = [
        {**dict(zip(("arm", "kind", *factors), key, strict=True)), "run": name}
        for i, (name, mine) in enumerate(zip(names, measured, strict=True))
        for key in mine
        if (key not in measured[0] if i else not any(key in other for other in measured[1:]))
    ]
    types = {**{name: COLUMNS["cases"][name] for name in ("arm", "kind", *factors)}, "run": "string"}
    return pd.DataFrame(found, columns=list(types)).astype(types)


@dataclass(frozen=True, kw_only=True)
class _Arm:
    """An arm at its levels in one run. spoilt: why too many of its blocks are left out."""

    tables: Tables
    side: Side
    trials: pd.DataFrame
    spoilt: str

    def doubt(self, run: str, measure: str) -> Doubt:
        return _doubt(self.tables, self.side, run, measure)


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """Two arms in one run: the ratio of each block. spoilt: why too many of a side's blocks are left out."""

    tables: Tables
    sides: tuple[Side, Side]
    ratios: pd.Series
    spoilt: str

    def doubts(self, run: str, measure: str) -> tuple[Doubt, Doubt]:
        one, other = (_doubt(self.tables, side, f"{run}, {side['arm']}", measure) for side in self.sides)
        return one, other


def _by_arm(tables: Tables, factors: Sequence[str]) -> dict[_Key, _Arm]:
    """(arm, kind, <levels>) -> what was measured."""
    trials, found = df_trials(tables), dict[_Key, _Arm]()
    for _, part in trials.groupby(keys(tables), dropna=False, sort=False):
        row = records(part)[0]
        key = (row["arm"], row["kind"], *_levels(tables, row["case"], factors))
        found[key] = _Arm(tables=tables, side=row, trials=part, spoilt=spoilt_by(tables, row))
    return found


def _by_pair(tables: Tables, factors: Sequence[str]) -> Iterator[tuple[_Key, _Pair]]:
    """(measure, arm, against, <levels>) -> the ratio in each block."""
    for names, part, sides, spoilt in paired_blocks(tables, df_trials(tables)):
        if part.empty:
            continue
        both = [_levels(tables, str(part[case].iloc[0]), factors) for case in ("case_x", "case_y")]
        levels = [other if one is None else one for one, other in zip(*both, strict=True)]
        for measure in MEASURES:
            if measure.startswith("director") and "direct" in (part["kind_x"].iloc[0], part["kind_y"].iloc[0]):
                continue
            ratios = part[f"{measure}_x"] / part[f"{measure}_y"]
            pair = _Pair(tables=tables, sides=sides, ratios=ratios, spoilt=spoilt)
            yield (measure, names["arm"], names["against"], *levels), pair


def _doubt(tables: Tables, side: Side, who: str, measure: str) -> Doubt:
    """What marks make of one side's figure, and whose it is."""
    found = doubt(tables, cases_of(tables, side), measure)
    return replace(found, why=f"{who}: {found.why}") if found.why else found


def _joined(one: Doubt, other: Doubt) -> Doubt:
    return Doubt(why="; ".join(filter(None, [one.why, other.why])), bound=one.bound and other.bound)


def _both(*sides: tuple[str, str]) -> str:
    return "; ".join(f"{run}: {why}" for run, why in sides if why)


def _levels(tables: Tables, case: str, factors: Sequence[str]) -> list[Any]:
    """Of a case, varied in its run or not; None where it has none."""
    row = tables.cases.loc[tables.cases["case"] == case].iloc[0]
    return [None if pd.isna(row[name]) else row[name] for name in factors]


def _side(name: str, part: pd.DataFrame, measure: str) -> dict[str, Any]:
    return {"run": name, "engine": part["engine"].iloc[0], **_estimate(part[measure])}


def _estimate(values: pd.Series) -> dict[str, Any]:
    found = estimate(values.to_numpy())
    return {"value": found.median, "low": found.low, "high": found.high, "n": found.n}


def _ratio(found: Estimate, spoilt: str, measure: str, above: Doubt, below: Doubt) -> dict[str, Any]:
    said, why = verdict(found), ""
    if spoilt:
        said, why = "undecided", spoilt
    elif said == "undecided":
        why = no_interval(found.n) if found.n < FEWEST_BLOCKS else holds_one()
    elif against(said, measure, above, below):
        said, why = "undecided", _joined(above, below).why
    return {"ratio": found.median, "ratio_low": found.low, "ratio_high": found.high, "verdict": said, "why": why}
