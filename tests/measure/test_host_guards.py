"""Guards on hosts, machines and counters: each at its limit and just past it, on recorded texts of both moments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bmtlib.measure.guards.counters import counter_guards
from bmtlib.measure.guards.guard import Guard
from bmtlib.measure.guards.machines import machine_guards
from bmtlib.measure.guards.network import network_guards
from bmtlib.measure.guards.seen import Seen
from bmtlib.measure.outcome import ClientOutcome, Window
from bmtlib.params.load import Load

GOLDEN = Path(__file__).parents[1] / "golden"
ROLES = {"director": "director", "web01": "web", "web02": "web", "client01": "client", "client02": "client"}
WINDOW = Window(start_epoch_s=100.0, end_epoch_s=110.0, skew_ms=1.0, overlap=1.0)
CLIENT = ClientOutcome(
    host="client01",
    url="http://192.168.16.100/x",
    concurrency=100,
    status="done",
    rc=0,
    start_epoch_s=100.0,
    seconds=10.0,
    completed=500,
    failed=0,
    opened=510,
    document_bytes=5120,
    said="",
)
CLIENTS = [CLIENT, replace(CLIENT, host="client02")]
REQUESTS: dict[str, int | None] = {"sent": 1000, "completed": 1000, "failed": 0, "cut_off": 20, "opened": 1020}
Files = dict[str, dict[str, bytes]]


def around(name: str, before: str, after: str) -> dict[str, bytes]:
    return {f"{name}.before.txt": before.encode(), f"{name}.after.txt": after.encode()}


def nstat(**grown: int) -> dict[str, bytes]:
    """The kernel's counters, all at 1000 before the load."""
    names = ("ActiveOpens", "PassiveOpens", "ExtListenDrops", "ExtListenOverflows", "InSegs", "OutSegs", "RetransSegs")
    before = {f"Tcp{name}": 1000 for name in names}
    after = {name: count + grown.get(name.removeprefix("Tcp"), 0) for name, count in before.items()}
    return around("nstat", json.dumps({"kernel": before}), json.dumps({"kernel": after}))


def ip_link(packets: int, dropped: int) -> dict[str, bytes]:
    def text(share: int) -> str:
        rx = {"bytes": 9, "packets": 50 + share * packets, "errors": 0, "dropped": share * dropped}
        rx |= {"over_errors": 0, "multicast": 0}
        tx = {"bytes": 9, "packets": 9, "errors": 0, "dropped": 0, "carrier_errors": 0, "collisions": 0}
        return json.dumps([{"ifname": "eth0", "operstate": "UP", "mtu": 1500, "stats64": {"rx": rx, "tx": tx}}])

    return around("ip_link", text(0), text(1))


def stat_text(*busy_steal: tuple[int, int], of: int = 1000) -> str:
    """A CPU for each pair: ticks busy and stolen, of so many."""
    lines = [
        f"cpu{cpu} {busy} 0 0 {of - busy - steal} 0 0 0 {steal} 0 0" for cpu, (busy, steal) in enumerate(busy_steal)
    ]
    rest = "intr 5 1\nctxt 1\nbtime 1\nprocesses 1\nprocs_running 1\nprocs_blocked 0\nsoftirq 0" + " 0" * 10
    return "\n".join(["cpu  0 0 0 0 0 0 0 0 0 0", *lines, rest]) + "\n"


def stat(*busy_steal: tuple[int, int]) -> dict[str, bytes]:
    return around("stat", stat_text(*((0, 0) for _ in busy_steal), of=0), stat_text(*busy_steal))


def seen(
    files: Mapping[str, Mapping[str, bytes]], *, shared: bool = True, director_cpus: tuple[int, ...] = (1,)
) -> Seen:
    machines = {name: "lab" if shared else name for name in ROLES}
    return Seen({name: files.get(name, {}) for name in ROLES}, ROLES, machines, frozenset(director_cpus))


def one(name: str, found: list[Guard]) -> Guard:
    assert len({guard.name for guard in found}) == len(found)
    (guard,) = [guard for guard in found if guard.name == name]
    assert guard.text
    assert guard.value is None or guard.evidence, "who judges names the evidence"
    return guard


