"""Shell that sets one thing of a card and puts it back; every module that tunes a card uses it."""

from __future__ import annotations

from collections.abc import Sequence

from bmtlib.setup.change import Command, command
from bmtlib.setup.hardware_facts import NicFacts, QueueIrq
from bmtlib.setup.hardware_script import QUEUE_IRQS
from bmtlib.setup.ledger import Ledger

# $1 interface, then the command. Many cards lose their link for a moment: it is waited for, 10 s at the most.
# Builtins only, here and below: starting a program is slow in an emulated machine, and a case has many changes.
_SET = """
link() { up=; read -r up 2>/dev/null < "/sys/class/net/$interface/carrier"; [ "$up" = 1 ]; }
interface=$1; shift; had=no; link && had=yes
"$@" || exit
i=0; while [ $had = yes ] && ! link && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done
"""
# $1 interface, $2 what `look` shall say, then the command: nothing is done where that is so (ethtool may end in an
# error then).
_BACK = f"""
[ "$(echo $(look "$1"))" = "$2" ] && exit
first=$1; shift 2; set -- "$first" "$@"
{_SET}"""

# $1 interface; on standard input "irq CPUS NAME" and "file PATH VALUE": what was there before, written where it is
# not so any more. IRQs go by name: a card that changed its queues may have got other numbers.
_RESTORE = (
    QUEUE_IRQS
    + """
restore() {
  irqs=$(queue_irqs "$1"); ok=0
  while read -r kind a b; do
    file=/sys/class/net/$1/queues/$a; value=$b
    if [ "$kind" = irq ]; then
      value=$a; file=
      while read -r _ irq _ name; do [ "$name" != "$b" ] || file=/proc/irq/$irq/smp_affinity_list; done <<END
$irqs
END
    fi
    held=; [ -e "$file" ] && read -r held < "$file" || continue
    [ "$held" = "$value" ] || echo "$value" > "$file" || ok=1
  done
  return $ok
}
"""
)


def restored(interface: str, irqs: Sequence[QueueIrq], masks: dict[str, str]) -> Command:
    """The undo of what moves a card's interrupts or its queues' masks: as they were, by IRQ name and file."""
    return command("sh", "-c", f'{_RESTORE}restore "$1"', "sh", interface, stdin=_remembered(irqs, masks))


def _remembered(irqs: Sequence[QueueIrq], masks: dict[str, str]) -> str:
    lines = [f"irq {irq.cpus} {irq.name}" for irq in irqs] + [f"file {file} {value}" for file, value in masks.items()]
    return "".join(f"{line}\n" for line in lines)


def set_card(
    ledger: Ledger,
    key_and_what: tuple[str, str],
    look: str,
    interface: str,
    *,
    now: tuple[str, Sequence[str]],
    want: tuple[str, Sequence[str]],
    forgets: NicFacts | None = None,
) -> None:
    """A change whose state `look` (shell, $1 the interface) prints; `now` and `want` are that state, and a command.

    `forgets`: the command makes the driver forget the CPUs of IRQs and queues; undo puts back those of these facts.
    """
    back, remembered = f"look() {{ {look}; }}{_BACK}", ""
    if forgets is not None:
        back = f'look() {{ {look}; }}\n{_RESTORE}({_BACK}) && restore "$1"'
        remembered = _remembered(forgets.irqs, forgets.masks)
    ledger.change(
        *key_and_what,
        before=now[0],
        want=want[0],
        do=command("sh", "-c", _SET, "sh", interface, *want[1]),
        undo=command("sh", "-c", back, "sh", interface, *(now[0], *now[1]), stdin=remembered),
        check=command("sh", "-c", look, "sh", interface),
        expect=want[0],
    )


def why_not(facts: NicFacts, option: str, otherwise: str) -> str:
    """The driver's own words, where there are any."""
    words = facts.refused.get(option)
    return f"{facts.driver or 'the driver'}: {words}" if words else otherwise
