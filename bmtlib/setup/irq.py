"""Which CPU takes a card's interrupts, queue by queue (/proc/irq/N/smp_affinity_list); and irqbalance, its rival.

Source: Documentation/core-api/irq/irq-affinity.rst, irqbalance(1).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence

from bmtlib.setup.card import restored
from bmtlib.setup.change import command
from bmtlib.setup.hardware_facts import HardwareFacts, NicFacts
from bmtlib.setup.hardware_script import QUEUE_IRQS
from bmtlib.setup.ledger import Ledger
from bmtlib.setup.units import process_stopped, unit_stopped

# $1 interface, $2 queues in use, then CPUs. The IRQs are looked for when it runs: a card that has just changed its
# queues may have others than before.
_SPREAD = (
    QUEUE_IRQS
    + """
interface=$1; queues=$2; shift 2
pick() { n=$1; shift; shift $((n % $#)); echo "$1"; }
queue_irqs "$interface" | while read -r queue irq _; do
  case $queue in x|-) continue;; esac
  [ "$queue" -ge "$queues" ] || echo "$(pick "$queue" "$@")" > "/proc/irq/$irq/smp_affinity_list" || exit 1
done
"""
)
_LOOK = (
    QUEUE_IRQS
    + """
queue_irqs "$1" | {
  last=
  while read -r queue irq cpus name; do
    case $queue in x|-) continue;; esac
    [ "$queue" -ge "$2" ] || [ "$queue=$cpus" = "$last" ] || { last=$queue=$cpus; echo "$last"; }
  done
}
"""
)

_RUNNING = """
count=0
for stat in /proc/[0-9]*/stat; do
  read -r _ name state _ 2>/dev/null < "$stat"
  case $name$state in "(irqbalance)"[!ZX]) count=$((count+1));; esac
done; echo "$count run"
"""


def irqbalance_changes(ledger: Ledger, facts: HardwareFacts) -> None:
    """Stop irqbalance, where it runs: it would move the IRQs again within seconds."""
    if facts.irqbalance_unit:
        do, undo = unit_stopped("irqbalance.service")
        ledger.change(
            "irq.cpus",
            "unit irqbalance.service",
            before="active",
            want="stopped",
            do=do,
            undo=undo,
            check=command("sh", "-c", "systemctl is-active irqbalance.service; true"),
            expect="inactive",
            may_refuse=False,
        )
        return
    for pid, line in facts.irqbalance.items():
        words = base64.b64decode(line).decode(errors="surrogateescape").removesuffix("\0").split("\0")
        do, undo = process_stopped(pid, line, words)
        ledger.change(
            "irq.cpus",
            "process irqbalance",
            before=f"running as {pid}",
            want="stopped",
            do=do,
            undo=undo,
            check=command("sh", "-c", _RUNNING),
            expect="0 run",
            may_refuse=False,
        )


def irq_changes(ledger: Ledger, interface: str, cpus: Sequence[int], facts: NicFacts, *, queues: int) -> None:
    """Queue i's IRQs to the i-th of `cpus`, in turn. `queues`: those that the card has when its changes are done."""
    what = f"irq {interface}"
    found = sorted({irq.queue for irq in facts.irqs if irq.queue is not None})
    listed = ",".join(map(str, cpus))
    if not found:
        ledger.cannot(what, listed, None, "sysfs shows no interrupt that serves a queue of this interface")
        return
    used = range(queues) if queues != facts.queues else [queue for queue in found if queue < queues]
    want = {queue: str(cpus[queue % len(cpus)]) for queue in used}
    now = dict.fromkeys((irq.queue, irq.cpus) for irq in facts.irqs if irq.queue is not None and irq.queue < queues)
    if queues == facts.queues and list(now) == list(want.items()):
        return
    ledger.change(
        "irq.cpus",
        what,
        before=_by_queue(cpus for _, cpus in now),
        want=_by_queue(want.values()),
        do=command("sh", "-c", _SPREAD, "sh", interface, str(queues), *map(str, cpus)),
        undo=restored(interface, [irq for irq in facts.irqs if irq.queue is not None], {}),
        check=command("sh", "-c", _LOOK, "sh", interface, str(queues)),
        expect=" ".join(f"{queue}={cpu}" for queue, cpu in want.items()),
    )


def _by_queue(cpus: Iterable[str]) -> str:
    """For people: the CPUs of queue 0, 1, 2 ...

    >>> _by_queue(["0-1", "2"])
    'CPU 0-1, 2'
    """
    return f"CPU {', '.join(cpus)}"
