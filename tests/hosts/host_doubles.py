"""Two hosts for tests: this machine as a host, and one that answers from a record and refuses every other command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bmtlib.hosts.host import Background, Host
from bmtlib.hosts.netns import _Process

# What a host has at these places, a LocalHost has below its own folder.
_MOVED = (b"/run/bmt", b"/etc/nginx/", b"/etc/haproxy/", b"/sys/class/net/")


@dataclass(kw_only=True)
class _Moved:
    process: _Process
    root: bytes

    def wait(self, timeout_s: float) -> tuple[int, bytes, bytes]:
        rc, out, err = self.process.wait(timeout_s)
        return rc, out.replace(self.root, b""), err.replace(self.root, b"")

    def kill(self) -> None:
        self.process.kill()

    @property
    def _popen(self) -> object:
        return self.process._popen


@dataclass(kw_only=True)
class LocalHost(Host):
    """Runs commands here. Files of a host lie below `root`: paths are moved in commands and back in what they say."""

    root: Path

    def start(
        self, command: Sequence[str], *, stdin: bytes | None = b"", cpus: frozenset[int] | None = None
    ) -> Background:
        words = [self._move(word.encode()).decode() for word in command]
        process = _Process(words, None if stdin is None else self._move(stdin), cpus or self.cpus)
        return _Moved(process=process, root=str(self.root).encode())

    def _move(self, text: bytes) -> bytes:
        for place in _MOVED:
            text = text.replace(place, str(self.root).encode() + place)
        return text


@dataclass(kw_only=True)
class _Said:
    answer: tuple[int, str]

    def wait(self, timeout_s: float) -> tuple[int, bytes, bytes]:
        return self.answer[0], self.answer[1].encode(), b""

    def kill(self) -> None:
        raise AssertionError("an answer from a record does not have to be killed")


@dataclass(kw_only=True)
class ReplayHost(Host):
    """Answers from `record`: words of the command, joined by blanks -> (exit code, output), one after the other."""

    record: dict[str, list[tuple[int, str]]]
    asked: list[str] = field(default_factory=list)

    def start(
        self, command: Sequence[str], *, stdin: bytes | None = b"", cpus: frozenset[int] | None = None
    ) -> Background:
        words = " ".join(command)
        self.asked.append(words)
        if not self.record.get(words):
            raise AssertionError(f"{self.name} has no record of `{words}`")
        return _Said(answer=self.record[words].pop(0))
