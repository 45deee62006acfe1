"""The virtual IP: silence first, then the address."""

from __future__ import annotations

from bmtlib.setup.change import Change
from bmtlib.setup.vip import ARP_KEYS, director_vip, web_vip

UNSET = dict.fromkeys(ARP_KEYS, "0")


def whats(changes: list[Change]) -> list[str]:
    return [change.what for change in changes]


def test_a_web_host_is_silenced_before_it_gets_the_address() -> None:
    changes = web_vip("web01", "192.168.16.100", UNSET)
    assert [(change.what, change.want) for change in changes] == [
        ("sysctl net.ipv4.conf.all.arp_ignore", "1"),
        ("sysctl net.ipv4.conf.all.arp_announce", "2"),
        ("address 192.168.16.100/32 on lo", "192.168.16.100"),
    ]
    for it in (changes[-1].do, changes[-1].undo):
        assert it.argv[-2:] == ("lo", "192.168.16.100/32")


def test_what_is_silent_already_stays_so() -> None:
    silent = {"net.ipv4.conf.all.arp_ignore": "1", "net.ipv4.conf.all.arp_announce": "2"}
    assert whats(web_vip("web01", "10.0.0.9", silent)) == ["address 10.0.0.9/32 on lo"]
    assert whats(director_vip("director", "10.0.0.9", "ens3", silent)) == ["address 10.0.0.9/32 on ens3"]


def test_an_address_that_is_there_is_not_added() -> None:
    silent = {"net.ipv4.conf.all.arp_ignore": "1", "net.ipv4.conf.all.arp_announce": "2"}
    there = ("eth0 10.0.0.9/32", "lo 127.0.0.1/8")
    assert director_vip("director", "10.0.0.9", "eth0", silent, present=there) == []
    assert whats(web_vip("web01", "10.0.0.9", silent, present=there)) == ["address 10.0.0.9/32 on lo"]
    assert web_vip("web01", "10.0.0.9", silent, present=("lo 10.0.0.9/32",)) == []
    assert whats(web_vip("web01", "10.0.0.9", silent, present=("lo 10.0.0.9/24",))) == ["address 10.0.0.9/32 on lo"]


def test_the_director_answers_on_its_front_interface_alone() -> None:
    changes = director_vip("director", "192.168.16.100", "eth0", UNSET)
    assert whats(changes) == ["sysctl net.ipv4.conf.all.arp_ignore", "address 192.168.16.100/32 on eth0"]
    assert {change.host for change in changes} == {"director"}


def test_the_keys_that_must_be_known_are_the_keys_that_are_used() -> None:
    used = {change.what.removeprefix("sysctl ") for change in web_vip("w", "10.0.0.9", UNSET)[:-1]}
    assert used == set(ARP_KEYS)
