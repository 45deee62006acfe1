"""The table of probes: complete, well named, and the right ones for each host at each moment."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bmtlib.errors import InputError
from bmtlib.hosts.host import WORK
from bmtlib.measure.probe_choice import check_names, select
from bmtlib.measure.probes import ALL, BY_NAME, LVS_SETTLED, PROBES, Probe, probe_of
from bmtlib.params.scenario import ProxyArm
from bmtlib.setup.haproxy import haproxy_changes

GOLDEN = Path(__file__).parents[1] / "golden"


LVS = {"ipvsadm", "ipvsadm_stats", "ipvsadm_rate", "ipvsadm_conns", "ipvsadm_timeouts", "ip_vs_percpu"}


def chosen(*when: str, **options: Any) -> list[str]:
    base: dict[str, Any] = {"role": "director", "interfaces": ["eth0", "eth1"], "engine": None, "names": "all"}
    found = select(when, shared_machine=options.pop("shared_machine", True), **(base | options))  # type: ignore[arg-type]
    assert len({probe.name for probe in found}) == len(found), "each makes files of its own"
    return [probe.name for probe in found]


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_a_row_of_the_table(probe: Probe) -> None:
    assert probe.name.isidentifier(), "a part of a file's name before the first dot and the first @"
    assert probe.command
    assert all(isinstance(word, str) and word for word in probe.command)
    assert probe.roles
    assert set(probe.roles) <= set(ALL)
    assert set(probe.engines or ()) <= {"haproxy", "ipvs", "nft"}
    assert not (probe.engines and "director" not in probe.roles)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_a_parser_reads_what_the_probe_prints(probe: Probe) -> None:
    texts = sorted((GOLDEN / probe.name).glob("*.txt"))
    assert texts, f"tests/golden/{probe.name} is empty"
    assert inspect.getmodule(probe.parse).__name__.startswith("bmtlib.parsers.")  # type: ignore[union-attr]
    for path in texts:
        probe.parse(path.read_text())


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(PROBES)
    assert all(BY_NAME[probe.name] is probe for probe in PROBES)


def test_what_is_sampled_is_cheap() -> None:
    """Each second on the director, from a shell: nothing per interface, nothing that needs HAProxy to answer."""
    for probe in PROBES:
        if probe.when == "during":
            assert not probe.per_interface
            assert probe.engines is None


def test_the_socket_that_is_asked_is_haproxys() -> None:
    changes = haproxy_changes(
        *("director", ProxyArm()),
        servers={"web01": "172.16.0.101"},
        vip="192.168.16.100",
        port=80,
        cpus=frozenset({1}),
        maxconn=100,
        nofile=1000,
        work=WORK,
        config_before=None,
    )
    socket = BY_NAME["haproxy_info"].command[-1].rpartition("UNIX-CONNECT:")[2]
    assert f"stats socket {socket} mode" in changes[0].do.stdin


def test_a_web_host_of_a_lab_is_not_asked_for_the_machine() -> None:
    found = chosen("around", "during", role="web", interfaces=["eth0", "eth0"])
    common = ["ss_summary", "ss_listen", "nstat", "processes", "qdisc", "ip_link", "ethtool_stats@eth0", "conntrack"]
    assert found == common
    own = chosen("around", "during", role="web", interfaces=["eth0"], shared_machine=False)
    assert set(own) - set(found) == {"softnet", "interrupts", "softirqs", "stat", "clock", "thermal"}


def test_a_client() -> None:
    found = chosen("around", "during", role="client", interfaces=["eth0"])
    assert found == ["ss_summary", "nstat", "ip_link", "ethtool_stats@eth0"]


def test_a_client_that_is_read_from_outside() -> None:
    """What a lab's kernel says of it, in place of what programs there would: the same names choose it."""
    found = chosen("around", "during", role="client", interfaces=["eth0"], from_outside=True)
    assert found == ["sockstat", "snmp", "netdev"]
    assert chosen("around", role="client", names=["nstat", "stat"], from_outside=True) == ["snmp"]
    assert chosen("around", role="client", names=["netdev"], from_outside=True) == ["netdev"]
    assert BY_NAME["snmp"].files == ("snmp", "netstat", "snmp6")
    for probe in PROBES:
        if probe.instead_of:
            assert probe.command[0] == "cat"
            assert probe.when == BY_NAME[probe.instead_of].when


@pytest.mark.parametrize(
    ("engine", "own"),
    [
        ("haproxy", {"haproxy_info", "haproxy_stat"}),
        ("ipvs", LVS),
        ("nft", {"nft_counters"}),
        ("none", set()),
        (None, set()),
    ],
)
def test_engines_have_probes_of_their_own(engine: str | None, own: set[str]) -> None:
    common = set(chosen("around", "during", engine="none"))
    assert set(chosen("around", "during", engine=engine)) == common | own
    assert not own & set(chosen("around", "during", engine=engine, role="web"))


