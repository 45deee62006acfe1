"""Words for whoever has to set CPUs aside at boot. Isolation at run time needs a kernel of its own: tests/lab."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bmtlib.setup.hardware_facts import HardwareFacts
from bmtlib.setup.isolation import kernel_arguments, kernel_arguments_advice


@pytest.mark.parametrize(
    ("tools", "how"),
    [
        (
            ("grubby", "grub2-mkconfig"),
            'grubby --update-kernel=ALL --args="isolcpus=managed_irq,domain,2-3 nohz_full=2-3',
        ),
        (("update-grub", "grub-mkconfig"), "GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub; and reboot"),
        (("grub2-mkconfig",), "then grub2-mkconfig -o /boot/grub2/grub.cfg; and reboot"),
        (("grub-mkconfig",), "then grub-mkconfig -o /boot/grub/grub.cfg; and reboot"),
        ((), "in the boot loader's configuration, and reboot"),
    ],
)
def test_what_to_type(guest: HardwareFacts, tools: tuple[str, ...], how: str) -> None:
    advice = kernel_arguments_advice(kernel_arguments([2, 3]), replace(guest, boot_tools=tools))
    assert how in advice
    assert "rcu_nocbs=2-3" in advice
