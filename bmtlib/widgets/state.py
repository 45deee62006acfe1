"""A run's events folded into what a progress display shows. Knows no terminal and no browser."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

# The states of a case's events that end it; all others name the phase that begins.
_ENDS = frozenset({"done", "rejected", "failed", "interrupted", "left out"})
_KEPT = 20  # rates of an arm; the report has all


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run stands.

    `status` is starting, running, done, interrupted, failed or refused. `current` is the id of the case under way,
    `number` its place in the plan (from 1). `rates` are the requests/s of the latest cases that have ended, by arm, in
    their order. `problems` are the cases that failed or were rejected, with the reason. `left_s` is None when it cannot
    be told; of a run that may end before its last block it is the most.
    """

    status: str = "starting"
    cases: int = 0
    cases_done: int = 0
    current: str | None = None
    number: int = 0
    arm: str | None = None
    phase: str = ""
    rates: Mapping[str, list[float]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    elapsed_s: float = 0.0
    left_s: float | None = None

    @property
    def text(self) -> str:
        """The state in one line.

        >>> Progress(status="running", cases=9, cases_done=3, number=4, current="b2-proxy", phase="load").text
        'case 4 of 9: b2-proxy, load'
        """
        if self.status == "starting":
            return "starting"
        if self.status == "running":
            if self.current is None:
                return self.phase or f"{self.cases_done} of {self.cases} cases"
            return f"case {self.number} of {self.cases}: {self.current}, {self.phase}"
        bad = f", {len(self.problems)} of them failed or rejected" if self.problems else ""
        return f"{self.status}: {self.cases_done} of {self.cases} cases{bad}"

    @property
    def last_rate(self) -> str:
        """Each arm's latest requests/s, for people.

        >>> Progress(rates={"direct": [9000.0, 9100.4], "proxy": [7000.0]}).last_rate
        'direct 9,100 · proxy 7,000'
        """
        return " · ".join(f"{arm} {rates[-1]:,.0f}" for arm, rates in self.rates.items())


def fold(events: Iterable[Mapping[str, Any]], now_s: float | None = None) -> Progress:
    """The state after `events` (of events.jsonl, in order) at `now_s` (epoch seconds; default: time of the last).

    >>> start = {"time_s": 100.0, "step": "run", "state": "start", "cases": 2, "estimate_s": 10.0}
    >>> case = {"time_s": 101.0, "step": "case", "state": "load", "case": "b1-proxy", "number": 1, "arm": "proxy"}
    >>> progress = fold([start, case], now_s=103.0)
    >>> progress.text, progress.elapsed_s, progress.left_s
    ('case 1 of 2: b1-proxy, load', 3.0, 8.0)
    """
    folding = Folding()
    for event in events:
        folding.add(event)
    return folding.at(folding.last_s if now_s is None else now_s)


class Folding:
    """A run's events, added one by one, of many cases it keeps counts, sums and the latest."""

    def __init__(self) -> None:
        self.status, self.phase = "starting", ""
        self.cases = self.cases_done = self.number = 0
        self.current: str | None = None
        self.arm: str | None = None
        self.rates: dict[str, deque[float]] = {}
        self.problems: dict[str, str] = {}  # by case: one that is tried again is none any more
        self.estimate_s: float | None = None  # of all cases that this session has to measure, made before the first
        self.waiting: dict[str | None, int] = {}  # cases not begun, by arm
        self.estimated_s: dict[str | None, float] = {}  # one case of an arm, likewise
        self.lasted: dict[str | None, tuple[int, float]] = {}  # cases of an arm that have ended: count, sum of seconds
        self.began_s: float | None = None
        self.case_began_s = self.last_s = 0.0

    def add(self, event: Mapping[str, Any]) -> None:
        self.last_s = event["time_s"]
        step, state = event["step"], event["state"]
        if step == "run":
            self._run(state, event)
        elif step == "testbed":
            words = {"start": f"bringing up {event.get('hosts', 'the')} hosts", "rebuild": "bringing the hosts up anew"}
            self.phase = words.get(state, "")
        elif step == "case":
            self._case(state, event)
        elif step == "stopping" and state == "stop":
            self.cases, self.waiting = event["cases"], {}

    def _run(self, state: str, event: Mapping[str, Any]) -> None:
        self.current, self.phase = None, ""
        if state != "start":
            self.status = state
            return
        # A run may have several sessions: what counts is this one, and what it found done.
        self.status, self.cases, self.cases_done = "running", event["cases"], event.get("kept", 0)
        self.estimate_s, self.began_s = event.get("estimate_s"), event["time_s"]
        arms: Mapping[str, tuple[int, float]] = event.get("arms", {})
        self.waiting = {arm: count for arm, (count, _) in arms.items()} or {None: self.cases - self.cases_done}
        self.estimated_s = {arm: estimate_s / count for arm, (count, estimate_s) in arms.items() if count}

    def _case(self, state: str, event: Mapping[str, Any]) -> None:
        if event["case"] != self.current:
            self.current, self.case_began_s, self.arm = event["case"], event["time_s"], event.get("arm", self.arm)
            self.problems.pop(event["case"], None)
            arm = self.arm if self.arm in self.waiting else None
            if self.waiting.get(arm):
                self.waiting[arm] -= 1
        self.number, self.phase = event["number"], state
        if state not in _ENDS:
            return
        self.cases_done += 1
        if state != "left out":
            # The event's own figure is of a clock that does not step.
            took_s = event.get("took_s", max(0.0, event["time_s"] - self.case_began_s))
            count, total_s = self.lasted.get(self.arm, (0, 0.0))
            self.lasted[self.arm] = (count + 1, total_s + took_s)
        if (rate := event.get("requests_per_s")) is not None:
            self.rates.setdefault(str(self.arm), deque(maxlen=_KEPT)).append(rate)
        if state not in ("done", "left out"):
            why = (event.get("error") or {}).get("what", "")
            self.problems[event["case"]] = f"{self.current} {state}" + (f": {why}" if why else "")
        self.current, self.phase = None, ""

    def at(self, now_s: float) -> Progress:
        running = self.status == "running"
        until_s = now_s if running else self.last_s
        return Progress(
            status=self.status,
            cases=self.cases,
            cases_done=self.cases_done,
            current=self.current,
            number=self.number,
            arm=self.arm,
            phase=self.phase,
            rates={arm: list(rates) for arm, rates in self.rates.items()},
            problems=tuple(self.problems.values()),
            elapsed_s=max(0.0, until_s - self.began_s) if self.began_s is not None else 0.0,
            left_s=self._left_s(now_s) if running else None,
        )

    def _one_s(self, arm: str | None) -> float | None:
        """Seconds of one case: as those of its arm in this run took; else as estimated, corrected by the other arms."""
        if arm in self.lasted:
            count, total_s = self.lasted[arm]
            return total_s / count
        if self.lasted:
            known = [a for a in self.lasted if a in self.estimated_s]
            if arm in self.estimated_s and known:
                took_s = sum(self.lasted[a][1] for a in known)
                guessed_s = sum(self.lasted[a][0] * self.estimated_s[a] for a in known)
                return self.estimated_s[arm] * took_s / guessed_s if guessed_s else self.estimated_s[arm]
            return sum(total_s for _, total_s in self.lasted.values()) / sum(n for n, _ in self.lasted.values())
        if arm in self.estimated_s:
            return self.estimated_s[arm]
        waiting = self.cases - self.cases_done
        return None if self.estimate_s is None or not self.cases else self.estimate_s / max(1, waiting)

    def _left_s(self, now_s: float) -> float | None:
        ahead = [(count, self._one_s(arm)) for arm, count in self.waiting.items() if count]
        if any(one_s is None for _, one_s in ahead):
            return None
        left_s = sum(count * (one_s or 0.0) for count, one_s in ahead)
        if self.current is not None:
            left_s += max(0.0, (self._one_s(self.arm) or 0.0) - max(0.0, now_s - self.case_began_s))
        return left_s
