"""What the run panel knows, without a browser: what is asked for, how far a run is, how it ended. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bmtlib.errors import InputError
from bmtlib.report.render import Number
from bmtlib.widgets.progress import duration, left
from bmtlib.widgets.state import Folding, Progress

_MOST = 12  # rows of a table that stays readable while it changes
_FOLDER = "run folder: "  # how `bmt run` names it, before it measures
_TRACE = "Traceback "


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a person asks for. `settings` in the form of `--set`, separated by spaces or lines."""

    scenario: str
    testbed: str
    settings: str = ""

    @property
    def overrides(self) -> list[str]:
        """
        >>> Choice(scenario="quick", testbed="netns", settings="load.seconds=1\\nload.file_size='64 KiB'").overrides
        ['load.seconds=1', 'load.file_size=64 KiB']
        """
        try:
            return shlex.split(self.settings)
        except ValueError as error:
            raise InputError(f"the settings cannot be read: {error}", todo="close each quotation mark") from None

    @property
    def words(self) -> list[str]:
        """The words that ask `bmt` for the same."""
        return [self.scenario, "--testbed", self.testbed, *(w for text in self.overrides for w in ("--set", text))]


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What a choice would do. `cases`: a row of words for each; `size`: how many, and how long they will take."""

    title: str
    question: str
    cases: Sequence[Mapping[str, str]]
    size: str
    hosts: str
    command: str  # that does the same in a terminal


def shown_cases(planned: Planned) -> tuple[list[dict[str, str]], str]:
    """The first cases, without what is alike in all of them, and a sentence with that.

    >>> planned = Planned(title="", question="", size="", hosts="", command="",
    ...                   cases=[{"case": "b1-proxy", "arm": "proxy", "concurrency": "9", "engine": ""},
    ...                          {"case": "b1-l2dsr", "arm": "l2dsr", "concurrency": "9", "engine": ""}])
    >>> shown_cases(planned)
    ([{'case': 'b1-proxy', 'arm': 'proxy'}, {'case': 'b1-l2dsr', 'arm': 'l2dsr'}], 'Every case: concurrency 9.')
    """
    cases = planned.cases
    if not cases:
        return [], ""
    varied = [name for name in cases[0] if name == "case" or len({row[name] for row in cases}) > 1]
    alike = [f"{name} {value}" for name, value in cases[0].items() if name not in varied and value]
    said = [f"Every case: {', '.join(alike)}."] if alike else []
    if len(cases) > _MOST:
        said.append(f"{len(cases) - _MOST} more cases follow.")
    return [{name: row[name] for name in varied} for row in cases[:_MOST]], " ".join(said)


class Live:
    """A run's events, folded into what the panel shows while it goes on."""

    def __init__(self) -> None:
        self._folding = Folding()
        self._since_s = 0.0
        self._blocks: dict[str, int] = {}  # by case
        self._rates: dict[str, list[float]] = {}  # requests/s of the cases that are done, by arm and levels
        self.other_cpus: list[int] = []  # that are not the director's: known once the run has begun

    def add(self, event: Mapping[str, Any]) -> None:
        self._folding.add(event)
        self._since_s = event["time_s"]
        if event["step"] == "run" and event["state"] == "start":
            self.other_cpus = list(event.get("other_cpus", []))
        if event["step"] == "case":
            self._case(event)

    def _case(self, event: Mapping[str, Any]) -> None:
        name = event["case"]
        if "block" in event:
            self._blocks[name] = event["block"]
        rate = event.get("requests_per_s")
        if event["state"] == "done" and rate is not None and name in self._blocks:
            label = name.removeprefix(f"b{self._blocks[name]}-")
            self._rates[label] = [*self._rates.pop(label, []), rate]  # the latest last

    def at(self, now_s: float) -> Progress:
        return self._folding.at(now_s)

    def text(self, now_s: float) -> str:
        """Where the run stands, in one line."""
        state = self.at(now_s)
        busy = f" for {duration(max(0.0, now_s - self._since_s))}" if state.current is not None else ""
        return " · ".join(filter(None, [state.text + busy, left(state)]))

    def rates(self) -> list[dict[str, Any]]:
        """Requests/s so far, of cases that are done: a row for each arm at each choice of levels, the latest first.

        of the highest: share of the highest median, 0 to 1, for a bar.
        """
        medians = {label: median(found) for label, found in self._rates.items()}
        most = max(medians.values(), default=0.0)
        latest = list(reversed(self._rates.items()))[:_MOST]
        return [
            {
                "arm and levels": label,
                "of the highest": medians[label] / most if most else 0.0,
                "median requests/s": Number.of(medians[label]),
                "lowest – highest": Number(f"{Number.of(min(found))} – {Number.of(max(found))}"),
                "latest": Number.of(found[-1]),
                "cases": Number.of(len(found)),
            }
            for label, found in latest
        ]


def folder_in(said: str) -> str | None:
    """The run folder that `bmt run` has named, once it has.

    >>> folder_in("testbed netns\\nrun folder: data/x\\n3 cases"), folder_in("run fol")
    ('data/x', None)
    """
    whole = said[: said.rfind("\n") + 1]
    return next((line.removeprefix(_FOLDER) for line in whole.splitlines() if line.startswith(_FOLDER)), None)


def ending(code: int, said: str, *, status: str = "", stopped: bool = False) -> tuple[bool, str]:
    """Whether it ended well, and how, in words. `code`: the exit code of `bmt`; `said`: all that it printed; `status`:
    of the run, if it had a folder.

    >>> ending(0, "", status="done")
    (True, 'The run is done.')
    >>> ending(2, "bmt: no scenario is named 'x'")
    (False, "no scenario is named 'x'")
    """
    if code == 0:
        return True, "The run is done."
    if status == "interrupted":
        resume = f" To go on with it: ./bmt run --resume {folder_in(said)}"
        return False, f"The run was stopped. What was measured until then is kept.{resume}"
    if stopped:
        return False, "Stopped, before anything was measured."
    if code == 1 and status:
        return False, "The run has ended. Not all of its cases are among the results: the messages below say why."
    words = said.partition(_TRACE)[0].rpartition("bmt: ")[2].strip()
    return False, words or f"It ended with exit code {code}, before anything was measured."