def machine(name: str, files: Files, kind: str = "l2dsr", **where: Any) -> Guard:
    return one(name, machine_guards(seen(files, **where), kind, WINDOW))


def network(name: str, files: Files, clients: list[ClientOutcome] = CLIENTS, **limits: Any) -> Guard:
    base: dict[str, Any] = {"ports": {"client01": 1000, "client02": 1000}, "nofile": {"client01": 1000}}
    return one(name, network_guards(seen(files), "l2dsr", clients, WINDOW, **(base | limits)))


def counter(name: str, files: Files, kind: str = "l2dsr", **load: Any) -> Guard:
    asked = Load.model_validate({"concurrency": 200, "seconds": 10, **load})
    return one(name, counter_guards(seen(files), asked, kind, CLIENTS, REQUESTS))


def test_who_saw_nothing_knows_nothing() -> None:
    found = [
        *machine_guards(seen({}), "proxy", WINDOW),
        *network_guards(seen({}), "l2dsr", CLIENTS, WINDOW, ports={}, nofile={}),
    ]
    found += counter_guards(seen({}), Load(concurrency=200, seconds=10), "proxy", CLIENTS, REQUESTS)
    assert {guard.verdict for guard in found} == {"ok"}
    assert all(guard.value is None or guard.name == "backwards" for guard in found)
    text = {guard.name: guard.text for guard in found}
    assert all("not measured" in text[name] for name in ("cpu", "steal", "clock", "thermal", "drops", "connections"))


def test_files_that_are_not_understood_are_not_measured() -> None:
    broken = {name: dict.fromkeys(("stat.before.txt", "stat.after.txt", "clock.before.txt"), b"?!") for name in ROLES}
    assert {guard.value for guard in machine_guards(seen(broken), "proxy", WINDOW)} == {None}


@pytest.mark.parametrize(("busy", "verdict"), [(0, "ok"), (900, "ok"), (901, "mark"), (1000, "mark")])
def test_cpu_of_clients_and_web_hosts(busy: int, verdict: str) -> None:
    guard = machine("cpu", {"director": stat((busy, 0), (900, 0))})
    assert (guard.verdict, guard.value) == (verdict, busy / 1000), "CPU 1 is the director's own"
    assert "web hosts and clients" in guard.text
    assert guard.spoils == ("requests_per_s", "waits")


def test_a_director_that_is_full_as_well_is_the_limit_of_its_requests() -> None:
    guard = machine("cpu", {"director": stat((950, 0), (901, 0))})
    assert (guard.verdict, guard.spoils) == ("mark", ("waits",))
    assert "the director's busiest 90%: requests/s are what it can do" in guard.text


def test_the_direct_arm_shows_what_clients_and_web_hosts_can_do() -> None:
    guard = machine("cpu", {"director": stat((950, 0), (10, 0))}, kind="direct")
    assert (guard.verdict, guard.spoils) == ("mark", ())


def test_cpu_of_machines_of_their_own() -> None:
    files = {"director": stat((1000, 0), (1000, 0)), "web01": stat((950, 0)), "client01": stat((100, 0))}
    guard = machine("cpu", files, shared=False, director_cpus=(0, 1))
    assert (guard.verdict, guard.value) == ("mark", 0.95)
    assert "web hosts (0 of web01's machine)" in guard.text
    assert guard.evidence[0] == "web01/stat.during.txt cpu0"


def test_cpu_is_that_of_the_load_where_there_are_samples() -> None:
    files = stat((100, 0), (0, 0))  # a long idle time before and after
    texts = {
        at: stat_text((busy, 0), (0, 0), of=of)
        for at, busy, of in ((99, 0, 0), (101, 10, 100), (109, 810, 900), (120, 810, 5000))
    }
    files["stat.during.txt"] = "".join(f"### {at}.0\n{text}" for at, text in texts.items()).encode()
    guard = machine("cpu", {"director": files})
    assert (guard.verdict, guard.value) == ("mark", 1.0)


