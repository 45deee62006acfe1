"""How long cases will take, before any was measured."""

from __future__ import annotations

from collections.abc import Iterable

from bmtlib.plan import Case

# What one case costs beside warm-up and load: for the estimate of the time left only.
OVERHEAD_S = 1.5


def case_s(case: Case) -> float:
    """Seconds that a case will take, load and all, before any was measured."""
    load = case.load
    # A counted load ends when it ends: 2,000 requests/s is a cautious guess for a small machine.
    seconds = (load.requests or 0) / 2000 if load.seconds is None else load.seconds
    return load.warmup_seconds + seconds + OVERHEAD_S


def estimate_s(cases: Iterable[Case]) -> float:
    """Seconds that cases will take."""
    return sum(map(case_s, cases))
