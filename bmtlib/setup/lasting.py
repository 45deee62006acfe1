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
    # Above fs.nr_open pam_limits(8) would refuse the login.
    wanted = min(_SESSION_NOFILE, system.nr_open)
    if system.nofile >= wanted:
        return [], []
    limits = [f"root {kind} nofile {wanted}" for kind in ("soft", "hard")]
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
# before is replaced by it: which ones were, is noted by kernel, and undo puts them back.
_GRUBBY = r"""
export LC_ALL=C; set -f
kept=$KEEP/kernel-arguments
# A line for each kernel, and after it, set in by a blank, one for its arguments.
entries() { grubby --info=ALL | sed -n 's/"//g; s/^kernel=//p; s/^args=/ /p'; }
namesakes() { # KERNEL WORD ...: those of ours, and those of the same name
  for word in $(entries | grep -xF -A 1 -- "$1" | sed -n '2s/^ //p'); do
    for wanted in $ours; do if [ "${word%%=*}" = "${wanted%%=*}" ]; then printf '%s ' "$word"; break; fi; done
  done
}
kernels() { entries | grep '^[^ ]'; }
give_back() {
  [ -e "$kept" ] || return 0
  grubby --update-kernel=ALL --remove-args="$ours" || return
  there=$(kernels)
  while read -r kernel before; do
    printf '%s\n' "$there" | grep -qxF -- "$kernel" || continue # removed since
    [ -z "$before" ] || grubby --update-kernel="$kernel" --args="$before" || return
    now=$(namesakes "$kernel")
    [ "$(echo $now | tr ' ' '\n' | sort)" = "$(echo $before | tr ' ' '\n' | sort)" ] ||
      { echo "$kernel has the arguments '$now', and had '$before'" >&2; return 1; }
  done < "$kept"
  rm -f "$kept"
}
ours=$*
"""
_ADD_GRUBBY = (
    _GRUBBY
    + r"""
if [ ! -e "$kept" ]; then
  kernels | while read -r kernel; do echo "$kernel $(namesakes "$kernel")"; done > "$kept.new"
  [ -s "$kept.new" ] || { echo "grubby knows no kernel of this host" >&2; exit 1; }
  mv "$kept.new" "$kept" || exit
fi
grubby --update-kernel=ALL --args="$ours" && exit
give_back; exit 1
"""
)
_REMOVE_GRUBBY = _GRUBBY + "give_back\n"
_LOOK_GRUBBY = r"""
for word in $(grubby --info=DEFAULT | sed -n 's/^args="\(.*\)"$/\1/p'); do
  for wanted in "$@"; do [ "$word" != "$wanted" ] || echo "$word"; done
done | LC_ALL=C sort -u
"""
# $1 file; its text on standard input. The menu is made anew from it; where that fails, the menu is the old one.
_UPDATE_GRUB = r"""
kept=$KEEP/$(printf %s "$1" | tr / %)
menu() { update-grub > "$kept.log" 2>&1 || { tail -n 5 "$kept.log" >&2; echo "update-grub failed" >&2; return 1; }; }
put_back() {
  if [ -e "$kept" ]; then cp -a "$kept" "$1.bmt-new" && mv -f "$1.bmt-new" "$1"
  else rm -f "$1" "$1.bmt-new"; fi || return
  [ ! -e "$kept.folder" ] || rmdir "${1%/*}" 2>/dev/null; return 0
}
forget() { rm -f "$kept" "$kept".*; }
"""
_ADD_UPDATE_GRUB = (
    _UPDATE_GRUB
    + r"""
if [ -e "$kept" ] || [ -e "$kept.none" ]; then :
elif [ -e "$1" ]; then cp -a "$1" "$kept.new" && mv "$kept.new" "$kept"
else : > "$kept.none"; fi || exit
[ -d "${1%/*}" ] || { : > "$kept.folder" && mkdir "${1%/*}"; } || exit
cat > "$1.bmt-new" && chmod 644 "$1.bmt-new" && mv -f "$1.bmt-new" "$1" && menu && exit
put_back "$1" && forget; exit 1
"""
)
_REMOVE_UPDATE_GRUB = (
    _UPDATE_GRUB
    + r"""
[ -e "$kept" ] || [ -e "$kept.none" ] || exit 0
put_back "$1" && menu && forget
"""
)
# $1 the menu, then the arguments. Those that each kernel of it gets.
_LOOK_UPDATE_GRUB = r"""
menu=$1; shift
for wanted in "$@"; do
  sed -n '/vmlinu/s/^[[:space:]]*linux\(16\|efi\)\{0,1\}[[:space:]]/ /p' "$menu" |
    { some=; while read -r line; do some=yes
      case " $line " in *" $wanted "*) ;; *) exit 1;; esac
    done; [ -n "$some" ]; } && echo "$wanted"
done | LC_ALL=C sort -u
"""
_MENU = "/boot/grub/grub.cfg"


def kernel_arguments(host: str, system: System, arguments: Sequence[str], *, profile: str) -> Found:
    """Arguments of the kernel, from the next boot on; none where it has them already, or will have."""
    missing = [argument for argument in arguments if argument not in system.cmdline]
    if not missing:
        return [], []
    words = " ".join(arguments)
    names = {argument.partition("=")[0] for argument in arguments}
    now = " ".join(word for word in system.cmdline if word.partition("=")[0] in names) or None

    def cannot(why: str) -> Found:
        return [], [NotApplied(host=host, key="kernel arguments", want=words, now=now, why=why)]

    change = Change(
        host=host,
        what="kernel arguments",
        before=now,
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
    waits = "the boot loader has them already: they count from the next boot on"
    if "grubby" in system.boot_tools:
        pending = system.boot_args or ()
        return cannot(waits) if all(argument in pending for argument in arguments) else ([change], [])
    if "update-grub" in system.boot_tools:
        first = f"{MARK} (profile {profile}); `bmt rollback` takes it back."
        text = f'{first}\nGRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {words}"\n'
        if system.files.get(GRUB_FILE) == text:
            return cannot(waits)
        return [
            replace(
                change,
                do=command("sh", "-c", _ADD_UPDATE_GRUB, "sh", GRUB_FILE, stdin=text),
                undo=command("sh", "-c", _REMOVE_UPDATE_GRUB, "sh", GRUB_FILE),
                check=command("sh", "-c", _LOOK_UPDATE_GRUB, "sh", _MENU, *arguments),
            )
        ], []
    how = f"add {words} to GRUB_CMDLINE_LINUX in /etc/default/grub, then grub2-mkconfig -o /boot/grub2/grub.cfg"
    if "grub2-mkconfig" not in system.boot_tools:
        how = f"give the kernel the arguments {words} in the boot loader's configuration"
    return cannot(f"{how}; and reboot")


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