@pytest.mark.parametrize(("seconds", "verdict"), [("9.000000", "ok"), ("9.100000", "mark")])
def test_a_load_generator_that_fills_its_cpu(seconds: str, verdict: str) -> None:
    times = f"0m0.000000s 0m0.000000s\n0m0.000000s 0m{seconds}s\n".encode()
    guard = machine("load-cpu", {"client01": {"load.times": times}})
    assert (guard.verdict, guard.value) == (verdict, pytest.approx(float(seconds) / 10))


@pytest.mark.parametrize(("steal", "verdict"), [(0, "ok"), (20, "ok"), (21, "mark"), (400, "mark"), (401, "reject")])
def test_steal(steal: int, verdict: str) -> None:
    guard = machine("steal", {"director": stat((0, steal), (0, 0))})
    assert (guard.verdict, guard.value) == (verdict, pytest.approx(steal / 2000))


def clock(moved_s: float, *, uptime_s: float = 10.0, bracket_s: float = 0.0) -> dict[str, bytes]:
    def text(epoch: float, uptime: float) -> str:
        return f"{epoch:.9f}\n{uptime:.2f} {uptime + bracket_s:.2f}\n"

    return around("clock", text(100_000.0, 50.0), text(100_000.0 + uptime_s + moved_s, 50.0 + uptime_s))


@pytest.mark.parametrize(
    ("moved_s", "verdict", "least_ms"),
    [
        (0.0, "ok", 0),
        (0.039, "ok", 19),  # reading leaves 20 ms open
        (0.050, "mark", 30),
        (-0.050, "mark", 30),
        (0.519, "mark", 499),
        (0.530, "reject", 510),
        (-3600.0, "reject", 3_599_980),
    ],
)
def test_a_clock_that_is_stepped(moved_s: float, verdict: str, least_ms: float) -> None:
    """A lab's hosts share a clock that nobody here may step, so this stands on recorded values."""
    guard = machine("clock", {"director": clock(moved_s), "web01": clock(0.001)})
    assert (guard.verdict, guard.value) == (verdict, pytest.approx(least_ms, abs=0.01))
    assert verdict == "ok" or "director" in guard.text
    assert ("stepped or slewed" in guard.text) == (verdict != "ok")


def test_a_host_too_busy_to_read_its_clocks_at_once_is_no_step() -> None:
    assert machine("clock", {"director": clock(0.080, bracket_s=0.2)}).verdict == "ok"


@pytest.mark.parametrize(("times", "verdict"), [(0, "ok"), (1, "mark")])
def test_thermal(times: int, verdict: str) -> None:
    before = (GOLDEN / "thermal/server.txt").read_text()
    after = before.replace(
        "cpu0/thermal_throttle/core_throttle_count:3", f"cpu0/thermal_throttle/core_throttle_count:{3 + times}"
    )
    guard = machine("thermal", {"director": around("thermal", before, after)})
    assert (guard.verdict, guard.value) == (verdict, times)
    assert "1.2 to 2.4 GHz" in guard.text


def test_a_machine_that_tells_nothing_of_heat() -> None:
    none = (GOLDEN / "thermal/none.txt").read_text()
    guard = machine("thermal", {"director": around("thermal", none, none)})
    assert (guard.verdict, guard.value) == ("ok", None)


@pytest.mark.parametrize(("timewait", "verdict"), [(0, "ok"), (700, "ok"), (701, "mark")])
def test_ports(timewait: int, verdict: str) -> None:
    text = (
        f"Total: 5\nTCP:   {timewait} (estab 0, closed {timewait}, orphaned 0, timewait {timewait})\n\n"
        "Transport Total     IP        IPv6\n"
        + "".join(f"{name}\t  0         0         0        \n" for name in ("RAW", "UDP", "TCP", "INET", "FRAG"))
        + "\n"
    )
    guard = network("ports", {"client02": {"ss_summary.after.txt": text.encode()}})
    assert (guard.verdict, guard.value) == (verdict, (100 + timewait) / 1000)
    assert "client02" in guard.text


def test_a_client_without_a_free_port_says_so() -> None:
    said = "apr_socket_connect(): Cannot assign requested address (99)"
    guard = network("ports", {}, [replace(CLIENT, said=said)])
    assert guard.verdict == "mark"


