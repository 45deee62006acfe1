"""What a host is, however it is reached."""

from __future__ import annotations

import io
import tarfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from bmtlib.errors import HostError
from bmtlib.hosts import journal
from bmtlib.setup.change import Change
from bmtlib.setup.sysctl import NotApplied

WORK = "/run/bmt"  # everything of ours on a host lives below this folder; it is gone after a reboot
_APPLY_S = 120  # for a script of changes, each of which takes a moment
PARALLEL = 16  # commands under way at once; more only queue for the CPUs of the controller

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one command did. `started` is the epoch in seconds on the controller, `seconds` the time it took."""

    host: str
    command: list[str]
    rc: int
    stdout: str
    stderr: str
    started: float
    seconds: float


class Background(Protocol):
    """A command that was started and is not waited for yet."""

    def wait(self, timeout_s: float) -> tuple[int, bytes, bytes]:
        """Exit code, stdout, stderr. Kills the command and raises TimeoutError when the time is over."""
        ...

    def kill(self) -> None: ...


@dataclass(kw_only=True)
class Host(ABC):
    """A machine by role. `addresses` and `interfaces` are by network: "front", "back".

    `machine` names the kernel that it runs on. With `namespace` it shares it with other hosts, and all that no
    namespace has of its own. `cpus` are those of its services and its load; commands that prepare or look may run on
    any.
    `state` is the folder of the journal; `guard` shell that ends a script of changes where this process does not hold
    the host any more; `clock_offset_s` what the host's clock shows more than the controller's.
    """

    name: str
    role: str
    machine: str
    addresses: dict[str, str]
    interfaces: dict[str, str]
    cpus: frozenset[int]
    namespace: bool = False
    run_id: str = "no-run"
    state: str = WORK
    guard: str = ""
    clock_offset_s: float = 0.0
    applied: list[Change] = field(default_factory=list)

    @abstractmethod
    def start(
        self, command: Sequence[str], *, stdin: bytes | None = b"", cpus: frozenset[int] | None = None
    ) -> Background:
        """Start a command and return at once; on `cpus`, or on any that the host has.

        `stdin` None: it stays open, without a word, until the command is killed.
        """

    def run_bytes(
        self,
        command: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout_s: float = 30,
        cpus: frozenset[int] | None = None,
    ) -> tuple[int, bytes, bytes]:
        return self.start(command, stdin=stdin, cpus=cpus).wait(timeout_s)

    def run(
        self,
        command: Sequence[str],
        *,
        stdin: str = "",
        timeout_s: float = 30,
        check: bool = True,
        cpus: frozenset[int] | None = None,
    ) -> Result:
        """Run a command to its end. HostError: no end within `timeout_s`; with `check`, an exit code other than 0.

        `cpus` as in `start`.
        """
        started, began = time.time(), time.monotonic()
        try:
            rc, out, err = self.run_bytes(command, stdin=stdin.encode(), timeout_s=timeout_s, cpus=cpus)
        except TimeoutError as error:
            raise HostError(self.name, list(command), None, str(error)) from error
        result = Result(
            host=self.name,
            command=list(command),
            rc=rc,
            stdout=out.decode(errors="replace"),
            stderr=err.decode(errors="replace"),
            started=started,
            seconds=time.monotonic() - began,
        )
        if check and rc != 0:
            raise HostError(self.name, list(command), rc, result.stderr or result.stdout)
        return result

    def on_its_clock(self, epoch_ns: int) -> int:
        """What this host's clock shows when the controller's shows `epoch_ns`."""
        return epoch_ns + round(self.clock_offset_s * 1e9)

    def read(self, path: str) -> str:
        return self.run(["cat", path]).stdout

    def collect(self, folder: str, *, first: str = "", remove: bool = False) -> dict[str, bytes]:
        """Every file directly in `folder` by name: one round trip, whatever their number. A missing folder is empty.

        `first` is a shell script to run before. With `remove` the folder is deleted once it was read.
        """
        # tar ends with 1 when a file grew while it was read (a sampler at work): what it read is whole all the same.
        script = """[ -z "$3" ] || sh -c "$3" >&2
            cd "$1" 2>/dev/null || exit 0
            tar -cf - . || [ $? = 1 ] && { [ -z "$2" ] || rm -r "$1"; }"""
        command = ["sh", "-c", script, "sh", folder, "remove" if remove else "", first]
        try:
            rc, out, err = self.run_bytes(command, timeout_s=120)
        except TimeoutError as error:
            raise HostError(self.name, ["tar", folder], None, str(error)) from error
        if rc != 0:
            raise HostError(self.name, ["tar", folder], rc, err.decode(errors="replace"))
        if not out:
            return {}
        files = {}
        with tarfile.open(fileobj=io.BytesIO(out)) as tar:
            for member in tar:
                if member.isfile() and (stream := tar.extractfile(member)):
                    files[member.name.removeprefix("./")] = stream.read()
        return files

    def apply(self, changes: Sequence[Change]) -> list[NotApplied]:
        """Apply in order, in one round trip: journal on the host, do, read back. The first failure is a HostError.

        Those that the host refused and may refuse (`may_refuse`) come back as what was not applied, and why.
        """
        if not changes:
            return []
        script = journal.apply_script(changes, self.run_id, self.state, self.guard)
        result = self._work(script, changes, at_risk=changes)
        return self._applied(changes, journal.outcomes(result.stdout), result)

    def undo(self, changes: Sequence[Change]) -> None:
        """Undo those of `changes` that were applied here, last first. HostError names those that could not be."""
        due = self._due(changes)
        if not due:
            return
        result = self._work(journal.undo_script(due, self.run_id, self.state, self.guard), due)
        self._undone(due, journal.outcomes(result.stdout), result)

    def switch(self, gone: Sequence[Change], changes: Sequence[Change]) -> list[NotApplied]:
        """`undo` the ones and `apply` the others, in one round trip: where hundreds of hosts share a few CPUs, each
        process that a script needs counts."""
        due = self._due(gone)
        if not due:
            return self.apply(changes)
        script = journal.switch_script(due, changes, self.run_id, self.state, self.guard)
        result = self._work(script, [*due, *changes], at_risk=changes)
        ended = journal.outcomes(result.stdout)
        self._undone(due, ended[: len(due)], result)
        return self._applied(changes, ended[len(due) :], result)

    def _due(self, changes: Sequence[Change]) -> list[Change]:
        """Those of `changes` that were applied here, last first."""
        return [change for change in reversed(self.applied) if change in changes]

    def _work(self, script: str, changes: Sequence[Change], at_risk: Sequence[Change] = ()) -> Result:
        """Run a script of changes. `at_risk`: those whose undo is due when nobody knows how far it came."""
        longest = _APPLY_S + sum(change.seconds for change in changes)
        try:
            return self.run(["sh", "-s"], stdin=script, timeout_s=longest, check=False)
        except BaseException:
            self.applied.extend(at_risk)
            raise

    def _applied(self, changes: Sequence[Change], ended: Sequence[str], result: Result) -> list[NotApplied]:
        """Note what of `changes` is in force; `ended`: how each of them ended, as far as the script came."""
        done, refused = len(ended), []
        for change, outcome in zip(changes, ended, strict=False):
            if outcome == "done":
                self.applied.append(change)
            else:
                why = outcome.removeprefix("refused ").strip() or "refused without a word"
                refused.append(
                    NotApplied(host=self.name, key=change.what, want=change.want or "", now=change.before, why=why)
                )
        if done < len(changes):
            change = changes[done]
            if result.rc != journal.DO_FAILED:
                self.applied.append(change)  # done, and not as wished: its undo is due as well
            raise HostError(
                self.name, [f"change: {change.what} -> {change.want}"], result.rc, result.stderr or result.stdout
            )
        return refused

    def _undone(self, due: Sequence[Change], ended: Sequence[str], result: Result) -> None:
        """Note what of `due` is not in force any more."""
        left = [change for i, change in enumerate(due) if i >= len(ended) or ended[i] != "done"]
        self.applied = [change for change in self.applied if change not in due or change in left]
        if left:
            what = "; ".join(change.what for change in left)
            raise HostError(self.name, [f"undo: {what}"], result.rc, result.stderr or result.stdout)


def each(hosts: Iterable[Host], work: Callable[[Host], T]) -> dict[str, T]:
    """Do `work` on all hosts in parallel; results by host name. The first error is raised after all have ended."""
    hosts = list(hosts)
    with ThreadPoolExecutor(max_workers=max(1, min(PARALLEL, len(hosts)))) as pool:
        futures = {host.name: pool.submit(work, host) for host in hosts}
    return {name: future.result() for name, future in futures.items()}
