"""A run that searches: case after case as `knee_plan.Search` decides, until each arm's knee is enclosed.

The plan grows: plan.json has a case before it is measured, and knee.json what came of it right after.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bmtlib.errors import BmtError, InputError
from bmtlib.knee_plan import Search, at_the_cap
from bmtlib.measure.ready import Ready
from bmtlib.measure.runner import Run
from bmtlib.measure.session import Session
from bmtlib.params.knee import Knee, breaches
from bmtlib.parsers.waits import waits_us
from bmtlib.plan import Case, Plan
from bmtlib.rundir import RunDir

_PERCENTS = {"wait_p50_ms": 50, "wait_p99_ms": 99}


def run_knee(plan: Plan, folder: RunDir, ready: Ready) -> dict[str, Any]:
    """Search in `folder`; the final run.json, as of `runner.run_plan`. InputError when it was begun before."""
    with folder.held():
        refuse_resume(folder)
        return KneeRun(plan, folder, ready).run()


def refuse_resume(folder: RunDir) -> None:
    """InputError when a search was begun in `folder`."""
    if (status := folder.run_json()["status"]) != "planned":
        raise InputError(
            f"a search is not gone on with, and this one is {status}: each level hangs on those before it",
            where=str(folder.path),
            todo="start it anew: bmt knee SCENARIO; what was measured stays, and has a report",
        )


class KneeRun(Run):
    """One session, and there is only one."""

    def __init__(self, plan: Plan, folder: RunDir, ready: Ready) -> None:
        self.search = Search(plan)
        self.tries: list[dict[str, Any]] = []
        super().__init__(plan, folder, ready)

    def _prepared_for(self) -> Plan:
        return at_the_cap(self.plan)

    def _coming(self) -> list[Case]:
        """As many as the search takes at most: for the estimate."""
        each = list(at_the_cap(self.plan).cases)
        return each * math.ceil(self.search.most_cases() / len(each))

    def _run_cases_on(self, session: Session) -> None:
        for cases in self.search.rounds():
            self._measure(session, cases, None)
        for percent, cases in self.search.rounds_at_shares():
            self._measure(session, cases, percent)
        count, reason = len(self.plan.cases), "each arm's knee is enclosed, or there is none"
        self.folder.event("stopping", "stop", block=None, cases=count, half_width=None, reason=reason)

    def _measure(self, session: Session, cases: Sequence[Case], percent: int | None) -> None:
        self.plan = replace(self.plan, cases=(*self.plan.cases, *cases))
        self.folder.write("plan.json", self.plan.to_json())
        for case in cases:
            record = self._run_case(session, case, None)
            tried = {**judged(self.folder, self.search.knee, case, record), "percent": percent}
            if percent is None:
                self.search.add(case.arm, tried["level"], tried["kept"])
            self.tries.append(tried)
            arms = {arm: asdict(self.search.found(arm)) for arm in self.plan.scenario.arms}
            self.folder.write_json("knee.json", {"tries": self.tries, "arms": arms, "base": self.search.base()})


def judged(folder: RunDir, knee: Knee, case: Case, record: Mapping[str, Any]) -> dict[str, Any]:
    """Whether a measured case kept the objective, why not, and the figures that decided it.

    A case that a guard rejected although it kept everything says nothing about its level: `kept` is None.
    """
    requests, clients = record["requests"], record["clients"]
    ended = requests["completed"] + requests["failed"]
    figures: dict[str, Any] = {
        "waits_ms": percentiles(waits_ms(folder, case, clients)),
        "failed_share": requests["failed"] / ended if ended else None,
        "sent_share": _sent_share(clients) if knee.vary == "rate" else None,
    }
    why = breaches(knee.objective, **figures)
    if record["error"]:
        why.append(f"{record['status']}: {record['error']['what']}")
    kept = False if why else None if record["status"] == "rejected" else True
    why += [f"rejected: {guard['text']}" for guard in record["guards"] if guard["verdict"] == "reject"]
    return {
        "case": case.id,
        "arm": case.arm,
        "level": case.levels[knee.vary],
        "kept": kept,
        "why": why,
        **{name: figures["waits_ms"].get(name) for name in _PERCENTS},
        "failed_share": figures["failed_share"],
        "sent_share": figures["sent_share"],
    }


def _sent_share(clients: Sequence[Mapping[str, Any]]) -> float:
    """Of the requests that all clients were to send, the share that they sent; a client that died sent none."""
    planned = sum(client["planned"] or 0 for client in clients)
    unsent = sum(client["unsent"] or 0 for client in clients)
    return 1 - unsent / planned if planned else 0.0


def waits_ms(folder: RunDir, case: Case, clients: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.float64] | None:
    """What each request waited, over all clients of a case; None unless all of them tell it."""
    engine, parts = case.load.engine, []
    for client in clients:
        try:
            text, report = (folder.raw(case.id, client["host"], f"{engine}.{end}") for end in ("tsv", "txt"))
            waits = waits_us(engine, text or "", report=report or "", connections=client["concurrency"])
        except BmtError:
            return None
        parts.append(waits / 1000)
    return np.concatenate(parts) if parts else None


def percentiles(waits: npt.NDArray[np.float64] | None) -> dict[str, float]:
    """wait_p50_ms, wait_p99_ms; empty where nothing was measured."""
    if waits is None or not len(waits):
        return {}
    found = np.percentile(waits, list(_PERCENTS.values()), method="inverted_cdf")
    return {name: round(float(value), 3) for name, value in zip(_PERCENTS, found, strict=True)}
