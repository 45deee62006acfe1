"""What a reader has to know beside the answer: what was left out, drift, whose CPUs were full, what kind of testbed."""

from __future__ import annotations

import pandas as pd

from bmtlib.analysis.compare import df_cpu_busy
from bmtlib.analysis.costs import separable
from bmtlib.analysis.drift import drift_sentence, strong_drift
from bmtlib.analysis.naming import blocks_text, level, percent
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import df_trials, keys
from bmtlib.analysis.used import df_used
from bmtlib.stats import Estimate, paired_ratio
from bmtlib.texts import say

FULL = 0.9  # a CPU that is busy for longer than this share has nothing left to give
NEAR = 0.9  # of the direct arm's rate: the arm hardly costs anything in throughput
_MOST_NAMED = 4  # arms and levels of which blocks are left out


def levels_of(tables: Tables, row: pd.Series) -> str:
    """All levels of a row: "5 KiB, 2 threads"."""
    return ", ".join(level(column, row[column]) for column in tables.factors if pd.notna(row[column]))


def left_out(tables: Tables) -> list[str]:
    """Whose blocks were measured and are not used; the worst first, and no more than a reader can bear."""
    table = df_used(tables)
    table = table[table["left_out"] > 0].sort_values(["decides", "left_out"], ascending=[True, False], kind="stable")
    sentences = []
    for _, row in table.head(_MOST_NAMED).iterrows():
        words = {"arm": ", ".join(filter(None, [str(row["arm"]), levels_of(tables, row)])), "why": row["why"]}
        if row["decides"]:
            sentences.append(say("{arm}: {why}; the others are used.", **words))
        else:
            sentences.append(say("{arm}: {why}: comparisons with it are undecided.", **words))
    if len(table) > _MOST_NAMED:
        sentences.append(say("{count} more have cases that are left out.", count=len(table) - _MOST_NAMED))
    return sentences


def drift(tables: Tables) -> list[str]:
    """A drift that is large and more than chance belongs beside the figures."""
    return [drift_sentence(tables)] if strong_drift(tables) else []


def busy(tables: Tables) -> list[str]:
    """Whose CPUs were full. What limited an arm is the bottleneck's to say."""
    table = df_cpu_busy(tables)
    if not separable(tables) or table.empty:
        return []
    director, other = (table[table["role"] == role].drop(columns="role") for role in ("director", "other"))
    both = director.merge(other, on=keys(tables), suffixes=("_director", "_other"))
    both = both[both["kind"] != "direct"]
    full = [both[f"busiest_share_{role}"] > FULL for role in ("director", "other")]
    both = both.assign(mine=full[0], others=full[1])
    sentences = []
    for (arm, mine, others), rows in both[full[0] | full[1]].groupby(["arm", "mine", "others"], sort=False):
        words = {
            "arm": _where(tables, str(arm), rows, both[both["arm"] == arm]),
            "own": _span(rows["busiest_share_director"]),
            "others": _span(rows["busiest_share_other"]),
        }
        if mine and others:
            text = say(
                "With {arm} the CPUs of the director ({own} busy) and of clients and web hosts ({others}) were full "
                "alike.",
                **words,
            )
        elif mine:
            text = say(
                "With {arm} the director's CPUs were full ({own} busy), those of the other hosts not ({others}).",
                **words,
            )
        else:
            text = say(
                "With {arm} the CPUs of clients and web hosts were full ({others} busy) and the director's were not "
                "({own}): its requests/s are what they can do, not what the director can.",
                **words,
            )
        sentences.append(text)
    return sentences


def near_direct(tables: Tables) -> list[str]:
    """Arms that come near to what clients and web hosts can do by themselves: by their whole intervals."""
    trials = df_trials(tables)
    on = [column for column in tables.factors if column in ("file_size_bytes", "concurrency", "keepalive")]
    direct = trials.loc[trials["kind"] == "direct", ["block", *on, "requests_per_s"]]
    both = trials[trials["kind"] != "direct"].merge(direct, on=["block", *on], suffixes=("", "_direct"))
    sentences = []
    for arm, rows in both.groupby("arm", sort=False):
        found = [
            paired_ratio(part["requests_per_s"], part["requests_per_s_direct"])
            for _, part in rows.groupby(list(tables.factors) or ["arm"], dropna=False, sort=False)
        ]
        near: list[Estimate] = [share for share in found if share.low > NEAR]
        if len(found) == 1 and near:
            words = {"share": percent(near[0].median), "low": percent(near[0].low), "high": percent(near[0].high)}
            sentences.append(
                say(
                    "{arm} reached {share} of the rate without a director (95 %: {low}–{high}; {blocks}).",
                    arm=arm,
                    **words,
                    blocks=blocks_text(near[0].n),
                )
            )
        elif near:
            sentences.append(
                say(
                    "{arm} reached more than {share} of the rate without a director at {count} of {total} levels, by "
                    "their whole intervals.",
                    arm=arm,
                    share=percent(NEAR),
                    count=len(near),
                    total=len(found),
                )
            )
    return sentences


def testbed(tables: Tables) -> str:
    """What kind of testbed it was, in one sentence."""
    found = tables.run.get("fidelity")
    if found == "namespace":
        return say("Measured with all hosts in namespaces of one kernel (fidelity namespace).")
    if found == "emulated":
        return say("Measured with an emulated director (fidelity emulated): ratios hold at best, figures do not.")
    return say("Measured with fidelity {fidelity}.", fidelity=found or say("unknown"))


def _where(tables: Tables, arm: str, rows: pd.DataFrame, all_rows: pd.DataFrame) -> str:
    """The arm, and which of its levels are meant, when it is not all of them."""
    if len(rows) == len(all_rows):
        return arm
    levels = "; ".join(levels_of(tables, row) for _, row in rows.head(_MOST_NAMED).iterrows())
    if len(rows) > _MOST_NAMED:
        return say(
            "{arm} at {count} of {total} levels ({levels} and others)",
            arm=arm,
            count=len(rows),
            total=len(all_rows),
            levels=levels,
        )
    return say("{arm} at {levels}", arm=arm, levels=levels)


def _span(shares: pd.Series) -> str:
    return say(" to ").join(dict.fromkeys(percent(share) for share in (shares.min(), shares.max())))
