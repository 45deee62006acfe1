"""Every kind of change that a host of a lab can take: undone where nothing was done, done, undone, undone again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import pytest

from bmtlib.errors import HostError
from bmtlib.hosts.hardware import gather_hardware
from bmtlib.hosts.host import Host
from bmtlib.measure.session import Session
from bmtlib.params.profile import HostTuning
from bmtlib.setup.change import Change
from bmtlib.setup.file import file_change
from bmtlib.setup.hardware import dump_script, hardware_changes
from bmtlib.setup.lvs import nat_web_changes, tunnel_web_changes
from bmtlib.setup.nftables import nft_changes
from bmtlib.setup.sysctl import sysctl_change
from bmtlib.setup.vip import address_change

pytestmark = pytest.mark.lab

STATE = """
ip -o -4 address; ip -o link; ip -4 route show table all; nft list ruleset
cat /proc/sys/net/ipv4/tcp_rmem /proc/sys/net/ipv4/ip_default_ttl
stat -c '%n %A %u %g %Y' /etc/nginx/nginx.conf; sha256sum /etc/nginx/nginx.conf; ls -A /run/bmt "$1"
"""
RMEM = "net.ipv4.tcp_rmem"


def state(host: Host) -> str:
    kept = f"{host.state}/keep/{host.run_id}"
    return "".join(
        [
            host.run(["sh", "-c", STATE, "sh", kept]).stdout,
            host.run(["sh", "-s"], stdin=dump_script(), timeout_s=60).stdout,
        ]
    )


def undo(host: Host, changes: Sequence[Change]) -> None:
    """As a rollback does it, which cannot know whether they were done."""
    host.applied.extend(change for change in changes if change not in host.applied)
    host.undo(changes)


def addresses(host: Host) -> list[Change]:
    return [address_change(host.name, "10.99.0.9", name) for name in ("lo", "eth0")]


def routes(host: Host) -> list[Change]:
    gateway = host.addresses["back"].rpartition(".")[0] + ".1"
    return nat_web_changes(host.name, front="10.98.0.0/24", gateway=gateway, interface=host.interfaces["back"])


def table(host: Host) -> list[Change]:
    mac = "02:00:ac:10:00:65"
    return nft_changes(host.name, macs=[mac], back_mac=mac, front="lo", back="lo", vip="10.99.0.9", port=80)


def keys(host: Host) -> list[Change]:
    present = " ".join(host.run(["cat", f"/proc/sys/{RMEM.replace('.', '/')}"]).stdout.split())
    ttl = host.run(["cat", "/proc/sys/net/ipv4/ip_default_ttl"]).stdout
    return [
        *sysctl_change(host.name, RMEM, "4096 8192 16384", {RMEM: present}),
        *sysctl_change(host.name, "net.ipv4.ip_default_ttl", "65", {"net.ipv4.ip_default_ttl": ttl}),
    ]


def files(host: Host) -> list[Change]:
    return [
        file_change(host.name, "/etc/nginx/nginx.conf", "ours", before="theirs"),
        file_change(host.name, "/run/bmt/new folder/x.conf", "ours", before=None, mode="600"),
    ]


def card(host: Host) -> list[Change]:
    tuning = HostTuning.model_validate(
        {
            "nic": {"txqueuelen": 4000, "features": {"gro": True, "tso": False, "tx": False}},
            "steering": {"rps_cpus": "all"},
        }
    )
    changes, _ = hardware_changes(
        host.name,
        tuning,
        gather_hardware(host, wish=tuning),
        interfaces=["eth0"],
        cpus=host.cpus,
        proxy_cpus=frozenset(),
        namespace=True,
    )
    assert len(changes) > 2
    return changes


@pytest.mark.parametrize("wishes", [addresses, routes, table, keys, files, card])
def test_undone_whatever_was_done(session: Session, wishes: Callable[[Host], list[Change]]) -> None:
    web = session.lab.role("web")[0]
    before = state(web)
    changes = wishes(web)
    undo(web, changes)
    assert state(web) == before, "nothing was done: nothing is changed"
    assert web.apply(changes) == []
    try:
        assert state(web) != before
    finally:
        web.undo(changes)
    assert state(web) == before
    undo(web, changes)
    assert state(web) == before
    web.apply(changes[:1])
    undo(web, changes)
    assert state(web) == before, "half of it was done"


def test_an_address_of_the_users_stays(session: Session) -> None:
    web = session.lab.role("web")[0]
    theirs = ["10.99.0.9/32", "dev", "lo"]
    web.run(["ip", "address", "add", *theirs])
    try:
        before = state(web)
        change = address_change(web.name, "10.99.0.9", "lo")
        with pytest.raises(HostError, match="there already, and not ours"):
            web.apply([change])
        undo(web, [change])
        assert state(web) == before
    finally:
        web.run(["ip", "address", "del", *theirs])


def test_a_tunnel_comes_and_goes_where_the_kernel_has_them(session: Session) -> None:
    """Without IPIP in the kernel nothing is made, and the undo has nothing to do."""
    web = session.lab.role("web")[0]
    before = state(web)
    changes = tunnel_web_changes(web.name, address=web.addresses["back"], vip="10.99.0.9")
    undo(web, changes)
    assert state(web) == before
    with contextlib.suppress(HostError):
        web.apply(changes)
    for _ in range(2):
        undo(web, changes)
        assert state(web) == before
