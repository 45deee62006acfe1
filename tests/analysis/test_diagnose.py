"""Who was the bottleneck: each rule at its limit and just below, on tables of one case; and which one is named."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pandas as pd
import pytest

from bmtlib.analysis import rules_cpu, rules_queues
from bmtlib.analysis.diagnose import RULES, df_bottleneck, df_limit_by_arm
from bmtlib.analysis.finding import LIMITS, Finding
from bmtlib.analysis.schema import COLUMNS, frame
from bmtlib.analysis.tables import Tables

HOSTS = {"director": "director", "web01": "web", "web02": "web", "client01": "client", "client02": "client"}
WINDOW_S = 10.0


def made(kind: str = "proxy", *, lab: bool = True, case: dict[str, Any] | None = None, **frames: Any) -> Tables:
    """One case with these rows. In a lab all hosts are on one machine, else each on its own."""
    hosts = [{"name": name, "role": role, "machine": "lab" if lab else name} for name, role in HOSTS.items()]
    about = {"hosts": hosts, "placement": {"separate": True, "rps": True}, "fidelity": "namespace"}
    row = {"case": "c", "arm": kind, "kind": kind, "engine": "none", "block": 1, "index": 0, "status": "done"}
    row |= {"window_s": WINDOW_S, "completed": 1000, "concurrency": 20, **(case or {})}
    rows: dict[str, Any] = {"cases": [row], **frames}
    given = dict.fromkeys((field.name for field in fields(Tables)), None)  # what rules do not read
    given |= {"run": about, "factors": (), "arms": (kind,), "claims": (), "levers": (), "cpus_needed": 1}
    named = {
        field.name: frame(field.name, [{"case": "c", **row} for row in rows.get(field.name, [])])
        for field in fields(Tables)
        if field.name in COLUMNS
    }
    return Tables(**{**given, **named})  # type: ignore[arg-type]


def cpu(
    role: str, number: int, host: str = "director", *, steal: float = 0.0, **seconds: float
) -> list[dict[str, Any]]:
    """Seconds of a CPU by kind; what is left of the window it idled."""
    spent = {**seconds, "steal": steal}
    spent["idle"] = WINDOW_S - sum(spent.values())
    return [
        {"host": host, "cpu": number, "role": role, "cpu_kind": kind, "cpu_s": value} for kind, value in spent.items()
    ]


def spent(**seconds: float) -> list[dict[str, Any]]:
    """CPU seconds of processes by role."""
    names = {"client": "client01", "web": "web01", "director": "director"}
    programs = {"client": "load", "web": "nginx", "director": "haproxy"}
    return [
        {"host": names[role], "role": role, "process": programs[role], "cpu_s": value}
        for role, value in seconds.items()
    ]


def named(found: Tables) -> tuple[str, str | None]:
    (row,) = df_bottleneck(found).to_dict("records")
    assert row["evidence"]
    assert row["words"] == LIMITS[row["limit"]]
    return row["limit"], None if pd.isna(row["runner_up"]) else row["runner_up"]


def pressures(rule: Any, found: Tables) -> dict[str, float]:
    findings: list[Finding] = list(rule(found))
    assert all(finding.limit in LIMITS and finding.evidence for finding in findings)
    return {finding.limit: finding.pressure for finding in findings}


@pytest.mark.parametrize(
    ("user", "softirq", "limit"),
    [(5.0, 4.0, "director-cpu"), (4.0, 5.0, "director-softirq"), (5.0, 3.9, "low-load"), (0.5, 0.5, "low-load")],
)
def test_the_directors_only_cpu(user: float, softirq: float, limit: str) -> None:
    found = made(cpu=[*cpu("director", 1, user=user, softirq=softirq), *cpu("other", 0, user=2.0)])
    assert named(found)[0] == limit


def test_stolen_time_is_busy_time() -> None:
    assert named(made(cpu=cpu("director", 1, user=4.0, softirq=1.0, steal=4.1)))[0] == "director-cpu"


def test_nobody_asks_the_director_of_the_arm_direct() -> None:
    assert not list(rules_cpu.director_cpu(made("direct", cpu=cpu("director", 1, user=9.9))))


@pytest.mark.parametrize(
    ("kinds", "others", "limit"),
    [
        ({"user": 9.5}, 1.0, "director-one-cpu"),
        ({"softirq": 9.5}, 1.0, "director-queue"),
        ({"user": 9.5}, 9.5, "director-cpu"),
        ({"softirq": 9.5}, 6.0, "director-softirq"),
    ],
)
def test_one_of_the_directors_cpus(kinds: dict[str, float], others: float, limit: str) -> None:
    rows = [*cpu("director", 1, **kinds), *(row for n in (2, 3, 4) for row in cpu("director", n, user=others))]
    packets = [
        {"host": "director", "cpu": n, "role": "director", "processed": 970 if n == 1 else 10} for n in (1, 2, 3, 4)
    ]
    zeros = dict.fromkeys(("dropped", "squeezed", "received_rps", "flow_limit"), 0)
    found = made(cpu=rows, softnet=[{**row, **zeros} for row in packets])
    assert named(found)[0] == limit
    (row,) = df_bottleneck(found).to_dict("records")
    assert ("97 % of the packets" in row["evidence"]) == (limit == "director-queue")


@pytest.mark.parametrize(
    ("client", "web", "limit"),
    [(4.0, 2.0, "client-cpu"), (3.9, 2.0, "client-web-cpu"), (2.0, 3.9, "client-web-cpu"), (2.0, 4.1, "web-cpu")],
)
def test_cpus_that_clients_and_web_hosts_share(client: float, web: float, limit: str) -> None:
    full = cpu("other", 0, user=6.0, softirq=3.5)
    assert named(made(cpu=full, process_cpu=spent(client=client, web=web)))[0] == limit


def test_shared_cpus_without_processes_are_named_as_shared() -> None:
    assert named(made(cpu=cpu("other", 0, user=9.5)))[0] == "client-web-cpu"
    assert named(made(cpu=cpu("other", 0, user=9.5), process_cpu=spent(client=4.0)))[0] == "client-web-cpu"


def test_one_cpu_for_everybody() -> None:
    found = made(cpu=cpu("other", 0, user=9.5))
    found.run["placement"]["separate"] = False
    assert named(found)[0] == "all-cpu"


def test_work_of_others_is_not_the_tests() -> None:
    """6 s of 9.5 are nobody's: the test itself had a third of the CPU, and that is not full."""
    found = made(cpu=cpu("other", 0, user=9.5), process_cpu=spent(client=2.5, web=1.0))
    assert named(found) == ("foreign-work", "client-cpu")
    director = made(cpu=cpu("director", 1, user=9.0, softirq=0.5), process_cpu=spent(director=3.0))
    assert named(director) == ("foreign-work", "director-cpu")
    assert (
        named(made(cpu=cpu("director", 1, user=9.0, softirq=0.5), process_cpu=spent(director=8.9)))[0] == "director-cpu"
    )


