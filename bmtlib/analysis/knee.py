"""What a search for the knee (`bmt knee`) found: each level, the interval of each arm, and waits at shares of it.

The knee of an arm lies between the highest level that it kept and the lowest that it did not. Whether a case kept the
objective was decided while the search ran, for it decided what was tried next; the table `knee` has those decisions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bmtlib.analysis.diagnose import df_limit_by_arm
from bmtlib.analysis.naming import enumerated
from bmtlib.analysis.schema import COLUMNS, FACTOR_COLUMNS
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import KINDS, once, percentiles_of
from bmtlib.params.knee import Knee
from bmtlib.search import Bracket, Limits, bracket, decided
from bmtlib.texts import msg, say, say_n, translated

_NAMES = ("arm", "kind", "engine")
_PERCENTS = {"p50_ms": 50.0, "p90_ms": 90.0, "p99_ms": 99.0, "p99_9_ms": 99.9, "max_ms": 100.0}
# Limits of `df_bottleneck` that are the director's.
_DIRECTORS = ("director", "maxconn", "rate-limit", "conntrack")
UNITS = {"rate": msg("requests/s"), "concurrency": msg("connections")}


def knee_tries(tables: Tables) -> pd.DataFrame:
    """The table `knee` with arm, kind, engine and status of each case, in the order of the arms."""
    cases = tables.cases[["case", *_NAMES, "status"]].assign(
        engine=tables.cases["arm"].map(tables.run.get("engine") or {}).fillna(tables.cases["engine"])
    )
    found = cases.merge(tables.knee, on="case", how="inner")
    rank = [KINDS.index(kind) if kind in KINDS else len(KINDS) for kind in found["kind"]]
    return found.assign(_rank=rank).sort_values("_rank", kind="stable").drop(columns="_rank").reset_index(drop=True)


def brackets(tables: Tables) -> dict[str, Bracket]:
    """Where each arm's search ended."""
    if tables.search is None:
        return {}
    tries = knee_tries(tables)
    tries = tries[tries["percent"].isna()]
    return {str(arm): _bracket(part, tables.search) for arm, part in tries.groupby("arm", sort=False)}


def _decided(kept: pd.Series, knee: Knee) -> bool | None:
    return decided((None if pd.isna(it) else bool(it) for it in kept), knee.confirm)


def _bracket(tries: pd.DataFrame, knee: Knee) -> Bracket:
    levels = {int(str(level)): _decided(part["kept"], knee) for level, part in tries.groupby("level")}
    limits = Limits(lowest=knee.lowest, highest=knee.highest, precision=knee.precision)
    return bracket({level: kept for level, kept in levels.items() if kept is not None}, limits)


@once
def df_knee(tables: Tables) -> pd.DataFrame:
    """Every level that was tried, by arm; also those at shares of the knee. Empty where nothing was searched.

    level: requests/s or connections; percent: of the knee, for cases after the search, else missing
    cases; kept: of them, those that kept the objective; verdict: kept, broken, open (too few cases to decide)
    wait_p99_ms, wait_p99_min_ms, wait_p99_max_ms: median and range over cases; failed_share: the largest
    knee_low, knee_high: of the arm, the highest level kept and the lowest that was not; missing where there is none
    """
    ends, rows = brackets(tables), []
    tries = knee_tries(tables)
    for values, part in tries.groupby([*_NAMES, "percent", "level"], dropna=False, sort=False):
        found = ends.get(str(values[0]), Bracket(kept=None, broke=None, ending=None))
        kept = _decided(part["kept"], tables.search) if tables.search else None
        waits = part["wait_p99_ms"]
        rows.append(
            {
                **dict(zip((*_NAMES, "percent", "level"), values, strict=True)),
                "cases": len(part),
                "kept": int(part["kept"].sum()),
                "verdict": {True: "kept", False: "broken", None: "open"}[kept],
                "wait_p99_ms": waits.median(),
                "wait_p99_min_ms": waits.min(),
                "wait_p99_max_ms": waits.max(),
                "failed_share": part["failed_share"].max(),
                "knee_low": found.kept,
                "knee_high": found.broke,
            }
        )
    types = {
        **{name: COLUMNS["cases"][name] for name in _NAMES},
        **dict.fromkeys(("percent", "level"), "Int64"),
        **dict.fromkeys(("cases", "kept"), "int64"),
        "verdict": "string",
        **dict.fromkeys(("wait_p99_ms", "wait_p99_min_ms", "wait_p99_max_ms", "failed_share"), "float64"),
        **dict.fromkeys(("knee_low", "knee_high"), "Int64"),
    }
    table = pd.DataFrame(rows, columns=list(types)).astype(types)
    rank = {arm: place for place, arm in enumerate(tries["arm"].unique())}
    order = table.assign(_rank=table["arm"].map(rank)).sort_values(["_rank", "percent", "level"], na_position="first")
    return order.drop(columns="_rank").reset_index(drop=True)


