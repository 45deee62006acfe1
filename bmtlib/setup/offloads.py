"""What a card does for the kernel: offloads, and which receive queue a flow goes to (ethtool -K, -N, -X)."""

from __future__ import annotations

from bmtlib.setup.card import set_card, why_not
from bmtlib.setup.change import command
from bmtlib.setup.hardware_facts import Feature, NicFacts
from bmtlib.setup.ledger import Ledger, text

_LONG_NAMES = {
    "rx": "rx-checksumming",
    "tx": "tx-checksumming",
    "sg": "scatter-gather",
    "tso": "tcp-segmentation-offload",
    "gso": "generic-segmentation-offload",
    "gro": "generic-receive-offload",
    "lro": "large-receive-offload",
    "rxvlan": "rx-vlan-offload",
    "txvlan": "tx-vlan-offload",
    "ntuple": "ntuple-filters",
    "rxhash": "receive-hashing",
}
_SHORT_NAMES = {long: short for short, long in _LONG_NAMES.items()}

# Letters as ethtool -N takes them -> patterns of the lines that ethtool -n prints, in its order.
_HASH_LINES = {
    "m": "L2DA",
    "v": "'VLAN tag'",
    "t": "'L3 proto'",
    "s": "'IP SA'",
    "d": "'IP DA'",
    "f": "'L4 bytes 0 & 1 '*",
    "n": "'L4 bytes 2 & 3 '*",
    "r": "*'All matching flows discarded'*",
}


def feature_change(ledger: Ledger, interface: str, name: str, on: bool, facts: NicFacts) -> None:
    long = _LONG_NAMES.get(name, name)
    key, what, feature = f"nic.features.{name}", f"nic {interface} {name}", facts.features.get(long)
    if feature is None:
        ledger.cannot(what, on, None, why_not(facts, "-k", "neither the kernel nor the driver knows this feature"))
    elif feature.fixed and feature.on != on:
        ledger.cannot(what, on, text(feature.on), "the driver allows no change ([fixed])")
    elif feature.on != on:
        # One feature takes others along (without tx checksums no segmentation): undo sets all that can be set.
        look = f'ethtool -k "$1" | while read -r name on _; do [ "$name" = {long}: ] && echo "$on"; done; true'
        all_before, words = _all_features(facts.features)
        undo = (
            'ethtool -K "$1" $3 >/dev/null 2>&1\n'
            "now=$(ethtool -k \"$1\" | sed -nE '/\\[fixed\\]/d; s/^[[:space:]]*([^ ]+: (on|off)).*/\\1/p')\n"
            '[ "$(echo $now)" = "$2" ] || { echo "not all features of $1 are as before: $(echo $now)" >&2; exit 1; }'
        )
        ledger.change(
            key,
            what,
            before=text(feature.on),
            want=text(on),
            do=command("ethtool", "-K", interface, _SHORT_NAMES.get(long, long), text(on)),
            undo=command("sh", "-c", undo, "sh", interface, all_before, words),
            check=command("sh", "-c", look, "sh", interface),
            expect=text(on),
        )


def _all_features(features: dict[str, Feature]) -> tuple[str, str]:
    """All that can be changed: as `ethtool -k` prints them, and as words for `ethtool -K`."""
    changeable = {name: feature for name, feature in features.items() if not feature.fixed}
    headings = {feature.parent for feature in features.values()}
    printed = " ".join(f"{name}: {text(feature.on)}" for name, feature in changeable.items())
    words = (
        f"{_SHORT_NAMES.get(name, name)} {text(feature.wanted)}"
        for name, feature in changeable.items()
        if name not in headings
    )
    return printed, " ".join(words)


def flow_hash_change(ledger: Ledger, interface: str, flow: str, fields: str, facts: NicFacts) -> None:
    what, now = f"nic {interface} rx-flow-hash {flow}", facts.flow_hash.get(flow)
    if not now:
        why = "the driver spreads flows by no fields that could be chosen"
        ledger.cannot(what, fields, now, why_not(facts, f"-n rx-flow-hash {flow}", why))
        return
    want = "".join(letter for letter in _HASH_LINES if letter in fields)
    if want != now:
        cases = " ".join(f"{line}) all=${{all}}{letter};;" for letter, line in _HASH_LINES.items())
        words = ("ethtool", "-N", interface, "rx-flow-hash", flow)
        set_card(
            ledger,
            (f"nic.rx_flow_hash.{flow}", what),
            f'ethtool -n "$1" rx-flow-hash {flow} | {{ all=; while read -r line; do case $line in {cases} esac; done; '
            'echo "$all"; }',
            interface,
            now=(now, (*words, now)),
            want=(want, (*words, want)),
        )


def even_over(facts: NicFacts) -> int | None:
    """Over how many queues the indirection table spreads flows evenly; None when it does not, or there is none."""
    count = max(facts.indirection, default=-1) + 1
    even = count and all(queue == i % count for i, queue in enumerate(facts.indirection))
    return count if even else None


def indirection_change(ledger: Ledger, interface: str, want: int, facts: NicFacts, queues: int) -> None:
    key, what, even = "nic.indirection", f"nic {interface} indirection", even_over(facts)
    if not facts.indirection:
        ledger.cannot(what, want, None, why_not(facts, "-x", "the driver has no indirection table that could be set"))
    elif even is None:
        ledger.cannot(what, want, "uneven", "the present table is not an even one: it could not be put back")
    elif want > queues:
        why = f"the card has {queues} queue(s) then"
        ledger.beyond(key, what, want, str(even), why, todo=f"at most {queues}, or more nic.channels")
    elif even != want or queues != facts.queues:
        table = " ".join(str(i % want) for i in range(len(facts.indirection)))
        back = ("default",) if even == facts.queues else ("equal", str(even))
        look = 'ethtool -x "$1" | while read -r line; do case $line in [0-9]*:*) echo "${line#*:}";; esac; done'
        held = " ".join(map(str, facts.indirection))
        undo = f'now=$({look})\n[ "$(echo $now)" = "$2" ] && exit\nname=$1; shift 2; ethtool -X "$name" "$@"'
        ledger.change(
            key,
            what,
            before=f"evenly over {even}",
            want=f"evenly over {want}",
            do=command("ethtool", "-X", interface, "equal", str(want)),
            undo=command("sh", "-c", undo, "sh", interface, held, *back),
            check=command("sh", "-c", look, "sh", interface),
            expect=table,
        )
