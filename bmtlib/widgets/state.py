"""A run's events folded into what a progress display shows. Knows no terminal and no browser."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

# The states of a case's events that end it; all others name the phase that begins.
_ENDS = frozenset({"done", "rejected", "failed", "interrupted"})


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run stands.

    `status` is starting, running, done, interrupted or failed. `current` is the id of the case under way, `number` its
    place in the plan (from 1). `rates` are the requests/s of the cases that have ended, by arm, in their order.
    `problems` are the cases that failed or were rejected, with the reason. `left_s` is None when it cannot be told.
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
    folding = _Folding()
    for event in events:
        folding.add(event)
    return folding.at(folding.last_s if now_s is None else now_s)


class _Folding:
    def __init__(self) -> None:
        self.status, self.phase = "starting", ""
        self.cases = self.cases_done = self.number = 0
        self.current: str | None = None
        self.arm: str | None = None
        self.rates: dict[str, list[float]] = {}
        self.problems: list[str] = []
        self.estimate_s: float | None = None  # of all cases, made before the first
        self.lasted_s: list[float] = []  # of the cases that have ended
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

    def _run(self, state: str, event: Mapping[str, Any]) -> None:
        if state != "start":
            self.status, self.current, self.phase = state, None, ""
            return
        self.status, self.cases, self.estimate_s = "running", event["cases"], event.get("estimate_s")
        if self.began_s is None:
            self.began_s = event["time_s"]

    def _case(self, state: str, event: Mapping[str, Any]) -> None:
        if event["case"] != self.current:
            self.current, self.case_began_s = event["case"], event["time_s"]
        self.number, self.phase, self.arm = event["number"], state, event.get("arm", self.arm)
        if state not in _ENDS:
            return
        self.cases_done += 1
        self.lasted_s.append(event["time_s"] - self.case_began_s)
        if (rate := event.get("requests_per_s")) is not None:
            self.rates.setdefault(str(self.arm), []).append(rate)
        if state != "done":
            why = (event.get("error") or {}).get("what", "")
            self.problems.append(f"{self.current} {state}" + (f": {why}" if why else ""))
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
            rates=self.rates,
            problems=tuple(self.problems),
            elapsed_s=max(0.0, until_s - self.began_s) if self.began_s is not None else 0.0,
            left_s=self._left_s(now_s) if running else None,
        )

    def _left_s(self, now_s: float) -> float | None:
        if self.lasted_s:
            one_s = fmean(self.lasted_s)
        elif self.estimate_s is not None and self.cases:
            one_s = self.estimate_s / self.cases
        else:
            return None
        under_way = 0.0 if self.current is None else max(0.0, one_s - (now_s - self.case_began_s))
        waiting = self.cases - self.cases_done - (self.current is not None)
        return waiting * one_s + under_way