@once
def df_knees(tables: Tables) -> pd.DataFrame:
    """One row per arm: where its knee lies, and what set it.

    vary; knee_low, knee_high: as in `df_knee`; cases: of the search; broke: what was not kept above the knee, in words
    ending: found, "never kept" (not even at the lowest level), "never broken" (not even at the highest), open (the
        search did not end). odd: levels above that were kept all the same
    limit_at, limit, limit_words: a level at the knee, and what limited there, as in `df_bottleneck`
    """
    tries, rows = knee_tries(tables), []
    tries = tries[tries["percent"].isna()]
    for arm, found in brackets(tables).items():
        part = tries[tries["arm"] == arm]
        why = (
            part.loc[(part["level"] == found.broke) & ~part["kept"].fillna(False), "why"]
            if found.broke is not None
            else ()
        )
        rows.append(
            {
                **{name: part[name].iloc[0] for name in _NAMES},
                "vary": tables.search.vary if tables.search else "",
                "knee_low": found.kept,
                "knee_high": found.broke,
                "ending": found.ending or "open",
                "cases": len(part),
                "broke": next(iter(why), ""),
                "odd": ", ".join(map(str, found.odd)),
                **_limit_at_knee(tables, arm, found),
            }
        )
    types = {
        **{name: COLUMNS["cases"][name] for name in _NAMES},
        "vary": "string",
        **dict.fromkeys(("knee_low", "knee_high"), "Int64"),
        "ending": "string",
        "cases": "int64",
        **dict.fromkeys(("broke", "odd"), "string"),
        "limit_at": "Int64",
        **dict.fromkeys(("limit", "limit_words"), "string"),
    }
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def _limit_at_knee(tables: Tables, arm: str, found: Bracket) -> dict[str, Any]:
    """At the level that broke, or at the highest that was kept."""
    level = found.kept if found.broke is None else found.broke
    limits = df_limit_by_arm(tables)
    column = FACTOR_COLUMNS[tables.search.vary] if tables.search else ""
    if column not in limits or level is None:
        return {}
    at = limits[(limits["arm"] == arm) & (limits[column] == level)]
    if at.empty:
        return {}
    return {"limit_at": level, "limit": at["limit"].iloc[0], "limit_words": at["words"].iloc[0]}


@once
def df_waits_at_knee(tables: Tables) -> pd.DataFrame:
    """What clients waited at shares of the knee, by arm: pooled over all requests of all done cases at that share.

    percent: of the lowest of the arms' knees (that of `direct`, which passes no director, does not count); level: the
    same load for all arms, so that waits can be compared. cases: done; kept: of them, those that kept the objective
    requests; p50_ms, p90_ms, p99_ms, p99_9_ms, max_ms: as in `df_waits`
    """
    tries, rows = knee_tries(tables), []
    tries = tries[tries["percent"].notna() & (tries["status"] == "done")]
    for values, part in tries.groupby([*_NAMES, "percent", "level"], sort=False):
        waits = tables.waits[tables.waits["case"].isin(part["case"])]
        found = percentiles_of(waits["wait_us"] / 1000, waits["requests"], _PERCENTS.values())
        rows.append(
            {
                **dict(zip((*_NAMES, "percent", "level"), values, strict=True)),
                "cases": len(part),
                "kept": int(part["kept"].sum()),
                "requests": int(waits["requests"].sum()),
                **dict(zip(_PERCENTS, found, strict=True)),
            }
        )
    types = {
        **{name: COLUMNS["cases"][name] for name in _NAMES},
        **dict.fromkeys(("percent", "level", "cases", "kept", "requests"), "int64"),
        **dict.fromkeys(_PERCENTS, "float64"),
    }
    table = pd.DataFrame(rows, columns=list(types)).astype(types)
    return table.sort_values("percent", kind="stable").reset_index(drop=True)


def objective_text(knee: Knee) -> str:
    """What was asked for, in words.

    >>> objective_text(Knee(vary="rate", lowest=1, highest=9, objective={"wait_p99_ms": 50}))
    '99 % of waits up to 50 ms, at most 0.1 % failed, at least 99 % sent'
    """
    asked = knee.objective
    parts = [
        say("{percent} % of waits up to {limit} ms", percent=percent, limit=f"{limit:g}")
        for percent, limit in (("50", asked.wait_p50_ms), ("99", asked.wait_p99_ms))
        if limit is not None
    ]
    texts = [enumerated(parts), say("at most {share} % failed", share=f"{100 * asked.failed_share:g}")]
    if knee.vary == "rate":
        texts.append(say("at least {share} % sent", share=f"{100 * asked.sent_share:g}"))
    return ", ".join(texts)


