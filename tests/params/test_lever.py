"""What a case does to its director: lever and queues, merged into one wish."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from bmtlib.params.lever import Lever, director_tuning, rps_instead
from bmtlib.params.profile import HostTuning, Irq, Nic, Steering


def lever(**settings: object) -> Lever:
    return Lever.model_validate({"text": "x", **settings})


def test_neither_lever_nor_queues_leave_the_director_alone() -> None:
    assert director_tuning(None, None) == HostTuning()
    assert director_tuning(lever(), None) == HostTuning(), "a lever without a setting is the control"


def test_what_needs_a_reboot_is_no_lever() -> None:
    with pytest.raises(ValidationError, match="no lever of a case"):
        lever(cpu={"kernel_args": ["isolcpus=1"]})


def test_queues_come_with_their_irqs_spread() -> None:
    assert director_tuning(None, 4) == HostTuning(nic=Nic(channels=4), irq=Irq(cpus="all"))


def test_a_lever_has_the_last_word_on_irqs() -> None:
    wish = director_tuning(lever(irq={"cpus": "proxy"}, nic={"ring_rx": 64}), 2)
    assert wish == HostTuning(nic=Nic(channels=2, ring_rx=64), irq=Irq(cpus="proxy"))


def test_a_lever_brings_its_settings_and_reasons() -> None:
    sysctl = {"net.core.somaxconn": {"value": 8, "reason": "short"}}
    wish = director_tuning(lever(sysctl=sysctl, reasons={"cpu.governor": {"reason": "y"}}, cpu={"governor": "x"}), None)
    assert wish.sysctl["net.core.somaxconn"].value == "8"
    assert wish.reasons["cpu.governor"].reason == "y"
    assert type(wish) is HostTuning


def test_rps_takes_the_place_of_queues_that_cannot_be_chosen() -> None:
    wish = director_tuning(lever(steering={"xps": "none"}, nic={"txqueuelen": 5}), 2)
    instead = rps_instead(wish, 2, {3, 1, 2})
    assert instead == HostTuning(nic=Nic(txqueuelen=5), steering=Steering(rps_cpus="1-2", xps="none"))
    own = director_tuning(lever(irq={"cpus": "others"}), 1)
    assert rps_instead(own, 1, {1, 2}).irq == Irq(cpus="others"), "a wish of the lever's own is kept, and refused"
