"""The guards of LVS: settings that were dropped, connections counted, entries held; each at its limit and past it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from bmtlib.measure.guards.guard import Guard
from bmtlib.measure.guards.lvs import lvs_guards
from bmtlib.measure.outcome import ClientOutcome, Window
from bmtlib.params.arms import Arm, DirectArm, L2dsrArm, L3dsrArm, LvsTimeouts, NatArm, ProxyArm

SERVICE = "192.168.16.100:80"
WINDOW = Window(start_epoch_s=100.0, end_epoch_s=110.0, skew_ms=1.0, overlap=1.0)
VERSION = "IP Virtual Server version 1.2.1 (size=4096)\n"


def stats(service: int, *servers: int, name: str = SERVICE) -> str:
    """`ipvsadm -Ln --stats --exact` with connections; the other numbers do not matter here."""
    rows = "".join(f"  -> 172.16.0.{101 + i}:80 {count} 0 0 0 0\n" for i, count in enumerate(servers))
    heading = (
        "Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes\n  -> RemoteAddress:Port\n"
    )
    # Somebody else's service is not the case's.
    return f"{VERSION}{heading}TCP  {name} {service} 0 0 0 0\n{rows}TCP  10.9.9.9:80 7777 0 0 0 0\n"


def table(*servers: tuple[int, int]) -> str:
    """`ipvsadm -Ln` with active and inactive connections of each server."""
    rows = "".join(f"  -> 172.16.0.{101 + i}:80 Route 1 {open_} {shut}\n" for i, (open_, shut) in enumerate(servers))
    heading = "Prot LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n"
    return f"{VERSION}{heading}TCP  {SERVICE} rr\n{rows}"


def percpu(*cpus: int) -> str:
    rows = "".join(
        f"{cpu:3X} {count:8X}        0        0                0                0\n" for cpu, count in enumerate(cpus)
    )
    zeros = "        0        0                0                0\n"
    return (
        "       Total Incoming Outgoing         Incoming         Outgoing\n"
        "CPU    Conns  Packets  Packets            Bytes            Bytes\n"
        f"{rows}  ~        0{zeros}\n"
        "     Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n"
        f"           0{zeros}"
    )


def nstat(opened: int, again: int) -> bytes:
    return f'{{"kernel":{{"TcpActiveOpens":{opened},"TcpRetransSegs":{again}}}}}\n'.encode()


def client(number: int, opened: int | None = 5000) -> ClientOutcome:
    return ClientOutcome(
        host=f"client{number:02}",
        url="",
        concurrency=50,
        status="done",
        rc=0,
        start_epoch_s=100.0,
        seconds=10.0,
        completed=4990,
        failed=0,
        opened=opened,
        document_bytes=5120,
        said="",
    )


def files(again: int = 0, **changed: str) -> dict[str, Mapping[str, bytes]]:
    """Two clients with 5,000 connections each, and a director that counted 10,000. `changed`: texts by name."""
    texts = {
        "ipvsadm_stats.before.txt": stats(100, 60, 40),
        "ipvsadm_stats.after.txt": stats(10_100, 5_060, 5_040),
        "ip_vs_percpu.before.txt": percpu(500, 20),
        "ip_vs_percpu.after.txt": percpu(10_500, 20),
        "ipvsadm.before.txt": table((0, 60), (0, 40)),
        "ipvsadm.after.txt": table((1, 5_059), (0, 5_040)),
        "ipvsadm_timeouts.before.txt": "Timeout (tcp tcpfin udp): 900 120 300\n",
    } | {name.replace("__", "."): text for name, text in changed.items()}
    own = {"nstat.before.txt": nstat(9, 3), "nstat.after.txt": nstat(5_009, 3 + again)}
    silent = {"nstat.before.txt": nstat(9, 3), "nstat.after.txt": nstat(5_009, 3)}
    return {"director": {name: text.encode() for name, text in texts.items()}, "client01": own, "client02": silent}


def judge(arm: Arm, engine: str = "ipvs", seen: Any = None, clients: Any = None) -> dict[str, Guard]:
    found = lvs_guards(
        arm,
        engine,
        files() if seen is None else seen,
        director="director",
        service=SERVICE,
        clients=[client(1), client(2)] if clients is None else clients,
        window=WINDOW,
    )
    return {guard.name: guard for guard in found}


def test_other_arms_have_none() -> None:
    assert judge(DirectArm(), "none") == judge(ProxyArm(), "haproxy") == {}


def test_all_is_well() -> None:
    found = judge(L2dsrArm())
    assert [(guard.name, guard.verdict) for guard in found.values()] == [
        ("engine", "ok"),
        ("ipvs-count", "ok"),
        ("ipvs-thresholds", "ok"),
    ]
    assert found["engine"].text == "LVS with scheduler rr and its other settings as they are"
    assert found["ipvs-count"].text == (
        "LVS counted 10,000 connections, its servers 10,000, its CPUs 10,000, the clients opened 10,000, of which "
        "9,980 ended; 0 out of that range, 10 may be (0 segments were sent again, and 0.1%)"
    )
    assert found["ipvs-thresholds"].text == (
        "the table held 10,100 entries at the end (100 when the load began) in 4,096 buckets (conn_tab_bits 12): 2.5 "
        "each; 1,000 connections/s over 2 web hosts, each counted for 120 s after its end, are 60,000 entries each in "
        "the long run; there is no threshold"
    )


@pytest.mark.parametrize(
    ("arm", "dropped"),
    [
        (L2dsrArm(), ""),
        (L2dsrArm(scheduler="wlc"), "scheduler wlc"),
        (
            L2dsrArm(
                scheduler="wrr", weights=(1, 2), upper_threshold=9, timeouts=LvsTimeouts(tcp_fin=5), conntrack=False
            ),
            "scheduler wrr, weights 1 2, upper_threshold 9, timeouts tcp_fin 5 s, conntrack false",
        ),
    ],
)
def test_what_nft_does_not_have_is_told(arm: L2dsrArm, dropped: str) -> None:
    found = judge(arm, "nft")
    assert list(found) == ["engine"]
    assert found["engine"].verdict == ("mark" if dropped else "ok")
    assert found["engine"].text.endswith(f"; it has no {dropped}" if dropped else "keeps no connections")
    words = judge(arm)["engine"]
    assert words.verdict == "ok"
    assert dropped in words.text


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        (stats(10_110, 5_070, 5_040), "ok"),
        (stats(10_111, 5_071, 5_040), "mark"),
        (stats(10_090, 5_050, 5_040), "ok"),
        (stats(10_089, 5_049, 5_040), "mark"),
        (stats(10_100, 5_060, 5_029), "mark"),
        (stats(10_100, 5_060, 5_040, name="192.168.16.100:81"), "mark"),
    ],
)
def test_connections_that_are_missing_or_too_many(after: str, verdict: str) -> None:
    """One in a thousand may differ; the servers must agree as well."""
    assert judge(L3dsrArm(), seen=files(ipvsadm_stats__after__txt=after))["ipvs-count"].verdict == verdict


def test_the_cpus_count_must_agree() -> None:
    found = judge(NatArm(), seen=files(ip_vs_percpu__after__txt=percpu(10_000, 0)))["ipvs-count"]
    assert (found.verdict, found.value, found.limit) == ("mark", 520, 10)


def test_segments_sent_again_may_make_a_difference() -> None:
    after = {"ipvsadm_stats__after__txt": stats(10_130, 5_090, 5_040)}
    assert judge(L2dsrArm(), seen=files(again=19, **after))["ipvs-count"].verdict == "mark"
    found = judge(L2dsrArm(), seen=files(again=20, **after))["ipvs-count"]
    assert (found.verdict, found.value, found.limit) == ("ok", 30, 30)


def test_clients_that_were_not_counted() -> None:
    found = judge(L2dsrArm(), clients=[client(1), client(2, None)])["ipvs-count"]
    assert (found.verdict, found.value) == ("ok", None)
    assert "a client lacks the probe nstat" in found.text


def test_probes_that_the_scenario_leaves_out() -> None:
    seen = files()
    del seen["director"]["ipvsadm_stats.before.txt"], seen["director"]["ipvsadm.after.txt"]  # type: ignore[attr-defined]
    found = judge(L2dsrArm(), seen=seen)
    assert found["ipvs-count"].text == "not known: there is no ipvsadm_stats.before.txt"
    assert found["ipvs-thresholds"].text == "not known: there is no ipvsadm.after.txt"
    assert {guard.verdict for guard in found.values()} == {"ok"}


def test_what_is_not_understood_is_marked() -> None:
    found = judge(L2dsrArm(), seen=files(ipvsadm_stats__after__txt="10238K\n", ipvsadm__after__txt="x\n"))
    assert found["ipvs-count"].verdict == found["ipvs-thresholds"].verdict == "mark"


@pytest.mark.parametrize(("upper", "verdict"), [(5_061, "ok"), (5_060, "mark"), (5_000, "mark")])
def test_thresholds_that_were_reached(upper: int, verdict: str) -> None:
    found = judge(L2dsrArm(upper_threshold=upper))["ipvs-thresholds"]
    assert (found.verdict, found.value, found.limit) == (verdict, 5_060, upper)
    said = "was reached by 172.16.0.101:80" if verdict == "mark" else "was not reached"
    assert said in found.text


def test_the_time_that_a_closed_connection_counts() -> None:
    short = files(ipvsadm_timeouts__before__txt="Timeout (tcp tcpfin udp): 900 10 300\n")
    assert "for 10 s after its end, are 5,000 entries each" in judge(L2dsrArm(), seen=short)["ipvs-thresholds"].text
    assert "for 120 s after its end, are 60,000" in judge(NatArm(), seen=short)["ipvs-thresholds"].text