def knee_text(row: Any, unit: str = "") -> str:
    """Where an arm's knee lies, from a row of `df_knees`; without its unit where that is said once for all arms."""
    unit = f" {unit}" if unit else ""
    low, high = ("" if pd.isna(row[name]) else f"{row[name]:,}" for name in ("knee_low", "knee_high"))
    if row["ending"] == "never kept":
        return say("{arm} not even {level}", arm=row["arm"], level=f"{high}{unit}")
    if row["ending"] == "never broken":
        return say("{arm} {level} and more (no higher level was tried)", arm=row["arm"], level=f"{low}{unit}")
    if row["ending"] == "open":
        if not low:
            return say("{arm} nothing yet (the search did not end)", arm=row["arm"])
        return say("{arm} at least {level} (the search did not end)", arm=row["arm"], level=f"{low}{unit}")
    return say("{arm} {low} to {high}", arm=row["arm"], low=low, high=f"{high}{unit}")


def knee_sentences(tables: Tables) -> list[str]:
    """What the search found, in words: never more than its intervals carry. Empty where nothing was searched."""
    table = df_knees(tables)
    if tables.search is None or table.empty:
        return []
    unit = translated(UNITS[tables.search.vary])
    found = "; ".join(knee_text(row, unit) for _, row in table.iterrows())
    kept = say("Kept ({objective}): {found}.", objective=objective_text(tables.search), found=found)
    sentences = [kept, _compared(table)]
    sentences.append(_budget(tables))
    sentences.append(_what_limited(table, unit))
    odd = [
        say("{arm} kept it at {levels}, above a level that broke", arm=row["arm"], levels=row["odd"])
        for _, row in table.iterrows()
        if row["odd"]
    ]
    if odd:
        sentences.append(say("{which}: the response is noisy, or has no single knee.", which="; ".join(odd)))
    return [sentence for sentence in sentences if sentence]


def _budget(tables: Tables) -> str:
    """The CPUs that every arm had; and a proxy that cannot use them all."""
    cpus = len(tables.run.get("director_cpus") or [])
    if not cpus:
        return ""
    proxies = tables.cases[tables.cases["kind"] == "proxy"].drop_duplicates("arm")
    few = [
        say("{arm} had {threads}", arm=row["arm"], threads=row["threads"])
        for _, row in proxies.iterrows()
        if row["threads"] < cpus
    ]
    if few:
        return say_n(
            "All arms had the same director, with {n} CPU; of HAProxy's threads {which}, so it cannot use them all.",
            "All arms had the same director, with {n} CPUs; of HAProxy's threads {which}, so it cannot use them all.",
            cpus,
            which=", ".join(few),
        )
    return say_n(
        "All arms had the same director, with {n} CPU.", "All arms had the same director, with {n} CPUs.", cpus
    )


def _what_limited(table: pd.DataFrame, unit: str) -> str:
    """What set each knee: where it was not the director, the knee is not the arm's own."""
    rows = table[(table["kind"] != "direct") & table["limit"].notna()]
    if rows.empty:
        return ""
    each = "; ".join(
        say("{arm} at {level} {unit}: {limit}", arm=row["arm"], level=at, unit=unit, limit=row["limit_words"])
        for at, (_, row) in zip((f"{at:,}" for at in rows["limit_at"]), rows.iterrows(), strict=True)
    )
    foreign = rows[(rows["ending"] == "found") & ~rows["limit"].str.startswith(_DIRECTORS)]
    texts = [say("What limited there: {each}.", each=each)]
    if len(foreign):
        arms = enumerated([str(arm) for arm in foreign["arm"]])
        texts.append(say("So with {arms} the director could do more than its knee shows.", arms=arms))
    return " ".join(texts)


def _compared(table: pd.DataFrame) -> str:
    """LVS's arms against proxy arms, by their intervals."""
    parts = []
    for _, one in table[table["kind"].isin(("nat", "l3dsr", "l2dsr"))].iterrows():
        for _, other in table[table["kind"] == "proxy"].iterrows():
            if above(one, other):
                parts.append(_higher(one["arm"], other["arm"]))
            elif above(other, one):
                parts.append(_higher(other["arm"], one["arm"]))
            else:
                text = say(
                    "Between {one} and {other} no difference is shown: the intervals overlap.",
                    one=one["arm"],
                    other=other["arm"],
                )
                parts.append(text)
    return " ".join(parts)


def _higher(one: str, other: str) -> str:
    return say("The knee of {one} lies higher than that of {other}.", one=one, other=other)


def above(one: Any, other: Any) -> bool:
    """Whether the whole interval of one arm's knee lies above that of another: what it kept, the other had broken."""
    low = -np.inf if pd.isna(one["knee_low"]) else float(one["knee_low"])
    high = np.inf if pd.isna(other["knee_high"]) else float(other["knee_high"])
    return low >= high
