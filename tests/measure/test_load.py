"""Who asks whom, with how many connections, and the command line that does it."""

from __future__ import annotations

import random
from typing import Any

import pytest

from bmtlib.measure.load import ClientLoad, ab_command, client_loads, request_cap, spread
from bmtlib.params.scenario import Load

WEBS = {"web01": "172.16.0.101", "web02": "172.16.0.102", "web03": "172.16.0.103"}


def load(**options: Any) -> Load:
    base: dict[str, Any] = {"concurrency": 200}
    return Load.model_validate(base | ({} if {"seconds", "requests"} & set(options) else {"seconds": 5}) | options)


def parts(it: Load, *, clients: int, kind: str) -> list[ClientLoad]:
    names = [f"client{i:02}" for i in range(1, clients + 1)]
    return client_loads(it, clients=names, kind=kind, vip="192.168.16.100", webs=WEBS, port=8080)


def test_spread_is_as_even_as_can_be() -> None:
    chance = random.Random(3)
    for _ in range(500):
        total, count = chance.randrange(1_000_000), chance.randrange(1, 201)
        found = spread(total, count)
        assert sum(found) == total
        assert len(found) == count
        assert max(found) - min(found) <= 1
        assert found == sorted(found, reverse=True)


def test_every_client_can_do_its_part() -> None:
    """ab refuses a concurrency above its requests, and one of 0: no valid load may lead there."""
    chance = random.Random(4)
    for _ in range(500):
        clients = chance.randrange(1, 201)
        concurrency = chance.randrange(clients, 3 * clients + 1)
        requests = chance.randrange(concurrency, 3 * concurrency + 1)
        found = parts(load(concurrency=concurrency, requests=requests), clients=clients, kind="proxy")
        assert sum(part.concurrency for part in found) == concurrency
        assert sum(part.requests or 0 for part in found) == requests
        assert all(1 <= part.concurrency <= (part.requests or 0) for part in found)


@pytest.mark.parametrize("kind", ["proxy", "l2dsr"])
def test_balanced_arms_ask_the_vip(kind: str) -> None:
    found = parts(load(file_size="64 KiB"), clients=4, kind=kind)
    assert {part.url for part in found} == {"http://192.168.16.100:8080/dummy_file_65536"}
    assert [part.client for part in found] == ["client01", "client02", "client03", "client04"]
    assert [part.concurrency for part in found] == [50] * 4
    assert [part.requests for part in found] == [None] * 4


def test_the_direct_arm_shares_the_web_hosts_out() -> None:
    found = parts(load(), clients=5, kind="direct")
    hosts = [part.url.removeprefix("http://").split(":")[0] for part in found]
    assert hosts == ["172.16.0.101", "172.16.0.102", "172.16.0.103", "172.16.0.101", "172.16.0.102"]


ONE = ClientLoad(client="client01", url="http://10.0.0.9:80/dummy_file_5120", concurrency=50, requests=None)
COUNTED = ClientLoad(client="client01", url="http://10.0.0.9:80/dummy_file_5120", concurrency=50, requests=750)


def test_a_load_that_ends_by_time() -> None:
    assert ab_command(ONE, load(seconds=5, timeout_s=7)) == [
        *("ab", "-c", "50", "-s", "7", "-t", "5", "-n", "300000", "-r", "-g", "ab.tsv"),
        "http://10.0.0.9:80/dummy_file_5120",
    ]


def test_the_bound_stands_behind_the_time_because_time_sets_it() -> None:
    words = ab_command(ONE, load(seconds=60))
    assert words.index("-n") > words.index("-t")


def test_a_load_that_ends_by_requests() -> None:
    words = ab_command(COUNTED, load(requests=3000))
    assert "-t" not in words
    assert words[words.index("-n") + 1] == "750"


def test_options() -> None:
    words = ab_command(ONE, load(keepalive=True, ignore_socket_errors=False))
    assert "-k" in words
    assert "-r" not in words
    assert "-k" not in ab_command(ONE, load())


@pytest.mark.parametrize("it", [load(seconds=5), load(requests=3000)])
def test_warm_up_ends_by_its_own_time_and_leaves_no_rows(it: Load) -> None:
    words = ab_command(COUNTED, it, seconds=1, rows=None)
    assert words[words.index("-t") + 1] == "1"
    assert words[words.index("-n") + 1] == "60000"
    assert "-g" not in words
    assert words[-1] == COUNTED.url


def test_the_bound_is_a_number_that_ab_takes() -> None:
    """ab keeps it in an int: above 2147483647 it says `Invalid number of requests`."""
    assert request_cap(1) == 60_000
    assert request_cap(35_791) == 2_147_460_000
    assert request_cap(86_400) == 2_147_483_647
