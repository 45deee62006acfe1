from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv4Network

import pytest

from bmtlib.errors import InputError
from bmtlib.params.testbed import Network, PlacementWish, Testbed, address_plan


def test_the_studys_addresses() -> None:
    plan = address_plan(Network(), clients=30, webs=25)
    assert list(plan)[:3] == ["director", "web01", "web02"]
    assert plan["director"] == {"front": "192.168.16.1", "back": "172.16.0.1"}
    assert plan["web25"] == {"back": "172.16.0.125"}
    assert plan["client01"] == {"front": "192.168.16.2"}


def test_200_clients_step_around_the_vip() -> None:
    plan = address_plan(Network(), clients=200, webs=60)
    fronts = [sides["front"] for sides in plan.values() if "front" in sides]
    assert "192.168.16.100" not in fronts
    assert len(set(fronts)) == 201
    assert (plan["client98"]["front"], plan["client99"]["front"]) == ("192.168.16.99", "192.168.16.101")
    assert plan["client200"]["front"] == "192.168.16.202"


def test_any_plan_has_different_usable_addresses_inside_its_networks() -> None:
    chance = random.Random(11)
    for _ in range(300):
        front = IPv4Network((int(IPv4Address("10.0.0.0")), chance.randrange(20, 30)))
        back = IPv4Network((int(IPv4Address("172.16.0.0")), chance.randrange(20, 30)))
        vip = front[chance.randrange(2, front.num_addresses - 1)]
        clients = chance.randrange(1, min(201, front.num_addresses - 3))
        webs = chance.randrange(1, min(61, back.num_addresses - 2))
        network = Network(vip=str(vip), front=str(front), back=str(back))
        plan = address_plan(network, clients=clients, webs=webs)
        assert len(plan) == 1 + clients + webs
        for side, net in (("front", front), ("back", back)):
            found = [IPv4Address(sides[side]) for sides in plan.values() if side in sides]
            assert len(set(found)) == len(found) == 1 + (clients if side == "front" else webs)
            assert all(address in net for address in found)
            assert not {vip, net.network_address, net.broadcast_address} & set(found)


@pytest.mark.parametrize(("prefix", "room"), [(29, 4), (28, 12), (24, 252)])
def test_no_room_is_an_error_that_says_how_much_there_is(prefix: int, room: int) -> None:
    network = Network(vip="10.0.0.3", front=f"10.0.0.0/{prefix}")
    address_plan(network, clients=room, webs=1)
    with pytest.raises(InputError, match=f"it has {room} addresses beside director, VIP"):
        address_plan(network, clients=room + 1, webs=1)


def test_web_hosts_start_at_101_only_when_they_fit() -> None:
    assert address_plan(Network(), clients=1, webs=154)["web154"] == {"back": "172.16.0.254"}
    assert address_plan(Network(), clients=1, webs=155)["web01"] == {"back": "172.16.0.2"}
    assert address_plan(Network(back="10.0.0.0/25"), clients=1, webs=26)["web26"] == {"back": "10.0.0.126"}
    assert address_plan(Network(back="10.0.0.0/25"), clients=1, webs=27)["web01"] == {"back": "10.0.0.2"}
    with pytest.raises(InputError, match="7 web hosts"):
        address_plan(Network(back="10.0.0.0/29"), clients=1, webs=7)


@pytest.mark.parametrize(("wish", "cpus"), [("auto", "auto"), (1, "1"), ("1", "1"), ("3,1-2", "1-3"), (" 0-1 ", "0-1")])
def test_cpus_of_the_director(wish: object, cpus: str) -> None:
    assert PlacementWish.model_validate({"director_cpus": wish}).director_cpus == cpus


def test_a_testbed_needs_nothing_said() -> None:
    assert Testbed() == Testbed.model_validate({}) == Testbed.model_validate_json(Testbed().model_dump_json())
