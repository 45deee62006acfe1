"""Kernel settings by profile: what a host has, what it may take, what would change.

Scope is probed, not assumed: a network namespace shows the keys it owns as writable below /proc/sys/net, shows some
global ones read-only, and hides the rest. `vm.*`, `kernel.*` and `fs.*` are never a namespace's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bmtlib.errors import ParseError
from bmtlib.setup.change import Change, Command, Scope, command
from bmtlib.setup.kernel_keys import find

# Global on some kernel although visible and writable in a namespace: a lab must leave them alone.
_NEVER_NAMESPACED = frozenset({"net.netfilter.nf_conntrack_max", "net.nf_conntrack_max", "net.ipv4.tcp_mem"})

# One process for all values: a fleet has many hosts and a profile many keys. (The shell's own `read` would need none,
# but dash reads single bytes, and these files answer only the first read.) `-w` is the kernel's word, also for root.
_PROBE = """\
cd /proc/sys || exit 1
for file in "$@"; do
  if [ ! -e "$file" ]; then mode=absent; elif [ -w "$file" ]; then mode=writable; else mode=readonly; fi
  printf '%s\\t%s\\n' "$file" $mode
done
grep -sHm 1 '' -- "$@" /dev/null
true
"""
_SWAP = str.maketrans("./", "/.")
_LINE = re.compile(r"([^\t:]+)(?:\t(writable|readonly|absent)|:(.*))")


# $1 do or undo; then key, file and value in turns. The shell writes by itself: there are many keys and many hosts.
# Where it cannot, printf(1) is asked why, which dash does not tell. What is to be put back may be gone with its module
# or interface, or be in force already.
_WRITE = """\
undo=$1; shift
while [ $# -gt 0 ]; do
  key=$1; file=/proc/sys/$2; value=$3; shift 3
  printf '%s\\n' "$value" 2>/dev/null > "$file" && continue
  if [ "$undo" = undo ]; then
    [ -e "$file" ] || continue
    [ "$(set -f; echo $(cat "$file"))" != "$value" ] || continue
  fi
  said=$({ env printf '%s\\n' "$value" > "$file"; } 2>&1) || { echo "$key: no \\"$value\\": ${said##*: }" >&2; exit 1; }
done
"""
_READ = 'exec cat "/proc/sys/$1"'


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A key as a host has it: mode "writable", "readonly" or "absent"; its value, None when absent."""

    key: str
    mode: str
    value: str | None


@dataclass(frozen=True, kw_only=True)
class NotApplied:
    """A wish that a host cannot or must not be given, and why. `profile`: whose it is, where there are several."""

    host: str
    key: str
    want: str
    now: str | None
    why: str
    profile: str = ""


def file_of(key: str) -> str:
    """A key's file below /proc/sys, and a file's key: as for sysctl(8), a slash in a key is a dot in a name.

    >>> file_of("net.ipv4.conf.eth0/100.rp_filter"), file_of("net/core/somaxconn")
    ('net/ipv4/conf/eth0.100/rp_filter', 'net.core.somaxconn')
    """
    return key.translate(_SWAP)


def probe(keys: Iterable[str]) -> Command:
    """The command whose output `parse_probe` reads: modes, one line for each key, then values."""
    return command("sh", "-c", _PROBE, "sh", *map(file_of, keys))


def parse_probe(text: str) -> dict[str, Setting]:
    """Settings by key.

    >>> parse_probe("net/core/somaxconn\\twritable\\nnet/core/somaxconn:4096\\n")["net.core.somaxconn"].value
    '4096'
    """
    modes: dict[str, str] = {}
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None or (match[2] is None and match[1] not in modes):
            raise ParseError("sysctl probe", number, line, "expected a key's mode, or the value of a key above")
        if match[2] is None:
            values[match[1]] = " ".join(match[3].split())
        else:
            modes[match[1]] = match[2]
    settings = {}
    for file, mode in modes.items():
        key = file_of(file)
        settings[key] = Setting(key=key, mode=mode, value=None if mode == "absent" else values.get(file, ""))
    return settings


def write_keys(values: Mapping[str, str]) -> Command:
    """Set keys in this order; fails with the first that the kernel does not take, and says which."""
    return command("sh", "-c", _WRITE, "sh", "do", *(w for key, v in values.items() for w in (key, file_of(key), v)))


def restore_keys(values: Mapping[str, str]) -> Command:
    """As `write_keys`, for an undo: a key that is gone, or has the value already, is no failure."""
    return command("sh", "-c", _WRITE, "sh", "undo", *write_keys(values).argv[5:])


def read_key(key: str) -> Command:
    return command("sh", "-c", _READ, "sh", file_of(key))


def sysctl_change(host: str, key: str, want: str, now: Mapping[str, str], *, reason: str = "") -> list[Change]:
    """Set one key; nothing when it has the value already. `now` holds present values by key."""
    before = " ".join(now[key].split())
    want = " ".join(want.split())
    if before == want:
        return []
    return [
        Change(
            host=host,
            what=f"sysctl {key}",
            before=before,
            want=want,
            do=write_keys({key: want}),
            undo=restore_keys({key: before}),
            check=read_key(key),
            expect=want,
            scope=scope_of(key),
            reason=reason,
            lasting=True,  # not by itself: where the profile is to stay, a file of ours sets it again at boot
        )
    ]


def merged(changes: Sequence[Change]) -> list[Change]:
    """The same with all plain settings of sysctls as one change: one process on the host instead of some for each key.

    For hosts whose tuning is switched from case to case. Keys that come and go with something else stay by themselves.
    """
    plain = [change for change in changes if change.what.startswith("sysctl ") and change.before is not None]
    if len(plain) < 2:
        return list(changes)
    keys = [change.what.removeprefix("sysctl ") for change in plain]
    now, want = (
        {key: str(getattr(change, name)) for key, change in zip(keys, plain, strict=True)}
        for name in ("before", "want")
    )
    one = replace(
        plain[0],
        what=f"sysctls {', '.join(keys)}",
        before="; ".join(now.values()),
        want="; ".join(want.values()),
        do=write_keys(want),
        undo=restore_keys(dict(reversed(now.items()))),
        check=command("sh", "-c", 'cd /proc/sys && exec cat "$@"', "sh", *map(file_of, keys)),
        expect=" ".join(" ".join(want.values()).split()),
        reason="the tuning of a case",
    )
    place = changes.index(plain[0])
    rest = [change for change in changes if change not in plain]
    return [*rest[:place], one, *rest[place:]]


def new_key_change(host: str, key: str, want: str, *, reason: str = "") -> Change:
    """Set a key that comes with a kernel module which is loaded before, and goes with it."""
    want = " ".join(want.split())
    return Change(
        host=host,
        what=f"sysctl {key}",
        before=None,
        want=want,
        do=write_keys({key: want}),
        undo=command("true"),
        check=read_key(key),
        expect=want,
        scope=scope_of(key),
        reason=reason,
    )


def scope_of(key: str) -> Scope:
    """How far a key reaches on a host that has a kernel of its own.

    >>> scope_of("net.core.somaxconn"), scope_of("net.core.netdev_max_backlog"), scope_of("vm.swappiness")
    ('netns', 'host', 'machine')
    """
    known = find(key)
    if known is None:
        return "netns" if key.startswith("net.") else "machine"
    return "host" if known.scope == "netns-readonly" else known.scope


def tuning(
    host: str, wish: Mapping[str, tuple[str, str]], settings: Mapping[str, Setting], *, namespace: bool
) -> tuple[list[Change], list[NotApplied]]:
    """Changes that bring a host to `wish` (key -> value, reason), and what cannot be applied there, with the reason.

    With `namespace`, only what belongs to the host's own network namespace is touched: the rest is the machine's.
    """
    changes: list[Change] = []
    skipped = []
    for key, (want, reason) in wish.items():
        setting = settings[key]
        why = _obstacle(setting, namespace=namespace)
        if why is None:
            assert setting.value is not None
            changes += sysctl_change(host, key, want, {key: setting.value}, reason=reason)
        else:
            skipped.append(NotApplied(host=host, key=key, want=want, now=setting.value, why=why))
    return changes, skipped


def _obstacle(setting: Setting, *, namespace: bool) -> str | None:
    if namespace and (not setting.key.startswith("net.") or setting.key in _NEVER_NAMESPACED):
        return "belongs to the whole machine; a lab leaves it alone"
    if setting.mode == "absent":
        return "global or unknown to this kernel; not visible in a network namespace" if namespace else "no such key"
    if setting.mode == "readonly":
        return "read-only here: belongs to the whole machine" if namespace else "read-only"
    return None
