"""The one unit of altering a host: what it was, what it becomes, how to do it, undo it and see that it took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# What a change reaches: the host's network namespace; the host; the whole machine, also where hosts share one; the
# machine from its next boot on.
Scope = Literal["netns", "host", "machine", "reboot"]


_LONGEST_TEXT = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command as a list of words (never shell text) and what it reads from standard input."""

    argv: tuple[str, ...]
    stdin: str = ""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One thing done to one host.

    `check` prints what is in force; with white space folded it must equal `expect`, else the change did not take.
    `undo` brings back what was before `do`, also where `do` never ran or broke off: then it has nothing, or half of it,
    to do, and ends well. Both find in $KEEP a folder of the run on the host, for what has to be kept by content.
    `before` and `want` are for the reader (plan, journal, report): short texts, None when there was nothing.
    `may_refuse`: nobody can tell before whether the host's hardware can do it. Refused, or not taken as wished, it is
    undone and reported, and the changes after it go on.
    `lasting`: it is still there after a reboot. `seconds`: what `do` may take, where that is more than a moment.
    `to_stay`: made only where the host is to stay as prepared. `profile`: the profile that the wish comes from, "" for
    what the test itself needs.
    """

    host: str
    what: str
    before: str | None
    want: str | None
    do: Command
    undo: Command
    check: Command | None = None
    expect: str = ""
    scope: Scope = "host"
    reason: str = ""
    may_refuse: bool = False
    lasting: bool = False
    to_stay: bool = False
    seconds: float = 1
    profile: str = ""


def command(*argv: str, stdin: str = "") -> Command:
    """Short form for the modules that list changes.

    >>> command("nft", "-f", "-", stdin="flush ruleset").argv
    ('nft', '-f', '-')
    """
    return Command(argv=argv, stdin=stdin)


def change_row(change: Change) -> dict[str, str | None]:
    """A change as it is kept in a run folder; `text` is what was written or fed in: a configuration file, a ruleset.

    Not what is too long to be read: an archive.
    """
    row = {key: getattr(change, key) for key in ("what", "before", "want", "scope", "reason", "profile")}
    return {**row, "text": change.do.stdin if 0 < len(change.do.stdin) <= _LONGEST_TEXT else None}
