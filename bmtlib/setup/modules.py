"""Kernel modules that a role needs, loaded for the time of the test. Source: modprobe(8), rmmod(8)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bmtlib.setup.change import Change, command
from bmtlib.setup.sysctl import NotApplied

if TYPE_CHECKING:
    from bmtlib.setup.system import System

# By what the scenario's arms want of a director; conntrack: sysctl keys below net.netfilter are there with it only.
_BY_NEED = {"ipvs": "ip_vs", "ipip": "ipip", "conntrack": "nf_conntrack"}
_REASON = {
    "ip_vs": "LVS is a module of the kernel",
    "ipip": "tunnels to web hosts behind a router",
    "nf_conntrack": "its settings are there with the module only",
}

# $1 module. Which were there before, and which it brings along, is noted. (`modprobe -r` would also remove what others
# of the host had loaded, and nobody uses at the moment.) Of what came, and of what hangs on it since (the schedulers of
# ip_vs), undo leaves nothing: users go before what they use.
_GIVE_BACK = r"""
export LC_ALL=C
kept=$KEEP/modules-$1
due() {
  while read -r module; do
    for holder in "/sys/module/$module/holders"/*; do [ ! -e "$holder" ] || echo "${holder##*/}"; done
    [ ! -d "/sys/module/$module" ] || echo "$module"
  done < "$kept.brings" | sort -u | comm -23 - "$kept"
}
give_back() {
  while [ -e "$kept.brings" ] && left=$(due) && [ -n "$left" ]; do
    progress=
    for module in $left; do rmmod "$module" 2>/dev/null && progress=yes; done
    [ -n "$progress" ] || { echo "still in use:" $left >&2; return 1; }
  done
  rm -f "$kept.brings" "$kept" "$kept.new"
}
"""
_LOAD = (
    _GIVE_BACK
    + r"""
note() {
  [ ! -e "$kept.brings" ] || return 0
  cut -d ' ' -f 1 /proc/modules | sort > "$kept" && modprobe -D "$1" > "$kept.new" || return
  names=$(sed -n 's|^insmod .*/\([^/]*\)\.ko.*|\1|p' "$kept.new" | tr - _)
  printf '%s\n' "$names" > "$kept.new" && mv "$kept.new" "$kept.brings"
}
note "$1" && modprobe "$1" && exit
give_back; exit 1
"""
)
_UNLOAD = _GIVE_BACK + "give_back\n"
_LOADED = '[ -d "/sys/module/$1" ] && echo loaded'


def module_changes(
    host: str, needs: Iterable[str], system: System, *, namespace: bool
) -> tuple[list[Change], list[NotApplied]]:
    """Load what `needs` want and the kernel has not loaded; what it does not have is named."""
    changes: list[Change] = []
    skipped: list[NotApplied] = []
    for name in (_BY_NEED[need] for need in sorted(needs) if need in _BY_NEED):
        state = system.modules[name]
        if state == "loaded":
            continue
        if state == "available" and not namespace:
            changes.append(_module(host, name))
        else:
            why = "belongs to the whole machine; a lab leaves it alone" if namespace else _absent(system, name)
            skipped.append(NotApplied(host=host, key=f"module {name}", want="loaded", now=state, why=why))
    return changes, skipped


def _absent(system: System, name: str) -> str:
    hint = "the distribution's own kernel"
    if system.manager == "dnf":
        hint = f"kernel-modules-{system.kernel}"
    elif system.os == "ubuntu":
        hint = f"linux-modules-extra-{system.kernel}"
    return f"kernel {system.kernel} has no module {name} on this host; it may come with {hint}"


def _module(host: str, name: str) -> Change:
    return Change(
        host=host,
        what=f"module {name}",
        before="not loaded",
        want="loaded",
        do=command("sh", "-c", _LOAD, "sh", name),
        undo=command("sh", "-c", _UNLOAD, "sh", name),
        check=command("sh", "-c", _LOADED, "sh", name),
        expect="loaded",
        scope="machine",
        reason=_REASON[name],
        seconds=10,
    )
