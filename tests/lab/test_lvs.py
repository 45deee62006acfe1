"""The arms that LVS drives, in a lab: web hosts' changes on any kernel; LVS itself where the director has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bmtlib.errors import MachineError
from bmtlib.hosts.host import Host
from bmtlib.measure.arms import check_web_kernels
from bmtlib.measure.session import Session
from bmtlib.params.arms import L3dsrArm
from bmtlib.run import load, measure, start
from bmtlib.rundir import RunDir
from bmtlib.setup.lvs import nat_web_changes, tunnel_web_changes

pytestmark = pytest.mark.lab


def way_back(web: Host, client: str) -> str:
    return web.run(["ip", "route", "get", client, "from", "192.168.16.100"]).stdout


def everything(web: Host) -> str:
    return web.run(["sh", "-c", "ip route show table all; ip -o address; sysctl -a -r '^net.ipv4' 2>/dev/null"]).stdout


def test_a_web_host_of_nat_answers_by_way_of_the_director(session: Session) -> None:
    web, client = session.lab.role("web")[0], session.lab.role("client")[0].addresses["front"]
    before = everything(web)
    assert " via " not in way_back(web, client)
    changes = nat_web_changes(web.name, front="192.168.16.0/24", gateway="172.16.0.1", interface="eth0")
    web.apply(changes)
    try:
        assert f"{client} from 192.168.16.100 via 172.16.0.1 dev eth0" in way_back(web, client)
        assert " via " not in way_back(web, "172.16.0.102"), "other web hosts are reached as ever"
    finally:
        web.undo(changes)
    assert everything(web) == before


def test_a_web_host_of_l3dsr_has_a_tunnel_or_says_why_not(session: Session) -> None:
    web = session.lab.role("web")[0]
    try:
        check_web_kernels([L3dsrArm()], [web])
    except MachineError as error:
        pytest.skip(error.what)
    before = everything(web)
    changes = tunnel_web_changes(web.name, address=web.addresses["back"], vip="192.168.16.100")
    web.apply(changes)
    web.undo(changes)
    assert everything(web) == before


ARMS = """\
title: LVS
question: Does it forward?
arms:
  l2dsr: {engine: ipvs, scheduler: wrr, weights: [1, 3], conn_reuse_mode: 3}
  nat: {scheduler: lc, upper_threshold: 60000, timeouts: {tcp_fin: 20}, conntrack: true}
webs: 2
clients: 2
load: {concurrency: 20, seconds: 2, warmup_seconds: 1}
repetitions: 1
order: listed
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    folder = tmp_path_factory.mktemp("lvs")
    (folder / "lvs.yml").write_text(ARMS)
    found = start(load(str(folder / "lvs.yml"), "vm", []), Path(folder / "runs"))
    measure(found)
    return found


def guards(run: RunDir, arm: str) -> dict[str, Any]:
    case = run.case(f"b1-{arm}")
    assert case["status"] == "done", (case["error"], case["guards"])
    return {guard["name"]: guard for guard in case["guards"]}


@pytest.mark.vm
def test_every_connection_is_counted(run: RunDir) -> None:
    for arm in ("l2dsr", "nat"):
        count = guards(run, arm)["ipvs-count"]
        assert count["verdict"] == "ok", count
        assert count["value"] is not None


@pytest.mark.vm
def test_a_case_begins_with_the_entries_of_its_own_warm_up(run: RunDir) -> None:
    """Those of the arm before are gone: its client ports would lead their owners astray."""
    for arm in ("l2dsr", "nat"):
        table = guards(run, arm)["ipvs-thresholds"]
        assert table["verdict"] == "ok"
        before = (run.raw(f"b1-{arm}", "director", "ipvsadm_stats.before.txt") or "").split("TCP ")[1].split()[1]
        assert f"({int(before):,} when the load began)" in table["text"]


@pytest.mark.vm
def test_which_way_answers_go(run: RunDir) -> None:
    for arm, through in (("l2dsr", False), ("nat", True)):
        text = next(proof["text"] for proof in run.case(f"b1-{arm}")["preflight"] if proof["name"] == "path")
        assert (float(text.rpartition("(")[2].rstrip(")")) > 0.9) == through, text


@pytest.mark.vm
def test_what_was_asked_for_was_in_force(run: RunDir) -> None:
    timeouts = run.raw("b1-nat", "director", "ipvsadm_timeouts.before.txt")
    assert timeouts == "Timeout (tcp tcpfin udp): 900 20 300\n"
    assert run.raw("b1-l2dsr", "director", "ipvsadm_timeouts.before.txt") == "Timeout (tcp tcpfin udp): 900 120 300\n"
    weights = [line.split()[2] for line in (run.raw("b1-l2dsr", "director", "ipvsadm.after.txt") or "").split("->")[2:]]
    assert weights == ["1", "3"]
    facts = (run.path / "facts" / "director" / "ip_vs_modules.once.txt").read_text()
    assert "conn_tab_bits" in facts
