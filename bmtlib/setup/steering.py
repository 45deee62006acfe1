"""Packets spread over CPUs by software: RPS, RFS, XPS. Source: Documentation/networking/scaling.rst."""

from __future__ import annotations

from collections.abc import Iterable

from bmtlib.cpus import parse_list, to_list, to_mask
from bmtlib.setup.card import restored
from bmtlib.setup.change import command
from bmtlib.setup.hardware_facts import HardwareFacts, NicFacts
from bmtlib.setup.ledger import Ledger
from bmtlib.setup.sysctl import sysctl_change

RFS_KEY = "net.core.rps_sock_flow_entries"

# $1 interface, $2 file of each queue, $3 value for all.
_SET_ALL = 'for f in "/sys/class/net/$1/queues/"$2; do echo "$3" > "$f" || exit 1; done'
_PLAIN = "plain() { v=$1; while :; do case $v in [0,]?*) v=${v#?};; *) break;; esac; done; }\n"
_LOOK_ALL = (
    _PLAIN
    + """
seen=
for f in "/sys/class/net/$1/queues/"$2; do
  read -r v < "$f"; plain "$v"; case " $seen " in *" $v "*) ;; *) seen="$seen $v";; esac
done; echo $seen
"""
)
# $1 interface, then a mask for each transmit queue.
_SET_XPS = (
    'd=/sys/class/net/$1/queues; shift; i=0; for m; do echo "$m" > "$d/tx-$i/xps_cpus" || exit 1; i=$((i+1)); done'
)
_LOOK_XPS = (
    _PLAIN
    + """
i=0; while read -r v 2>/dev/null < "/sys/class/net/$1/queues/tx-$i/xps_cpus"; do
  plain "$v"; echo "$v"; i=$((i+1))
done
"""
)


def _plain(mask: str) -> str:
    """A mask without leading zeros: the kernel prints as many as it has room for.

    >>> _plain("00000000,0000000f"), _plain("0")
    ('f', '0')
    """
    return mask.lstrip("0,") or "0"


def _cpus(mask: str) -> str:
    """A mask for people.

    >>> _cpus("00000001,00000003"), _cpus("0")
    ('CPU 0-1,32', 'none')
    """
    bits = int(mask.replace(",", ""), 16)
    return f"CPU {to_list(i for i in range(bits.bit_length()) if bits >> i & 1)}" if bits else "none"


def rps_changes(ledger: Ledger, interface: str, cpus: Iterable[int], facts: NicFacts, *, queues: int) -> None:
    """Every receive queue's packets to `cpus`; to the CPU of the interrupt with none."""
    _all_queues(ledger, "steering.rps_cpus", interface, "rx-*/rps_cpus", to_mask(cpus), facts, queues)


def rfs_entries_change(ledger: Ledger, entries: int, facts: HardwareFacts) -> None:
    """The size of the host's table of flows. Its share for each queue: `rfs_changes`."""
    if facts.rfs_entries is None:
        ledger.cannot("steering rfs_entries", entries, None, f"the kernel shows no {RFS_KEY} here")
        return
    reason = ledger.reasons.get("steering.rfs_entries")
    ledger.changes += sysctl_change(
        ledger.host, RFS_KEY, str(entries), {RFS_KEY: str(facts.rfs_entries)}, reason=reason.reason if reason else ""
    )


def rfs_changes(ledger: Ledger, interface: str, entries: int, facts: NicFacts, *, queues: int) -> None:
    """Each queue's share of the table. The kernel rounds it up to a power of two."""
    share = 1 << (-(-entries // queues) - 1).bit_length() if entries else 0
    _all_queues(ledger, "steering.rfs_entries", interface, "rx-*/rps_flow_cnt", str(share), facts, queues)


def _all_queues(ledger: Ledger, key: str, interface: str, files: str, value: str, facts: NicFacts, queues: int) -> None:
    """One value for the same file of every queue."""
    name = files.partition("/")[2]
    what = f"steering {interface} {name}"
    now = {file: held for file, held in facts.masks.items() if file.endswith(f"/{name}")}
    values = sorted({_plain(held) for held in now.values()})
    if not now:
        ledger.cannot(what, value, None, f"the kernel has no {name} for this interface")
    elif values != [_plain(value)] or queues != facts.queues:
        ledger.change(
            key,
            what,
            before=" / ".join(map(_cpus, values) if name == "rps_cpus" else values),
            want=_cpus(value) if name == "rps_cpus" else value,
            do=command("sh", "-c", _SET_ALL, "sh", interface, files, value),
            undo=restored(interface, [], now),
            check=command("sh", "-c", _LOOK_ALL, "sh", interface, files),
            expect=_plain(value),
        )


def xps_changes(ledger: Ledger, interface: str, wish: str, facts: HardwareFacts, *, queues: int) -> None:
    """`spread`: CPUs take turns over the transmit queues, so that each has one of its own where there are enough."""
    nic, what = facts.nics[interface], f"steering {interface} xps_cpus"
    now = {file: held for file, held in nic.masks.items() if file.endswith("/xps_cpus")}
    if not now:
        ledger.cannot(what, wish, None, "the interface has one transmit queue: there is nothing to choose from")
        return
    count = queues if queues != nic.queues else len(now)
    cpus = sorted(parse_list(facts.cpus))
    turns = [cpus[i::count] or [cpus[i % len(cpus)]] for i in range(count)]
    masks = [to_mask(turn) if wish == "spread" else "0" for turn in turns]
    expect = " ".join(map(_plain, masks))
    before = " ".join(_plain(now[file]) for file in sorted(now, key=lambda file: int(file[3:].partition("/")[0])))
    if before == expect and queues == nic.queues:
        return
    ledger.change(
        "steering.xps",
        what,
        before=" / ".join(map(_cpus, before.split())),
        want=" / ".join(map(_cpus, masks)),
        do=command("sh", "-c", _SET_XPS, "sh", interface, *masks),
        undo=restored(interface, [], now),
        check=command("sh", "-c", _LOOK_XPS, "sh", interface),
        expect=expect,
    )