@pytest.mark.parametrize(("limit", "verdict"), [(134, "ok"), (133, "mark")])
def test_nofile(limit: int, verdict: str) -> None:
    assert network("nofile", {}, nofile={"client01": limit, "client02": 5000}).verdict == verdict
    assert network("nofile", {}, [replace(CLIENT, said="socket: Too many open files (24)")]).verdict == "mark"


@pytest.mark.parametrize(("drops", "verdict"), [(0, "ok"), (5, "ok"), (6, "mark"), (4995, "mark"), (4996, "reject")])
def test_listen_queues_of_web_hosts(drops: int, verdict: str) -> None:
    files = {"web01": nstat(PassiveOpens=2500), "web02": nstat(PassiveOpens=2495, ExtListenDrops=drops)}
    guard = network("listen-queue", files)
    assert guard.verdict == verdict
    assert guard.evidence[0] == ("web02" if drops else "web01") + "/nstat.after.txt TcpExtListenDrops"


@pytest.mark.parametrize(
    ("dropped", "verdict"), [(0, "ok"), (10, "ok"), (11, "mark"), (1000, "mark"), (1001, "reject")]
)
def test_packets_lost_at_a_host(dropped: int, verdict: str) -> None:
    guard = network("drops", {"client01": ip_link(100_000 - dropped, dropped), "web01": ip_link(100_000, 0)})
    assert guard.verdict == verdict
    assert guard.value == pytest.approx(dropped / 100_000 if dropped else 0)
    assert not dropped or guard.text.startswith(f"{dropped / 100_000:.2%} of the packets that came to client01")


@pytest.mark.parametrize(
    ("few", "lost", "verdict"), [(87_000, 1, "ok"), (80, 1, "ok"), (80, 4, "ok"), (80, 5, "reject")]
)
def test_a_few_lost_packets_are_no_share(few: int, lost: int, verdict: str) -> None:
    """One packet that one of two hosts lost once rejected a case of 87,000."""
    guard = network("drops", {"client01": ip_link(few - lost, lost), "web01": ip_link(87_000, 0)})
    assert guard.verdict == verdict
    assert guard.value == pytest.approx(lost / few if lost == 5 else lost / (87_000 + few), abs=1e-6)


def test_many_hosts_that_each_lost_few() -> None:
    files = {name: ip_link(1_000, 4) for name in ("client01", "client02", "web01", "web02")}
    guard = network("drops", files)
    assert (guard.verdict, guard.value) == ("mark", pytest.approx(16 / 4_016, abs=1e-6))
    assert "came to clients and web hosts" in guard.text


def test_packets_lost_in_a_card() -> None:
    before = "NIC statistics:\n     rx_missed_errors: 5\n     rx_packets: 7\n"
    card = around("ethtool_stats@eth0", before, before.replace("errors: 5", "errors: 155"))
    guard = network("drops", {"web01": {**ip_link(9_850, 100), **card}})
    assert (guard.verdict, guard.value) == ("reject", pytest.approx(0.015)), "ip_link counts the same losses again"


def test_counters_that_run_backwards() -> None:
    assert counter("backwards", {"web01": nstat(), "client01": ip_link(5, 5), "director": stat((9, 9))}).verdict == "ok"
    for files in (
        {"web01": nstat(PassiveOpens=-1)},
        {"client01": ip_link(-1, 0)},
        {"director": around("stat", stat_text((100, 0)), stat_text((99, 0)))},
    ):
        guard = counter("backwards", files)
        assert (guard.verdict, guard.value) == ("reject", 1)
        assert next(iter(files)) in guard.evidence[0]


def test_idle_time_may_run_backwards() -> None:
    files = {"director": around("stat", stat_text((100, 0), of=900), stat_text((110, 0), of=900))}
    assert counter("backwards", files).verdict == "ok"


