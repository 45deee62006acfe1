"""Network cards: queues, rings, coalescing, length of the transmit queue, and what offloads.py adds (ethtool(8))."""

from __future__ import annotations

from bmtlib.params.profile import Nic
from bmtlib.setup.card import set_card, why_not
from bmtlib.setup.hardware_facts import NicFacts
from bmtlib.setup.ledger import Ledger, text
from bmtlib.setup.offloads import even_over, feature_change, flow_hash_change, indirection_change


def queues_wanted(wish: int | str | None, facts: NicFacts, near: int) -> int | None:
    """`auto` as a number: at most one queue for each of the `near` CPUs of the card's NUMA node; None: no wish."""
    if wish != "auto":
        return int(wish) if wish is not None else None
    kind = _channel_kind(facts)
    return None if kind is None else max(1, min(facts.channels[kind[0]].maximum or 1, near))


def nic_changes(ledger: Ledger, interface: str, wish: Nic, facts: NicFacts, *, near: int) -> int:
    """Changes of one card; `near` is the number of CPUs of its NUMA node. Returns its queues when they are done."""
    queues = _channels(ledger, interface, wish, facts, near)
    _rings(ledger, interface, wish, facts)
    _coalesce(ledger, interface, wish, facts)
    for name, on in wish.features.items():
        feature_change(ledger, interface, name, on, facts)
    for flow, fields in wish.rx_flow_hash.items():
        flow_hash_change(ledger, interface, flow, fields, facts)
    if wish.indirection is not None:
        indirection_change(ledger, interface, wish.indirection, facts, queues)
    if wish.txqueuelen is not None and wish.txqueuelen != facts.txqueuelen:
        ip = ("ip", "link", "set", "dev", interface, "txqueuelen")
        set_card(
            ledger,
            ("nic.txqueuelen", f"nic {interface} txqueuelen"),
            'cat "/sys/class/net/$1/tx_queue_len"',
            interface,
            now=(str(facts.txqueuelen), (*ip, str(facts.txqueuelen))),
            want=(str(wish.txqueuelen), (*ip, str(wish.txqueuelen))),
        )
    return queues


def _current(option: str, *names: str) -> str:
    """Shell that prints the present values of `ethtool -g` or `-l`, one line each."""
    wanted = "|".join(f"+{name}:" for name in names)
    each = f'case $now$name in Current) now=+;; {wanted}) echo "$value";; esac'
    return f'ethtool {option} "$1" | {{ now=; while read -r name value; do {each}; done; }}'


def _channel_kind(facts: NicFacts) -> tuple[str, ...] | None:
    """Queues for both directions, or for each: what the card has.

    Those of a veth are none: a packet is processed where it was sent, or where RPS says.
    """
    if facts.driver == "veth":
        return None
    for kind in (("Combined",), ("RX", "TX")):
        if all(name in facts.channels and facts.channels[name].maximum for name in kind):
            return kind
    return None


def _channels(ledger: Ledger, interface: str, wish: Nic, facts: NicFacts, near: int) -> int:
    queues = facts.queues
    if wish.channels is None:
        return queues
    key, what = "nic.channels", f"nic {interface} channels"
    kind = _channel_kind(facts)
    want = queues_wanted(wish.channels, facts, near)
    if kind is None or want is None:
        ledger.cannot(
            what, wish.channels, None, why_not(facts, "-l", "the interface has no queues whose number can be set")
        )
        return queues
    most = min(facts.channels[name].maximum or 0 for name in kind)
    now = " ".join(str(facts.channels[name].now) for name in kind)
    if want > most:
        ledger.beyond(
            key, what, want, now, f"the card has {most} queue(s) at the most", todo=f"at most {most}, or `auto`"
        )
        return queues
    wanted = " ".join(str(want) for _ in kind)
    if now == wanted:
        return want
    words = [word for name in kind for word in (name.lower(), str(want))]
    before = [word for name in kind for word in (name.lower(), str(facts.channels[name].now))]
    # Drivers spread flows over the old number of queues after an increase, and forget IRQs' CPUs and masks.
    evenly = ' && ethtool -X "$1" default' if even_over(facts) == queues else ""
    set_words = ("sh", "-c", f'ethtool -L "$@"{evenly}', "sh", interface) if evenly else ("ethtool", "-L", interface)
    set_card(
        ledger,
        (key, what),
        _current("-l", *kind),
        interface,
        now=(now, (*set_words, *before)),
        want=(wanted, (*set_words, *words)),
        forgets=facts,
    )
    return want


def _rings(ledger: Ledger, interface: str, wish: Nic, facts: NicFacts) -> None:
    for key, name, size in (("ring_rx", "RX", wish.ring_rx), ("ring_tx", "TX", wish.ring_tx)):
        if size is None:
            continue
        what, ring = f"nic {interface} {key}", facts.rings.get(name)
        if ring is None or ring.now is None or ring.maximum is None:
            ledger.cannot(what, size, None, why_not(facts, "-g", "the driver has no ring whose size can be set"))
            continue
        want = ring.maximum if size == "max" else int(size)
        if want > ring.maximum:
            why = f"the card's ring holds {ring.maximum} at the most"
            ledger.beyond(f"nic.{key}", what, want, str(ring.now), why, todo=f"at most {ring.maximum}, or `max`")
        elif want != ring.now:
            words = ("ethtool", "-G", interface, name.lower())
            set_card(
                ledger,
                (f"nic.{key}", what),
                _current("-g", name),
                interface,
                now=(str(ring.now), (*words, str(ring.now))),
                want=(str(want), (*words, str(want))),
            )


def _coalesce(ledger: Ledger, interface: str, wish: Nic, facts: NicFacts) -> None:
    # Adaptive first: a driver may refuse a number while it chooses numbers itself.
    for key, value in sorted(wish.coalesce.items()):
        what, now = f"nic {interface} {key}", facts.coalesce.get(key)
        if now is None:
            ledger.cannot(what, value, None, why_not(facts, "-c", "the driver has no such setting"))
            continue
        if now == value:
            continue
        each = f'[ "$name" = {key}: ] && echo "$value"'
        if isinstance(value, bool):  # both in one line: "Adaptive RX: off  TX: off"
            word = "${value%% *}" if key == "adaptive-rx" else "${value##* }"
            each = f'value=${{value#RX: }}; [ "$name" = Adaptive ] && echo "{word}"'
        set_card(
            ledger,
            (f"nic.coalesce.{key}", what),
            f'ethtool -c "$1" | while read -r name value; do {each}; done; true',
            interface,
            now=(text(now), ("ethtool", "-C", interface, key, text(now))),
            want=(text(value), ("ethtool", "-C", interface, key, text(value))),
        )