def test_who_can_be_named_beside_the_work_of_others_is() -> None:
    full = made(
        cpu=cpu("other", 0, user=9.5),
        process_cpu=spent(client=2.5, web=1.0),
        conntrack=[
            {"host": "director", "role": "director", "entries_before": 0, "entries_after": 99, "entries_max": 100}
        ],
    )
    assert named(full) == ("conntrack", "foreign-work")


def test_hosts_of_their_own() -> None:
    idle = cpu("director", 0, user=1.0)
    clients = [*cpu("other", 0, "client01", user=9.5), *cpu("other", 0, "client02", user=2.0)]
    webs = [*cpu("other", 0, "web01", user=9.1), *cpu("other", 0, "web02", user=2.0)]
    assert named(made(lab=False, cpu=[*idle, *webs])) == ("web-cpu", "director-cpu"), "who waits for it, waits for all"
    assert named(made(lab=False, cpu=[*idle, *clients]))[0] == "low-load", "one busy client of two is not all of them"


@pytest.mark.parametrize(("seconds", "limit"), [(9.0, "client-cpu"), (8.9, "low-load")])
def test_load_generators_that_fill_a_cpu_each(seconds: float, limit: str) -> None:
    assert named(made(process_cpu=spent(client=seconds)))[0] == limit


