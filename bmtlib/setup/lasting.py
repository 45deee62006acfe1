"""What outlives a reboot, for `bmt apply`: one file of ours for sysctl, kernel arguments, limits, irqbalance.

Never a line in a file of the user's. Sources: sysctl.d(5), grubby(8), update-grub(8) with /etc/default/grub.d,
limits.conf(5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bmtlib.setup.change import Change, command
from bmtlib.setup.file import file_change
from bmtlib.setup.sysctl import NotApplied
from bmtlib.setup.system_script import GRUB_FILE, LIMITS_FILE, MARK, SYSCTL_FILE

if TYPE_CHECKING:
    from bmtlib.setup.system import System

Found = tuple[list[Change], list[NotApplied]]
MACHINES_OWN = "belongs to the whole machine; a lab leaves it alone"

# Open files of a session with which a client can hold what ab holds at most (20,000 connections), and some to spare.
_SESSION_NOFILE = 65_536


def sysctl_file(host: str, system: System, sysctls: Mapping[str, str], *, profile: str) -> Found:
    """The settings that are in force, for the next boot as well."""
    if not sysctls:
        return [], []
    first = f"{MARK} (profile {profile}); `bmt rollback` takes it back."
    lines = [first, *(f"{key} = {value}" for key, value in sorted(sysctls.items()))]
    reason = "the same settings after a reboot"
    return _own_file(host, system, SYSCTL_FILE, "\n".join(lines) + "\n", reason=reason, profile=profile)


def limits_file(host: str, system: System, *, profile: str) -> Found:
    """More open files for root's sessions, where a client's load generator would run out of them."""
    if system.nofile >= _SESSION_NOFILE:
        return [], []
    limits = [f"root {kind} nofile {_SESSION_NOFILE}" for kind in ("soft", "hard")]
    lines = [f"{MARK}; `bmt rollback` takes it back.", *limits]
    reason = "ab needs one open file per connection; counts from the next login (ssh, sudo) on"
    return _own_file(host, system, LIMITS_FILE, "\n".join(lines) + "\n", reason=reason, profile=profile)


def _own_file(host: str, system: System, path: str, text: str, *, reason: str, profile: str) -> Found:
    before = system.files.get(path)
    if before == text:
        return [], []
    if before is not None and not before.startswith(MARK):
        why = f"{path} is there and not ours: rename it, or set the values there"
        return [], [NotApplied(host=host, key=f"file {path}", want=f"{len(text.encode())} bytes", now=None, why=why)]
    return [file_change(host, path, text, before=before, mode="644", reason=reason, profile=profile)], []


# grubby changes every kernel's entry, and the default for those to come. An argument of the same name that was there
# before is replaced by it: which ones were, is noted, and undo puts them back.
_GRUBBY = r"""
names() { for word in "$@"; do echo "${word%%=*}"; done; }
now() { grubby --info=DEFAULT | sed -n 's/^args="\(.*\)"$/\1/p'; }
kept=$KEEP/kernel-arguments
give_back() {
  [ -e "$kept" ] || return 0
  set -- "$*" "$(cat "$kept")"
  grubby --update-kernel=ALL --remove-args="$1" || return
  [ -z "$2" ] || grubby --update-kernel=ALL --args="$2" || return
  rm -f "$kept"
}
"""
_ADD_GRUBBY = (
    _GRUBBY
    + r"""
if [ ! -e "$kept" ]; then
  names "$@" > "$kept.names" || exit
  for word in $(now); do ! names "$word" | grep -qxFf "$kept.names" || printf '%s ' "$word"; done > "$kept.new"
  mv "$kept.new" "$kept" && rm -f "$kept.names" || exit
fi
grubby --update-kernel=ALL --args="$*" && exit
give_back "$@"; exit 1
"""
)
_REMOVE_GRUBBY = _GRUBBY + 'give_back "$@"\n'
_LOOK_GRUBBY = r"""
for word in $(grubby --info=DEFAULT | sed -n 's/^args="\(.*\)"$/\1/p'); do
  for wanted in "$@"; do [ "$word" != "$wanted" ] || echo "$word"; done
