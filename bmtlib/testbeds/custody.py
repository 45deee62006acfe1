"""The user's machines in our hands: locked for one run, and left as they were found when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from bmtlib.errors import BmtError, MachineError
from bmtlib.hosts import journal
from bmtlib.hosts.every import every, raise_all
from bmtlib.hosts.host import Host, each
from bmtlib.hosts.lock import Lock, Owner, acquire, holder_of, owner_now
from bmtlib.hosts.rollback import Rolled, open_changes, rollback, unfinished


@dataclass(kw_only=True)
class Custody:
    """Locks on all hosts of a run."""

    owner: Owner
    locks: dict[str, Lock]

    def keep(self) -> None:
        """The run's changes are meant to stay: other runs may come over them, `bmt rollback` takes them back."""

        def note(host: Host) -> None:
            host.run(["sh", "-s"], stdin=journal.keep_script(self.owner.run, host.state))

        each((lock.host for lock in self.locks.values()), note)

    def take_again(self) -> None:
        """Lock anew those hosts whose connection was opened anew."""
        for name, lock in self.locks.items():
            self.locks[name] = acquire(lock.host, self.owner, take_over=lock.owner.token)

    def roll_back(self, *, clean: bool = True) -> dict[str, str]:
        """Undo the run on every host; host -> what is left and why, empty when all is as it was.

        With `clean` our working files go, too, and with them the lock: for the end of a run.
        """

        def undo(host: Host) -> Rolled:
            return rollback(host, self.owner.run, clean=clean)

        left = {}
        for name, done in every((lock.host for lock in self.locks.values()), undo).items():
            if isinstance(done, BaseException):
                left[name] = str(done)
            elif done.left:
                left[name] = f"not undone: {'; '.join(done.left)}: {done.said}"
        return left

    def release(self) -> None:
        for lock in self.locks.values():
            with suppress(BmtError, OSError):
                lock.release()


def take(
    hosts: Sequence[Host], run_id: str, *, take_over: str = "", leftovers: bool = False, resumed: bool = False
) -> Custody:
    """Lock all hosts for a run, or none. MachineError: one is locked, or holds what a broken-off run left behind.

    With `leftovers` such a host is taken all the same: to be rolled back. `resumed`: a lock of this very run is one
    that a killed session of it has left, where the host has not noticed its end yet.
    """
    owner = owner_now(run_id)

    def lock(host: Host) -> Lock:
        holder = holder_of(host) if resumed else None
        own = holder is not None and holder.run == run_id
        return acquire(host, owner, take_over=holder.token if own and holder else take_over)

    taken = every(hosts, lock)
    custody = Custody(owner=owner, locks={name: lock for name, lock in taken.items() if isinstance(lock, Lock)})
    try:
        raise_all(taken)
        if not leftovers:
            _refuse_leftovers(hosts, run_id)
    except BaseException:
        custody.release()
        raise
    return custody


def _refuse_leftovers(hosts: Sequence[Host], run_id: str) -> None:
    found = {name: unfinished(journal, run_id) for name, journal in each(hosts, open_changes).items()}
    if broken := {name: runs for name, runs in found.items() if runs}:
        lines = [f"{name}: run {', '.join(runs)}" for name, runs in broken.items()]
        raise MachineError(
            "a run that was broken off has left changes on these hosts:\n    " + "\n    ".join(lines),
            todo="bmt rollback --all --testbed ... takes them back",
        )
