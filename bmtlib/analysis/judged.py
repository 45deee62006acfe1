"""What became of a claim, in one shape: of the scenario's, of the study's, and of the rows of the study's table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from bmtlib.stats import Estimate, blocks_needed, estimate
from bmtlib.texts import say

# The words of the ledger.
Verdict = Literal["supported", "not supported", "undecided", "not testable here"]
# What is said of the study instead: there is a figure of theirs beside ours.
Result = Literal[
    "reproduced",
    "not reproduced",
    "undecided",
    "agrees, without interval",
    "disagrees, without interval",
    "not testable here",
]
VERDICT_OF: dict[Result, Verdict] = {
    "reproduced": "supported",
    "not reproduced": "not supported",
    "undecided": "undecided",
    "agrees, without interval": "undecided",
    "disagrees, without interval": "undecided",
    "not testable here": "not testable here",
}
NOTHING: Estimate = estimate([])


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A verdict and all that it stands on.

    evidence: a sentence with the figures, or why there are none
    found: what was decided by; n is 0 where there is nothing. shown: that figure in words, with its interval
    agrees: without an interval, whether the figure lies where the claim says; None with one, and without a figure
    decide: what would decide it; empty when it is decided
    metric: of `metrics.METRICS`: `proof.PROOFS` says where it is shown, and in which raw files it stands; or empty
    cases: that it was worked out from
    """

    verdict: Verdict
    evidence: str
    found: Estimate = NOTHING
    shown: str = ""
    agrees: bool | None = None
    decide: str = ""
    metric: str = ""
    cases: tuple[str, ...] = ()

    @property
    def result(self) -> Result:
        """The verdict in the words for a study that is repeated.

        >>> Judged(verdict="undecided", evidence="", agrees=True).result
        'agrees, without interval'
        """
        if self.verdict == "undecided" and self.agrees is not None:
            return "agrees, without interval" if self.agrees else "disagrees, without interval"
        return next(result for result, verdict in VERDICT_OF.items() if verdict == self.verdict)


def by_interval(found: Estimate, inside: tuple[float, float]) -> Verdict:
    """Supported when the whole interval lies inside, not supported when it lies wholly elsewhere.

    >>> by_interval(estimate([1.1, 1.11, 1.12]), (1.0, 9.0)), by_interval(estimate([1.1]), (1.0, 9.0))
    ('supported', 'undecided')
    """
    least, most = inside
    if least < found.low and found.high < most:
        return "supported"
    return "not supported" if found.high < least or found.low > most else "undecided"


def without_interval(found: Estimate, inside: tuple[float, float]) -> bool:
    """Whether a figure without an interval lies where it should. It decides nothing."""
    return inside[0] < found.median < inside[1]


def all_of(verdicts: Iterable[Verdict]) -> Verdict:
    """What is claimed of several: supported when it is of each, not supported when it is of none.

    >>> all_of(["supported", "not supported"]), all_of(["supported", "supported"])
    ('undecided', 'supported')
    """
    found = set(verdicts)
    return found.pop() if len(found) == 1 else "undecided"


def few_blocks(least: int) -> str:
    """What decides where there are too few blocks for any verdict."""
    return say("at least {least} blocks (--set repetitions={least})", least=least)


def more_blocks(found: Estimate, held: Iterable[float]) -> str:
    """What decides where an interval holds an end of where it should lie."""
    needed = [blocks_needed(found, end) for end in held]
    if None in needed:
        return say("more than blocks: what was found lies at the limit itself")
    most = max(filter(None, needed))
    return say("about {count} blocks, if they scatter as these {n} do", count=f"{most:,}", n=found.n)


def sentence(text: str) -> str:
    """With a capital and one full stop."""
    return f"{text[0].upper()}{text[1:].rstrip('.')}."