done | sort -u
"""
# $1 file; its text on standard input. The menu is made anew from it.
_UPDATE_GRUB = r"""
kept=$KEEP/$(printf %s "$1" | tr / %)
give_back() {
  if [ -e "$kept" ]; then cp -a "$kept" "$1.bmt-new" && mv -f "$1.bmt-new" "$1"
  elif [ -e "$kept.none" ]; then rm -f "$1"
  else return 0; fi && update-grub >/dev/null 2>&1 || { echo "update-grub failed" >&2; return 1; }
  [ ! -e "$kept.folder" ] || rmdir "${1%/*}" 2>/dev/null
  rm -f "$kept" "$kept.none" "$kept.folder"
}
"""
_ADD_UPDATE_GRUB = (
    _UPDATE_GRUB
    + r"""
[ -d "${1%/*}" ] || { : > "$kept.folder" && mkdir "${1%/*}"; } || exit
if [ -e "$kept" ] || [ -e "$kept.none" ]; then :
elif [ -e "$1" ]; then cp -a "$1" "$kept.new" && mv "$kept.new" "$kept"
else : > "$kept.none"; fi || exit
cat > "$1.bmt-new" && mv -f "$1.bmt-new" "$1" && update-grub >&2 && exit
give_back "$1"; exit 1
"""
)
_LOOK_UPDATE_GRUB = r"""
shift; for wanted in "$@"; do grep -qF -- " $wanted" /boot/grub/grub.cfg && echo "$wanted"; done | sort -u
"""


def kernel_arguments(host: str, system: System, arguments: Sequence[str], *, profile: str) -> Found:
    """Arguments of the kernel, from the next boot on; none where it has them already, or will have."""
    missing = [argument for argument in arguments if argument not in system.cmdline]
    if not missing:
        return [], []
    words = " ".join(arguments)
    change = Change(
        host=host,
        what="kernel arguments",
        before=" ".join(system.cmdline),
        want=words,
        do=command("sh", "-c", _ADD_GRUBBY, "sh", *arguments),
        undo=command("sh", "-c", _REMOVE_GRUBBY, "sh", *arguments),
        check=command("sh", "-c", _LOOK_GRUBBY, "sh", *arguments),
        expect=" ".join(sorted(set(arguments))),
        scope="reboot",
        reason="they count from the next boot on",
        lasting=True,
        seconds=60,
        profile=profile,
    )
    if "grubby" in system.boot_tools:
        pending = system.boot_args or ()
        return ([] if all(argument in pending for argument in missing) else [change]), []
    if "update-grub" in system.boot_tools:
        first = f"{MARK} (profile {profile}); `bmt rollback` takes it back."
        text = f'{first}\nGRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {words}"\n'
        if system.files.get(GRUB_FILE) == text:
            return [], []
        return [
            replace(
                change,
                do=command("sh", "-c", _ADD_UPDATE_GRUB, "sh", GRUB_FILE, stdin=text),
                undo=command("sh", "-c", _UPDATE_GRUB + 'give_back "$1"\n', "sh", GRUB_FILE),
                check=command("sh", "-c", _LOOK_UPDATE_GRUB, "sh", GRUB_FILE, *arguments),
            )
        ], []
    how = f"add {words} to GRUB_CMDLINE_LINUX in /etc/default/grub, then grub2-mkconfig -o /boot/grub2/grub.cfg"
    if "grub2-mkconfig" not in system.boot_tools:
        how = f"give the kernel the arguments {words} in the boot loader's configuration"
    why = f"{how}; and reboot"
    return [], [NotApplied(host=host, key="kernel arguments", want=words, now=" ".join(system.cmdline), why=why)]


_DISABLE = ': > "$KEEP/disabled-$1" && systemctl -q disable "$1"'
_ENABLE = """
[ -e "$KEEP/disabled-$1" ] || exit 0
systemctl -q enable "$1" && rm -f "$KEEP/disabled-$1"
"""


def irqbalance_off(host: str, system: System, *, profile: str) -> list[Change]:
    """irqbalance stays off after a reboot, too, where interrupts or CPUs are set aside for good."""
    unit = "irqbalance.service"
    state = system.units.get(unit)
    if state is None or state.enabled != "enabled":
        return []
    return [
        Change(
            host=host,
            what=f"enabled {unit}",
            before="enabled",
            want="disabled",
            do=command("sh", "-c", _DISABLE, "sh", unit),
            undo=command("sh", "-c", _ENABLE, "sh", unit),
            check=command("sh", "-c", 'systemctl is-enabled "$1"; true', "sh", unit),
            expect="disabled",
            reason="it would move the interrupts again after a reboot",
            lasting=True,
            seconds=10,
            profile=profile,
        )
    ]
