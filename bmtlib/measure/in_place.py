"""What one case does to its hosts before it is measured, and takes back afterwards: the director's tuning, the arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bmtlib.errors import HostError
from bmtlib.hosts.host import Host
from bmtlib.measure.session import Session
from bmtlib.measure.tuning import case_tuning
from bmtlib.plan import Case
from bmtlib.setup.change import Change, change_row


class InPlace:
    """Changes of one case. `changes` and `not_applied` say, for case.json, what was done and what was refused."""

    def __init__(self, case: Case, session: Session) -> None:
        self._case, self._session = case, session
        self._applied: list[tuple[Host, Sequence[Change]]] = []
        self.changes: list[dict[str, Any]] = []
        self.not_applied: list[dict[str, Any]] = []

    def put(self) -> None:
        """The case's tuning, if another is in force; then that of the director alone, then its arm: on web hosts first,
        since the director sends them work.

        The tuning stays for the next case, which may have the same.
        """
        case, session = self._case, self._session
        session.tune(case.tuning)
        director = session.lab.director
        changes, skipped = case_tuning(case, director, session.hardware)
        self._apply(director, changes)
        self.not_applied += [asdict(item) for item in skipped]
        for name, wanted in session.arm_changes(case.settings, session.engines()[case.arm]).items():
            self._apply(session.lab.hosts[name], wanted)

    def _apply(self, host: Host, changes: Sequence[Change]) -> None:
        self._applied.append((host, changes))  # before: an apply that breaks off leaves something to undo
        refused = host.apply(changes)
        wanted = [change for change in changes if change.what not in {item.key for item in refused}]
        self.changes += [{"host": host.name, **change_row(change)} for change in wanted]
        self.not_applied += [asdict(item) for item in refused]

    def take_down(self) -> list[HostError | OSError]:
        """Undo all, last first; what could not be undone does not keep the rest from it."""
        errors: list[HostError | OSError] = []
        for host, changes in reversed(self._applied):
            try:
                host.undo(changes)
            except (HostError, OSError) as error:
                errors.append(error)
        return errors
