"""Proofs before the load: real curl against a small web server here, and hosts that answer ARP from a record."""

from __future__ import annotations

import itertools
import json
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from host_doubles import LocalHost, ReplayHost

from bmtlib.errors import CaseError, ParseError
from bmtlib.hosts.host import WORK
from bmtlib.measure.preflight import (
    PROOF_BYTES,
    director_tx_bytes,
    fetch,
    prove_answers,
    prove_arp,
    prove_direct_answers,
    prove_path,
)
from bmtlib.setup.nginx import _LINE, file_sha256

GOLDEN = Path(__file__).parents[1] / "golden"
FOLDER = f"{WORK}/preflight"


class Web(ThreadingHTTPServer):
    """Answers as `hosts` in turn; those in `wrong` with other bytes. A path with "404" or "dies" gets no answer."""

    def __init__(self, hosts: list[str], wrong: tuple[str, ...] = ()) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.turn, self.wrong, self.asked = itertools.cycle(hosts), wrong, 0
        self.base = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        raise AssertionError("the test's web server has failed")


class _Answer(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        self.server.asked += 1
        if "dies" in self.path:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        host = next(self.server.turn)
        size = int(self.path.rpartition("_")[2])
        body = (_LINE * (size // len(_LINE) + 1))[:size]
        self.send_response(404 if "404" in self.path else 200)
        self.send_header("x-bmt-host", host)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(body[:-1] + b"!" if host in self.server.wrong else body)

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def web() -> Iterator[Any]:
    """A function that starts a Web."""
    running: list[Web] = []

    def start(*hosts: str, wrong: tuple[str, ...] = ()) -> Web:
        running.append(Web(list(hosts), wrong))
        threading.Thread(target=running[-1].serve_forever, args=(0.02,), daemon=True).start()
        return running[-1]

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def test_fetch_says_who_answered_what_in_order(client: LocalHost, web: Any) -> None:
    base = web("web02", "web01").base
    urls = [f"{base}/preflight/dummy_file_{size}" for size in (1, 5120, 91, 65_536)]
    assert fetch(client, FOLDER, urls) == [
        ("web02", file_sha256(1)),
        ("web01", file_sha256(5120)),
        ("web02", file_sha256(91)),
        ("web01", file_sha256(65_536)),
    ]
    assert not (client.root / "run/bmt/preflight").exists()


def test_nothing_of_a_fetch_that_failed_disturbs_the_next(client: LocalHost, web: Any) -> None:
    base = web("web01").base
    good = f"{base}/preflight/dummy_file_7"
    with pytest.raises(CaseError, match="client01 got no right answer: curl"):
        fetch(client, FOLDER, [good, good, good, f"{base}/dies"])
    assert not (client.root / "run/bmt/preflight").exists()
    assert fetch(client, FOLDER, [good]) == [("web01", file_sha256(7))]
    (client.root / "run/bmt/preflight").mkdir()
    (client.root / "run/bmt/preflight/body0005").write_text("of a fetch that was killed")
    assert fetch(client, FOLDER, [good]) == [("web01", file_sha256(7))]


def test_answers_of_another_status_are_no_answers(client: LocalHost, web: Any) -> None:
    base = web("web01").base
    with pytest.raises(CaseError, match="asked 3 times and got 2 right answers"):
        fetch(client, FOLDER, [f"{base}/{name}_7" for name in ("dummy_file", "404", "dummy_file")])


def test_nobody_listens(client: LocalHost) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(CaseError, match="got no right answer: curl: \\(7\\)"):
            fetch(client, FOLDER, [f"http://127.0.0.1:{taken.getsockname()[1]}/x"])


def test_the_users_own_way_to_the_web_is_not_taken(
    client: LocalHost, web: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (client.root / ".curlrc").write_text("head\n")
    monkeypatch.setenv("HOME", str(client.root))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert fetch(client, FOLDER, [f"{web('web01').base}/dummy_file_7"]) == [("web01", file_sha256(7))]


def test_all_web_hosts_answer_through_a_balancer(client: LocalHost, web: Any) -> None:
    server = web("web01", "web02", "web03")
    proof = prove_answers([client], FOLDER, base=server.base, webs=["web01", "web02", "web03"], size=91)
    assert (proof.name, proof.ok) == ("answers", True)
    assert proof.text == "3 of 3 web hosts answered 91 right bytes in 12 requests"


def test_it_is_asked_again_until_all_have_answered(client: LocalHost, web: Any) -> None:
    server = web(*["web01"] * 9, "web02")
    assert prove_answers([client], FOLDER, base=server.base, webs=["web01", "web02"], size=7).ok
    assert server.asked == 16


def test_a_web_host_that_never_answers(client: LocalHost, web: Any) -> None:
    server = web("web01")
    with pytest.raises(CaseError, match=r"1 of 2 web hosts answered .* never: web02"):
        prove_answers([client], FOLDER, base=server.base, webs=["web01", "web02"], size=7)
    assert server.asked == 80, "40 times the number of web hosts"


def test_a_balancer_that_picks_by_client_shows_one_web_host_to_each(client: LocalHost, web: Any) -> None:
    base, webs = web("web01").base, ["web01", "web02"]
    proof = prove_answers([client, client], FOLDER, base=base, webs=webs, size=7, by_client=True)
    assert proof.text.startswith("1 of 2 web hosts answered 7 right bytes in 16 requests")
    with pytest.raises(CaseError, match="wrong bytes"):
        prove_answers([client], FOLDER, base=web("web01", wrong=("web01",)).base, webs=webs, size=7, by_client=True)


def test_wrong_bytes(client: LocalHost, web: Any) -> None:
    server = web("web01", "web02", wrong=("web02",))
    with pytest.raises(CaseError, match=r"wrong bytes from web02\n") as caught:
        prove_answers([client], FOLDER, base=server.base, webs=["web01", "web02"], size=5120)
    assert caught.value.where == "dummy_file_5120"


def test_each_web_host_at_its_own_address(client: LocalHost, web: Any) -> None:
    bases = {name: web(name).base for name in ("web01", "web02")}
    assert prove_direct_answers(client, FOLDER, bases=bases, size=91).ok
    swapped = dict(zip(bases, reversed(bases.values()), strict=True))
    with pytest.raises(CaseError, match="asked web01, web02 in this order, and web02, web01 answered"):
        prove_direct_answers(client, FOLDER, bases=swapped, size=91)
    bad = bases | {"web02": web("web02", wrong=("web02",)).base}
    with pytest.raises(CaseError, match="wrong bytes from web02"):
        prove_direct_answers(client, FOLDER, bases=bad, size=91)


def replay(name: str, record: dict[str, list[tuple[int, str]]]) -> ReplayHost:
    return ReplayHost(
        name=name,
        role=name.rstrip("0123456789"),
        machine="lab",
        addresses={"front": "192.168.16.11"},
        interfaces={"front": "eth0", "back": "eth1"},
        cpus=frozenset(os.sched_getaffinity(0)),
        record=record,
    )


ARPING = "timeout --signal=INT 0.3 arping -b -I eth0 192.168.16.100"


def arp(said: str, *, own: str = "02:00:00:00:00:01") -> tuple[ReplayHost, ReplayHost]:
    record = {"cat /sys/class/net/eth0/address": [(0, f"{own}\n")]}
    return replay("client01", {ARPING: [(124, said)]}), replay("director", record)


def golden(name: str) -> str:
    return (GOLDEN / "arping" / f"{name}.txt").read_text()


def test_arp_is_answered_by_the_director_alone() -> None:
    proof = prove_arp(*arp(golden("director")), "192.168.16.100")
    assert (proof.name, proof.ok) == ("arp", True)
    assert "02:00:00:00:00:01" in proof.text


def test_arp_is_answered_by_two() -> None:
    with pytest.raises(CaseError, match="answered by 32:c4:3b:00:5c:66, 4e:70:25:fa:e7:f1; only the director"):
        prove_arp(*arp(golden("two_hosts"), own="32:c4:3b:00:5c:66"), "192.168.16.100")


def test_arp_is_answered_by_a_web_host() -> None:
    with pytest.raises(CaseError, match=r"only the director \(02:00:ac:10:00:01\) may") as caught:
        prove_arp(*arp(golden("director"), own="02:00:ac:10:00:01"), "192.168.16.100")
    assert "arp_ignore" in caught.value.todo


def test_arp_is_answered_by_nobody() -> None:
    nobody = golden("none").replace("192.168.16.99", "192.168.16.100")
    with pytest.raises(CaseError, match="is answered by nobody"):
        prove_arp(*arp(nobody), "192.168.16.100")


def test_arping_that_cannot_ask() -> None:
    with pytest.raises(ParseError, match="arping"):
        prove_arp(*arp(""), "192.168.16.100")


def counters(front: int, back: int) -> str:
    """`ip -s -j link` as recorded on a director, with these bytes sent; another interface's do not count."""
    links = json.loads((GOLDEN / "ip_link/director.txt").read_text())
    eth1 = json.loads(json.dumps(links[1])) | {"ifname": "eth1"}
    for link, sent in zip([*links, eth1], (10**9, front, back), strict=True):
        link["stats64"]["tx"]["bytes"] = sent
    return json.dumps([*links, eth1])


def director(*sent: tuple[int, int]) -> ReplayHost:
    return replay("director", {"ip -s -j link": [(0, counters(*pair)) for pair in sent]})


def test_bytes_that_the_director_sent() -> None:
    assert director_tx_bytes(director((1000, 30))) == 1030


@pytest.mark.parametrize(
    ("kind", "share", "right"),
    [
        ("proxy", 1.05, True),
        ("proxy", 0.5, False),
        ("proxy", 0.03, False),
        ("l2dsr", 0.03, True),
        ("l2dsr", 0.2, True),
        ("l2dsr", 0.21, False),
        ("l2dsr", 0.5, False),
        ("l2dsr", 1.05, False),
        ("l3dsr", 0.03, True),
        ("l3dsr", 1.05, False),
        ("nat", 1.05, True),
        ("nat", 0.9, False),
        ("nat", 0.03, False),
        ("direct", 0.0, True),
        ("direct", 1.05, False),
        ("direct", 0.5, False),
    ],
)
def test_the_way_of_the_answers(client: LocalHost, web: Any, kind: str, share: float, right: bool) -> None:
    server, sent = web("web01"), int(share * 3 * PROOF_BYTES)
    watched = director((500, 70), (500 + sent // 2, 70 + sent - sent // 2))
    if right:
        proof = prove_path(client, watched, FOLDER, kind=kind, base=server.base, count=3)
        assert (proof.name, proof.ok) == ("path", True)
        assert f"sent {sent} bytes for {3 * PROOF_BYTES} bytes" in proof.text
    else:
        with pytest.raises(CaseError, match=f"the wrong way for arm {kind}"):
            prove_path(client, watched, FOLDER, kind=kind, base=server.base, count=3)
    assert server.asked == 3