def test_a_run_with_several_engines() -> None:
    common = set(chosen("once"))
    assert set(chosen("once", engine={"none", "haproxy", "ipvs"})) == common | {"ip_vs_modules"}
    assert set(chosen("around", engine={"nft", "ipvs"})) == set(chosen("around")) | LVS | {"nft_counters"}


def lvs_settled(tmp_path: Path, percpu: str, stats: str) -> float:
    """Seconds that LVS_SETTLED waits when the kernel shows these, at the most the deadline."""
    (tmp_path / "percpu").write_text(percpu)
    (tmp_path / "stats").write_text(stats)
    (tmp_path / "ipvsadm").write_text(f"#!/bin/sh\ncat {tmp_path}/stats\n")
    (tmp_path / "ipvsadm").chmod(0o755)
    script = LVS_SETTLED.replace("/proc/net/ip_vs_stats_percpu", f"{tmp_path}/percpu").replace("left=25", "left=3")
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", f"{script}echo $left"], capture_output=True, text=True, check=True, env=env)
    assert done.stderr == ""
    return 3 - int(done.stdout)


def test_lvs_counts_are_read_once_they_are_summed_up(tmp_path: Path) -> None:
    percpu = (GOLDEN / "ip_vs_percpu" / "after.txt").read_text()
    stats = (GOLDEN / "ipvsadm_stats" / "after.txt").read_text()
    assert lvs_settled(tmp_path, percpu, stats) == 0
    late = re.sub(r"^( +~ +)[0-9A-F]+", r"\g<1>1", percpu, flags=re.MULTILINE)
    assert lvs_settled(tmp_path, late, stats) == 3, "the sum is not that of the CPUs"
    uneven = re.sub(r"^(TCP +\S+ +)\d+", r"\g<1>1", stats, flags=re.MULTILINE)
    assert lvs_settled(tmp_path, percpu, uneven) == 3, "the service's count is not that of its servers"


def test_moments() -> None:
    during = ["ss_summary", "ss_listen", "softnet", "interrupts", "softirqs", "stat"]
    assert chosen("during") == during
    assert chosen("during", role="client") == ["ss_summary"]
    once = chosen("once")
    assert {"lscpu", "sysctl", "ethtool_ring@eth0", "ethtool_ring@eth1"} <= set(once)
    assert not set(once) & set(chosen("around", "during"))
    assert "lscpu" not in chosen("once", role="web")


def test_per_interface() -> None:
    found = select(
        ["around"],
        role="director",
        interfaces=["eth1", "eth0", "eth1"],
        engine=None,
        names=["ethtool_stats"],
        shared_machine=True,
    )
    assert [(probe.name, probe.command) for probe in found] == [
        ("ethtool_stats@eth0", ("ethtool", "-S", "eth0")),
        ("ethtool_stats@eth1", ("ethtool", "-S", "eth1")),
    ]


@pytest.mark.parametrize("names", ["all", [], ["stat", "nstat"], tuple(BY_NAME)])
def test_names_that_there_are(names: Any) -> None:
    check_names(names)


def test_names_that_there_are_not() -> None:
    with pytest.raises(InputError, match="'nstatt', 'x'; did you mean 'nstat'") as caught:
        check_names(["stat", "nstatt", "x"])
    assert caught.value.where == "probes"


def test_the_scenarios_choice() -> None:
    assert chosen("around", "during", names=["stat", "nstat"]) == ["nstat", "stat"]
    assert chosen("around", "during", names=[]) == []
    assert chosen("around", "during", names=["haproxy_info"], engine="nft") == []


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("stat.before.txt", "stat"),
        ("ss_summary.during.txt", "ss_summary"),
        ("ethtool_stats@eth0.100.after.txt", "ethtool_stats"),
        ("nstat.after.err", "nstat"),
        ("lscpu.once.txt", "lscpu"),
        ("ab.txt", None),
        ("ab.tsv.gz", None),
        ("during.err", None),
        ("", None),
        ("statx.before.txt", None),
    ],
)
def test_which_probe_made_a_file(file: str, name: str | None) -> None:
    found = probe_of(file)
    assert (found.name if found else None) == name


def test_every_file_of_every_probe_is_known_by_its_name() -> None:
    for engine in ("haproxy", "ipvs", "nft"):
        for name in chosen("once", "around", "during", engine=engine, shared_machine=False):
            found = probe_of(f"{name}.before.txt")
            assert found is not None
            assert found.name == name.split("@")[0]