def test_samples_within_the_load_go_before_the_whole() -> None:
    """Around the load the CPU idled; within it, it was full."""
    samples = [{**row, "time_s": 9.0, "span_s": 8.0} for row in cpu("director", 1, user=10.0)]
    found = made(cpu=cpu("director", 1, user=5.0), cpu_time=samples)
    assert named(found)[0] == "director-cpu"


@pytest.mark.parametrize(("entries", "limit"), [(95, "conntrack"), (94, "low-load")])
def test_connection_table(entries: int, limit: str) -> None:
    row = {"host": "director", "role": "director", "entries_before": 0, "entries_after": entries, "entries_max": 100}
    assert named(made(conntrack=[row]))[0] == limit


def held(role: str, timewait: int, ports: int | None = 1000) -> list[dict[str, Any]]:
    host = {"client": "client01", "director": "director"}[role]
    return [{"host": host, "role": role, "timewait": timewait, "local_ports": ports}]


def test_ports() -> None:
    clients = [{"host": "client01", "url": "u", "status": "done", "concurrency": 100}]
    assert named(made(ports=held("client", 850), clients=clients))[0] == "ports"
    assert named(made(ports=held("client", 840), clients=clients))[0] == "low-load"
    assert named(made(ports=held("client", 850, None), clients=clients))[0] == "unknown"
    assert named(made(ports=held("director", 1900)))[0] == "ports", "over two web hosts, which have ports of their own"
    assert named(made("l2dsr", ports=held("director", 1900)))[0] == "unknown", "LVS opens none"
    said = "client01 (exit code 99): apr_socket_connect(): Cannot assign requested address (99)"
    assert named(made(case={"status": "failed", "error": said, "window_s": None}))[0] == "ports"


def link(rx_mbit: float, speed: int | None) -> list[dict[str, Any]]:
    zeros = dict.fromkeys(name for name in COLUMNS["network"] if name.startswith(("rx_", "tx_")))
    row = {**dict.fromkeys(zeros, 0), "host": "client01", "role": "client", "interface": "eth0"}
    return [{**row, "rx_bytes": int(rx_mbit * 1e6 / 8 * WINDOW_S), "speed_mbit_per_s": speed}]


@pytest.mark.parametrize(
    ("rate", "speed", "limit"), [(900, 1000, "link"), (899, 1000, "low-load"), (99999, None, "unknown")]
)
def test_a_card_at_its_speed(rate: float, speed: int | None, limit: str) -> None:
    assert named(made(network=link(rate, speed)))[0] == limit


@pytest.mark.parametrize(("bytes_", "limit"), [(900, "link"), (899, "low-load")])
def test_a_shaper(bytes_: int, limit: str) -> None:
    row = {"host": "director", "role": "director", "interface": "eth0", "qdisc": "tbf", "bytes": bytes_, "drops": 3}
    assert named(made(qdisc=[{**row, "overlimits": 9, "rate_bytes_per_s": 100}]))[0] == limit
    plain = {**row, "qdisc": "fq_codel", "overlimits": 0, "rate_bytes_per_s": None}
    assert named(made(qdisc=[plain]))[0] == "unknown"


def haproxy(sessions: int, *, rate: int | None = None, peak: int = 0) -> list[dict[str, Any]]:
    row = {"maxconn": 100, "sessions_max": sessions, "sessions_limit": 120, "sessions_per_s_max": peak}
    return [{**row, "rate_limit_per_s": rate}]


def counter(role: str, name: str, count: int) -> dict[str, Any]:
    host = {"web": "web01", "director": "director"}[role]
    return {"host": host, "role": role, "source": "nstat", "counter": name, "count": count}


def test_haproxys_own_limits() -> None:
    assert named(made(haproxy=haproxy(98)))[0] == "maxconn"
    assert named(made(haproxy=haproxy(97)))[0] == "low-load"
    taken = [counter("director", "TcpPassiveOpens", 2000)]  # 200 per second
    assert named(made(haproxy=haproxy(9, rate=210, peak=210), counters=taken))[0] == "rate-limit"
    assert named(made(haproxy=haproxy(9, rate=300, peak=300), counters=taken))[0] == "low-load", "a peak alone is none"


