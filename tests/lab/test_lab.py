"""The lab itself: addresses, routes, own files, no way out, and what one host may not do to the machine."""

from __future__ import annotations

import pytest

from bmtlib import doctor
from bmtlib.errors import CaseError, HostError
from bmtlib.hosts.host import Host, each
from bmtlib.measure import preflight
from bmtlib.measure.preview import preview
from bmtlib.measure.ready import check
from bmtlib.measure.session import Session
from bmtlib.params.testbed import Network
from bmtlib.run import Loaded
from bmtlib.setup.sysctl import sysctl_change
from bmtlib.testbeds.netns import Lab
from bmtlib.testbeds.placement import place

pytestmark = pytest.mark.lab


def test_hosts_have_names_folders_and_processes_of_their_own(session: Session) -> None:
    names = each(session.lab.hosts.values(), lambda host: host.run(["hostname"]).stdout.strip())
    assert list(names) == list(names.values()) == ["director", "web01", "web02", "client01", "client02"]
    web01, web02 = session.lab.role("web")
    for folder in ("/etc", "/run", "/tmp", "/var/log"):
        web01.run(["sh", "-c", f"echo mine > {folder}/bmt-test-mark"])
        assert web02.run(["test", "-e", f"{folder}/bmt-test-mark"], check=False).rc == 1
        assert not session.lab.sandbox.run(f"ls {folder} | grep bmt-test-mark; true")


def test_there_is_no_way_out(session: Session) -> None:
    for host in session.lab.hosts.values():
        routes = host.run(["ip", "route"]).stdout
        assert "default" not in routes
        assert set(host.run(["ls", "/sys/class/net"]).stdout.split()) <= {"lo", "eth0", "eth1"}


def test_receive_processing_is_on_the_hosts_own_cpus(session: Session) -> None:
    if not session.ready.placement.separate:
        pytest.skip("this machine has one CPU: director and others share it")
    assert session.lab.rps
    masks = each(session.lab.hosts.values(), lambda host: host.read("/sys/class/net/eth0/queues/rx-0/rps_cpus").strip())
    director = masks.pop("director")
    assert set(masks.values()) & {director} == set()


def test_director_alone_answers_arp_for_the_vip(session: Session) -> None:
    client, director = session.lab.role("client")[0], session.lab.director
    assert preflight.prove_arp(client, director, "192.168.16.100").ok


def test_arp_proof_sees_a_web_host_that_answers_too(session: Session) -> None:
    """As in the seed study: the VIP as an address of eth0 is answered for."""
    client, director, web = session.lab.role("client")[0], session.lab.director, session.lab.role("web")[0]
    web.run(["ip", "address", "add", "192.168.16.100/32", "dev", "eth0"])
    try:
        with pytest.raises(CaseError, match="ARP"):
            preflight.prove_arp(client, director, "192.168.16.100")
    finally:
        web.run(["ip", "address", "del", "192.168.16.100/32", "dev", "eth0"])


def test_changes_of_a_host_can_be_undone(session: Session) -> None:
    web = session.lab.role("web")[1]
    before, applied = state(web), list(web.applied)
    web.undo(applied)
    assert web.run(["ss", "-Htln"]).stdout == ""
    assert "192.168.16.100" not in web.run(["ip", "-4", "address", "show"]).stdout
    assert web.read("/proc/sys/net/ipv4/conf/all/arp_ignore").strip() == "0"
    web.apply(applied)
    assert state(web) == before


def state(host: Host) -> str:
    script = "ip -4 -o address; ss -Htln; sysctl -a -r '^net' 2>/dev/null; sha256sum /etc/nginx/nginx.conf"
    return host.run(["sh", "-c", script]).stdout


def test_a_change_that_the_host_does_not_take_names_the_key(session: Session) -> None:
    client = session.lab.role("client")[0]
    wish = sysctl_change(client.name, "net.ipv4.tcp_fin_timeout", "not-a-number", {"net.ipv4.tcp_fin_timeout": "60"})
    with pytest.raises(HostError, match="tcp_fin_timeout"):
        client.apply(wish)
    client.undo(wish)
    assert client.read("/proc/sys/net/ipv4/tcp_fin_timeout").strip() == "60"


@pytest.mark.usefixtures("no_leftovers")
def test_a_lab_that_is_closed_leaves_nothing() -> None:
    rootless = doctor.lab_privilege() == "rootless"
    with Lab(Network(), webs=3, clients=3, placement=place("auto"), rootless=rootless) as lab:
        assert len(lab.hosts) == 7
        assert lab.sandbox.alive
    assert not lab.sandbox.alive


def test_a_plan_names_every_change_and_makes_none(session: Session, loaded: Loaded) -> None:
    steps = preview(loaded.plan, check(loaded.plan))
    made = {(change.what, change.before, change.want) for changes in session.changes.values() for change in changes}
    planned = {(step.what, step.now, step.then) for step in steps if step.done and step.when == "preparation"}
    assert planned == made
    arms = {step.when for step in steps} - {"preparation"}
    assert arms == {"arm proxy (haproxy)", f"arm l2dsr ({session.engines()['l2dsr']})"}
