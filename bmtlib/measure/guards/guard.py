"""What a guard is: one figure of a case, the limit that it was judged by, and the evidence that it stands on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "mark", "reject"]

# Of a share of which fewer were counted hardly more is known than that it is not nothing: five that were seen may be
# 1.6 that were to be expected (Poisson, 97.5 %), one may be 0.03. And no percentile that a report gives moves by them.
FEWEST = 5


@dataclass(frozen=True, kw_only=True)
class Guard:
    """`value` is what was judged, `limit` the nearest limit that it passed or kept; None where nothing was measured.

    `evidence`: the counters and raw files that prove it, as `host/file counter` (host `*`: each that has it).
    `spoils`: measures (columns of `df_trials`, or "waits") that do not tell of the arm when the verdict is not ok: a
    comparison of them obeys (analysis/used.py). Empty: none in particular.
    """

    name: str
    verdict: Verdict
    value: float | None
    limit: float | None
    text: str
    evidence: tuple[str, ...] = ()
    spoils: tuple[str, ...] = ()


def graded(
    name: str,
    value: float,
    mark: float,
    reject: float,
    text: str,
    evidence: tuple[str, ...] = (),
    spoils: tuple[str, ...] = (),
    count: int = FEWEST,
) -> Guard:
    """A share that marks a case above one limit and rejects it above another.

    `count`: of how many the share is; of fewer than FEWEST the verdict is one step milder.

    >>> graded("answers", 0.002, 0.001, 0.05, "of the requests failed").text
    '0.20% of the requests failed'
    >>> [graded("answers", share, 0.001, 0.05, "failed", count=1).verdict for share in (0.002, 0.2)]
    ['ok', 'mark']
    """
    verdict: Verdict = "reject" if value > reject else "mark" if value > mark else "ok"
    if count < FEWEST and verdict != "ok":
        verdict = "mark" if verdict == "reject" else "ok"
        text += f"; {count} are too few to tell a share"
    limit = reject if verdict == "reject" else mark
    return Guard(
        name=name,
        verdict=verdict,
        value=round(value, 6),
        limit=round(limit, 6),
        text=f"{value:.2%} {text}",
        evidence=evidence,
        spoils=spoils,
    )