def test_invariants() -> None:
    def conntrack(count: int) -> dict[str, bytes]:
        text = f"net.netfilter.nf_conntrack_count = {count}\nnet.netfilter.nf_conntrack_max = 100\n"
        return around("conntrack", text.replace(f"count = {count}", "count = 1"), text)

    assert counter("invariants", {"web01": nstat(ExtListenDrops=5, ExtListenOverflows=5)}).verdict == "ok"
    assert counter("invariants", {"director": conntrack(100)}).verdict == "ok"
    guard = counter("invariants", {"web01": nstat(ExtListenDrops=4, ExtListenOverflows=5), "director": conntrack(101)})
    assert (guard.verdict, guard.value) == ("mark", 2)
    assert "ListenDrops 4 < ListenOverflows 5" in guard.text
    assert "101 entries of conntrack, at most 100" in guard.text


def opened(asked: int, taken: int) -> Files:
    return {
        "client01": nstat(ActiveOpens=asked - 510),
        "client02": nstat(ActiveOpens=510),
        "web01": nstat(PassiveOpens=taken - 500),
        "web02": nstat(PassiveOpens=500),
    }


@pytest.mark.parametrize(
    ("asked", "taken", "verdict"),
    [
        (1020, 1020, "ok"),
        (1020, 1000, "ok"),  # as many as had a right answer
        (1020, 989, "ok"),
        (1020, 988, "mark"),
        (1020, 1031, "ok"),
        (1020, 1032, "mark"),
    ],
)
def test_connections(asked: int, taken: int, verdict: str) -> None:
    assert counter("connections", opened(asked, taken)).verdict == verdict


def test_connections_through_a_proxy_are_counted_hop_by_hop() -> None:
    files = opened(1020, 900)
    files["director"] = nstat(PassiveOpens=1020, ActiveOpens=900)
    assert counter("connections", files, kind="proxy").verdict == "ok", "it may keep connections to web hosts"
    files["director"] = nstat(PassiveOpens=1020, ActiveOpens=800)
    assert counter("connections", files, kind="proxy").verdict == "mark", "web hosts took more than it opened"


def test_kept_connections_are_fewer_than_answers() -> None:
    assert counter("connections", opened(600, 590), keepalive=True).verdict == "ok"


def test_a_web_host_that_was_not_asked() -> None:
    files = opened(1020, 1020)
    del files["web02"]
    assert counter("connections", files).value is None


def sockstat(*open_at: tuple[float, int]) -> dict[str, bytes]:
    def text(count: int) -> str:
        rest = "UDP: inuse 0 mem 0\nUDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n"
        return f"sockets: used 9\nTCP: inuse {count} orphan 0 tw 0 alloc 9 mem 1\n{rest}"

    return {"sockstat.during.txt": "".join(f"### {at:.9f}\n{text(count)}" for at, count in open_at).encode()}


@pytest.mark.parametrize(
    ("slow", "other", "verdict"),
    [(50, 50, "ok"), (75, 25, "ok"), (76, 24, "mark"), (15, 5, "ok"), (19, 1, "ok"), (19, 0, "ok"), (0, 0, "ok")],
)
def test_a_web_host_that_has_more_than_its_share_and_more_than_chance_gives(
    slow: int, other: int, verdict: str
) -> None:
    files = {"web01": sockstat((101.0, slow)), "web02": sockstat((101.0, other))}
    assert network("web-even", files).verdict == verdict


@pytest.mark.parametrize(("slow", "verdict"), [(30, "ok"), (50, "mark"), (500, "mark")])
def test_a_slow_web_host_holds_what_is_in_flight(slow: int, verdict: str) -> None:
    roles = {**ROLES, "web03": "web"}
    files = {
        "web01": sockstat((101.0, slow), (999.0, 0)),
        "web02": sockstat((101.0, 12)),
        "web03": sockstat((105.0, 12)),
    }
    found = Seen({name: files.get(name, {}) for name in roles}, roles, dict.fromkeys(roles, "lab"), frozenset({1}))
    guard = one("web-even", network_guards(found, "proxy", CLIENTS, WINDOW, ports={}, nofile={}))
    assert guard.verdict == verdict
    assert "web01" in guard.text
    names = [guard.name for guard in network_guards(found, "direct", CLIENTS, WINDOW, ports={}, nofile={})]
    assert "web-even" not in names
