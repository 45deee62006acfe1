"""Raw text of a run folder, parsed. What a parser refuses becomes a row of `problems` instead of an exception."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from bmtlib.errors import BmtError
from bmtlib.measure.probes import BY_NAME
from bmtlib.parsers.samples import split_samples
from bmtlib.rundir import RunDir

T = TypeVar("T")


class Raw:
    """One run's raw files. `roles` is role by host name; `problems` gathers what could not be understood."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.roles: dict[str, str] = {host["name"]: host["role"] for host in run.run_json().get("hosts", [])}
        self.problems: list[dict[str, str | None]] = []
        self._clocks: dict[str, dict[str, dict[str, float]]] = {}

    def hosts(self, *roles: str) -> list[str]:
        """Hosts of these roles (all, when none is named), in the run's order."""
        return [name for name, role in self.roles.items() if not roles or role in roles]

    def problem(self, case: str | None, host: str | None, file: str, error: object) -> None:
        self.problems.append({"case": case, "host": host, "file": file, "error": str(error)})

    def parsed(self, case: str, host: str, name: str, parse: Callable[[str], T]) -> T | None:
        """What `parse` makes of a raw file; None when the host has no such file or it is refused."""
        try:
            text = self.run.raw(case, host, name)
            return None if text is None else parse(text)
        except (BmtError, zlib.error) as error:
            self.problem(case, host, name, error)
            return None

    def fact(self, host: str, name: str, parse: Callable[[str], T]) -> T | None:
        """What `parse` makes of a file that was read once in the run; None when there is none, or it is refused."""
        path = self.run.path / "facts" / host / name
        try:
            return parse(path.read_text(errors="replace")) if path.exists() else None
        except (BmtError, OSError) as error:
            self.problem(None, host, name, error)
            return None

    def rows(self, case: str, host: str, probe: str, moment: str) -> Sequence[Any] | None:
        """Rows of one probe at one moment ("before", "after"). `probe` may carry an interface: ethtool_stats@eth0."""
        return self.parsed(case, host, f"{probe}.{moment}.txt", BY_NAME[probe.split("@")[0]].parse)

    def around(self, case: str, host: str, probe: str) -> tuple[Sequence[Any], Sequence[Any]] | None:
        """Rows before and after the load; None unless both are there: half a difference is none."""
        before, after = self.rows(case, host, probe, "before"), self.rows(case, host, probe, "after")
        return None if before is None or after is None else (before, after)

    def clock_offset_s(self, case: str, host: str) -> float:
        """What the host's clock showed more than the controller's, which is that of case.json."""
        if case not in self._clocks:
            try:
                self._clocks[case] = self.run.case(case).get("clock") or {}
            except BmtError:  # told elsewhere
                self._clocks[case] = {}
        return self._clocks[case].get(host, {}).get("offset_ms", 0.0) / 1e3

    def during(self, case: str, host: str, probe: str) -> list[tuple[float, Sequence[Any]]]:
        """Samples taken while the load ran: (epoch seconds, by the controller's clock; rows).

        Refused ones are left out, as one problem.
        """
        name = f"{probe}.during.txt"
        parse, offset_s = BY_NAME[probe].parse, self.clock_offset_s(case, host)
        found, refused = [], []
        for epoch_s, text in self.parsed(case, host, name, lambda text: list(split_samples(text))) or []:
            try:
                found.append((epoch_s - offset_s, parse(text)))
            except BmtError as error:
                refused.append(error)
        if refused:
            self.problem(case, host, name, f"{len(refused)} of {len(refused) + len(found)} samples: {refused[0]}")
        return found
