"""What becomes of a host's wishes: changes, and those that cannot be, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bmtlib.errors import InputError
from bmtlib.params.profile import Reason
from bmtlib.setup.change import Change, Command, Scope
from bmtlib.setup.sysctl import NotApplied


@dataclass(kw_only=True)
class Ledger:
    """Filled by the modules that tune one host. `reasons` are by the wish's key ("nic.ring_rx").

    `strict`: a wish beyond what the host has is the user's error, not something to report.
    """

    host: str
    strict: bool
    reasons: Mapping[str, Reason]
    changes: list[Change] = field(default_factory=list)
    not_applied: list[NotApplied] = field(default_factory=list)

    def change(
        self,
        key: str,
        what: str,
        *,
        before: str,
        want: str,
        do: Command,
        undo: Command,
        check: Command,
        expect: str,
        may_refuse: bool = True,
        scope: Scope = "host",
    ) -> None:
        """One more change. Drivers differ in what they take and say so only when asked: most of them may refuse."""
        self.changes.append(
            Change(
                host=self.host,
                what=what,
                before=before,
                want=want,
                do=do,
                undo=undo,
                check=check,
                expect=expect,
                scope=scope,
                reason=self.reasons[key].reason if key in self.reasons else "",
                may_refuse=may_refuse,
            )
        )

    def cannot(self, what: str, want: object, now: str | None, why: str) -> None:
        """A wish that this host's hardware or kernel has no means for."""
        self.not_applied.append(NotApplied(host=self.host, key=what, want=text(want), now=now, why=why))

    def beyond(self, key: str, what: str, want: object, now: str | None, why: str, *, todo: str) -> None:
        """A wish that does not fit this host: InputError, or reported where numbers were made for another machine."""
        if self.strict:
            raise InputError(f"{what}: {text(want)} is not possible on {self.host}: {why}", where=key, todo=todo)
        self.cannot(what, want, now, why)


def text(value: object) -> str:
    """A wish as people write it.

    >>> text(True), text(False), text("max"), text(4)
    ('on', 'off', 'max', '4')
    """
    return ("on" if value else "off") if isinstance(value, bool) else str(value)