@pytest.mark.parametrize(
    ("role", "counter_name", "limit"),
    [
        ("director", "TcpExtListenOverflows", "accept-queue"),
        ("web", "TcpExtListenOverflows", "accept-queue"),
        ("web", "TcpExtTCPReqQFullDrop", "syn-queue"),
    ],
)
def test_listen_queues(role: str, counter_name: str, limit: str) -> None:
    asked = [{"role": role, "source": "nstat", "hosts": 1}]
    for lost, name in ((10, limit), (9, "low-load")):
        counters = [counter(role, "TcpPassiveOpens", 9990), counter(role, counter_name, lost)]
        assert named(made(counters=counters, probed=asked))[0] == name
    assert named(made(counters=counters))[0] == "unknown", "where nobody asked, no row is not zero"


@pytest.mark.parametrize(("dropped", "limit"), [(10, "director-queue"), (9, "low-load")])
def test_packets_that_the_director_lost(dropped: int, limit: str) -> None:
    (row,) = link(0, None)
    row |= {"host": "director", "role": "director", "rx_packets": 10_000 - dropped, "rx_dropped": dropped}
    assert named(made(network=[row]))[0] == limit
    assert named(made("direct", network=[row]))[0] == "unknown"


def test_a_backlog_of_the_machine_may_be_of_others() -> None:
    """In a lab softnet_stat is of all hosts, and of whoever else uses the machine."""
    zeros = dict.fromkeys(("squeezed", "received_rps", "flow_limit"), 0)
    row = {"host": "director", "cpu": 1, "role": "director", "processed": 90, "dropped": 10, **zeros}
    assert named(made(softnet=[row]))[0] == "unknown"


def test_a_full_cpu_is_why_its_queue_is_full() -> None:
    asked = [{"role": "director", "source": "nstat", "hosts": 1}]
    counters = [counter("director", "TcpPassiveOpens", 500), counter("director", "TcpExtListenOverflows", 500)]
    found = made(cpu=cpu("director", 1, user=9.5), counters=counters, probed=asked, haproxy=haproxy(100))
    assert named(found) == ("director-cpu", "maxconn")


def test_the_fuller_of_two_full_cpus() -> None:
    rows = [*cpu("director", 1, user=9.2), *cpu("other", 0, user=9.8)]
    assert named(made(cpu=rows)) == ("client-web-cpu", "director-cpu")


def test_nothing_at_its_limit_says_what_is_nearest() -> None:
    found = made(cpu=[*cpu("director", 1, user=4.5), *cpu("other", 0, user=1.0)])
    (row,) = df_bottleneck(found).to_dict("records")
    assert (row["limit"], row["runner_up"]) == ("low-load", "director-cpu")
    assert "the director's CPUs, with programs" in row["evidence"]
    assert row["pressure"] == pytest.approx(0.5)


def test_cases_that_were_not_measured_have_no_row() -> None:
    assert df_bottleneck(made(case={"status": "not run"})).empty
    assert df_limit_by_arm(made(case={"status": "not run"})).empty


def test_every_rule_is_asked_once_and_every_limit_can_be_named() -> None:
    rules = [rule for group in RULES for rule in group]
    assert len(set(rules)) == len(rules)
    code = {name for module in (rules_cpu, rules_queues) for name in vars(module)}
    assert {rule.__name__ for rule in rules} <= code


def test_a_real_run(tables: Tables) -> None:
    """In the small runs of these tests the CPU of clients and web hosts is half busy, the director's a quarter."""
    table = df_bottleneck(tables)
    assert list(table["case"]) == list(tables.cases["case"])
    assert set(table["limit"]) == {"low-load"}
    by_arm = df_limit_by_arm(tables)
    assert list(by_arm["arm"]) == ["direct", "proxy", "l2dsr"]
    assert (by_arm["cases"] == 3).all()


def test_runs_that_went_wrong(wrong: dict[str, Tables]) -> None:
    for found in wrong.values():
        assert set(df_bottleneck(found)["limit"]) <= set(LIMITS)
        df_limit_by_arm(found)
