"""The arms that LVS drives: rules, kernel settings, and what web hosts get.

A stand-in keeps rules, and prints them in the forms of ipvsadm 1.31 on Linux 6.1.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bmtlib.params.arms import AnyLvsArm, L2dsrArm, L3dsrArm, LvsTimeouts, NatArm
from bmtlib.parsers.ipvsadm import TimeoutsRow
from bmtlib.setup.change import Change, Command
from bmtlib.setup.lvs import (
    TUNNEL,
    director_changes,
    nat_web_changes,
    rules,
    sysctls_needed,
    sysctls_wanted,
    tunnel_web_changes,
)
from bmtlib.setup.sysctl import restore_keys, write_keys

SERVERS = {"web01": "172.16.0.101", "web02": "172.16.0.102"}
TIMEOUTS = TimeoutsRow(tcp_s=900, tcp_fin_s=120, udp_s=300)
# As Linux 6.1 has them after boot.
SYSCTLS = {
    "net.ipv4.vs.conn_reuse_mode": "1",
    "net.ipv4.vs.expire_nodest_conn": "0",
    "net.ipv4.vs.conntrack": "0",
    "net.ipv4.ip_forward": "0",
    "net.ipv4.conf.all.accept_redirects": "1",
    "net.ipv4.conf.all.send_redirects": "1",
    "net.ipv4.conf.eth0.send_redirects": "1",
}
EXPIRE = "sysctl net.ipv4.vs.expire_nodest_conn"


def lines(arm: AnyLvsArm) -> list[str]:
    return rules(arm, servers=SERVERS, vip="192.168.16.100", port=80).splitlines()


def changes(arm: AnyLvsArm, *, back: str = "eth1", **now: str) -> list[Change]:
    return director_changes(
        "director",
        arm,
        servers=SERVERS,
        vip="10.0.0.9",
        port=80,
        front="eth0",
        back=back,
        sysctls=SYSCTLS | now,
        timeouts=TIMEOUTS,
    )


def of(arm: AnyLvsArm, what: str, **options: Any) -> Change:
    (change,) = [change for change in changes(arm, **options) if change.what == what]
    return change


def test_rules_in_the_form_of_ipvsadm_save() -> None:
    """As `ipvsadm -Sn` prints them."""
    assert lines(L2dsrArm()) == [
        "-A -t 192.168.16.100:80 -s rr",
        "-a -t 192.168.16.100:80 -r 172.16.0.101:80 -g -w 1",
        "-a -t 192.168.16.100:80 -r 172.16.0.102:80 -g -w 1",
    ]


@pytest.mark.parametrize(("arm", "letter"), [(L2dsrArm(), "-g"), (L3dsrArm(), "-i"), (NatArm(), "-m")])
def test_how_each_kind_forwards(arm: AnyLvsArm, letter: str) -> None:
    assert [line.split()[5] for line in lines(arm)[1:]] == [letter] * 2


@pytest.mark.parametrize("scheduler", ["rr", "wrr", "lc", "wlc", "sh", "mh"])
def test_schedulers(scheduler: Any) -> None:
    assert lines(NatArm(scheduler=scheduler))[0] == f"-A -t 192.168.16.100:80 -s {scheduler}"


def test_thresholds_and_weights() -> None:
    arm = L2dsrArm(scheduler="wrr", weights=(1, 3), upper_threshold=35_000, lower_threshold=30_000)
    assert [line.partition(" -g ")[2] for line in lines(arm)[1:]] == [
        "-w 1 -x 35000 -y 30000",
        "-w 3 -x 35000 -y 30000",
    ]
    assert lines(L2dsrArm(upper_threshold=7))[2].endswith(" -x 7 -y 0")


def test_the_director_without_a_wish_gets_its_service_and_a_table_that_empties() -> None:
    expire, service = changes(L2dsrArm())
    assert (expire.what, expire.before, expire.want) == (EXPIRE, "0", "1")
    assert (service.what, service.before) == ("ipvs 10.0.0.9:80", None)
    assert service.want == "2 real servers, rr, Direct Routing"
    assert [change.what for change in changes(L2dsrArm(expire_nodest_conn=False))] == ["ipvs 10.0.0.9:80"]
    assert [change.what for change in changes(L2dsrArm(), **{"net.ipv4.vs.expire_nodest_conn": "1"})] == [service.what]


def test_settings_of_the_kernel_and_how_they_go_back() -> None:
    arm = L3dsrArm(conn_reuse_mode=3, conntrack=True)
    assert sysctls_needed(arm, front="eth0", back="eth1") == list(sysctls_wanted(arm)) == list(SYSCTLS)[:3]
    change = of(arm, "sysctl net.ipv4.vs.conn_reuse_mode")
    assert change.do == write_keys({"net.ipv4.vs.conn_reuse_mode": "3"})
    assert change.undo == restore_keys({"net.ipv4.vs.conn_reuse_mode": "1"})
    assert of(arm, "sysctl net.ipv4.vs.conntrack").undo == restore_keys({"net.ipv4.vs.conntrack": "0"})
    assert [change.what for change in changes(arm)][-1] == "ipvs 10.0.0.9:80", "the service comes last"


def test_timeouts_keep_what_was_not_asked_for() -> None:
    change = of(L2dsrArm(timeouts=LvsTimeouts(tcp_fin=10)), "ipvs timeouts (tcp tcpfin udp)")
    assert change.do.argv == ("ipvsadm", "--set", "900", "10", "300")
    assert change.undo.argv == ("ipvsadm", "--set", "900", "120", "300")
    assert change.expect == "Timeout (tcp tcpfin udp): 900 10 300"
    as_they_are = changes(L2dsrArm(timeouts=LvsTimeouts(tcp=900, udp=300)))
    assert not any("timeouts" in change.what for change in as_they_are)


def test_nat_makes_a_router_and_takes_that_back_with_its_side_effect() -> None:
    change = of(NatArm(), "sysctl net.ipv4.ip_forward")
    assert change.do == write_keys({"net.ipv4.ip_forward": "1"})
    assert change.undo == restore_keys({"net.ipv4.ip_forward": "0", "net.ipv4.conf.all.accept_redirects": "1"})
    router = {"net.ipv4.ip_forward": "1"}
    assert [change.what for change in changes(NatArm(), **router)] == [EXPIRE, "ipvs 10.0.0.9:80"]


def test_nat_over_one_interface_tells_nobody_of_a_shorter_way() -> None:
    whats = [change.what for change in changes(NatArm(), back="eth0")]
    assert whats[1:3] == [f"sysctl net.ipv4.conf.{name}.send_redirects" for name in ("all", "eth0")]
    assert sysctls_needed(NatArm(), front="eth0", back="eth0") == list(SYSCTLS)[1:2] + list(SYSCTLS)[3:]
    assert not any("send_redirects" in change.what for change in changes(NatArm()))
    vlan = sysctls_needed(NatArm(), front="eth0.100", back="eth0.100")
    assert vlan[-1] == "net.ipv4.conf.eth0/100.send_redirects", "a dot in a name is a slash in a key, as in sysctl(8)"


# Keeps rules in a file and prints them as ipvsadm 1.31 does; `nonsense` is a scheduler that it does not know.
_STAND_IN = r"""#!/bin/sh
case "$*" in
  --restore) while read -r line; do case $line in *nonsense*) exit 2;; esac; echo "$line" >> rules; done;;
  "-D -t "*) grep -q -e "^-A -t $3 " rules || exit 2; grep -v -e " -t $3 " rules > kept; mv kept rules;;
  -Sn) [ ! -e deaf ] || exit 1; sed -e 's/ -x .*//' -e 's/ -i \(.*\)$/ -i \1 --tun-type ipip/' rules;;
  "-Ln --thresholds -t "*)
    printf 'IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port  Uthreshold Lthreshold\n'
    printf '  -> RemoteAddress:Port\nTCP  %s rr\n' "$4"
    grep -e "^-a -t $4 " rules | sed 's/ -w \([0-9]*\)$/ -w \1 -x 0 -y 0/' |
      sed 's/.* -r \(\S*\) .* -x \(\S*\) -y \(\S*\)$/  -> \1  \2 \3  0  0/';;
esac
"""


@pytest.fixture
def lvs(tmp_path: Path) -> Any:
    """Runs a command of a change against the stand-in, which starts with somebody else's service."""
    program = tmp_path / "ipvsadm"
    program.write_text(_STAND_IN)
    program.chmod(0o755)
    (tmp_path / "rules").write_text("-A -t 10.0.0.9:8080 -s wlc\n-a -t 10.0.0.9:8080 -r 172.16.0.101:80 -m -w 1\n")

    def run(command: Command) -> subprocess.CompletedProcess[str]:
        env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "KEEP": str(tmp_path)}
        return subprocess.run(
            command.argv, input=command.stdin, capture_output=True, text=True, check=False, env=env, cwd=tmp_path
        )

    return run


ARMS = [
    L2dsrArm(scheduler="wrr", weights=(2, 1), upper_threshold=100, lower_threshold=80),
    L3dsrArm(scheduler="mh"),
    NatArm(upper_threshold=7),
]


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.kind)
def test_a_service_comes_is_read_back_and_goes(arm: AnyLvsArm, lvs: Any, tmp_path: Path) -> None:
    theirs = (tmp_path / "rules").read_text()
    change = of(arm, "ipvs 10.0.0.9:80")
    assert change.check is not None
    assert lvs(change.do).returncode == 0
    assert " ".join(lvs(change.check).stdout.split()) == change.expect
    assert lvs(change.undo).returncode == 0
    assert (tmp_path / "rules").read_text() == theirs
    assert " ".join(lvs(change.check).stdout.split()) != change.expect


@pytest.mark.parametrize(
    ("right", "wrong"),
    [(" -w 2", " -w 3"), (" -g ", " -m "), ("-s wrr", "-s rr"), ("-y 80", "-y 79"), ("101:80", "103:80")],
)
def test_what_did_not_take_is_seen(right: str, wrong: str, lvs: Any) -> None:
    change = of(ARMS[0], "ipvs 10.0.0.9:80")
    assert change.check is not None
    assert lvs(Command(argv=change.do.argv, stdin=change.do.stdin.replace(right, wrong))).returncode == 0
    assert " ".join(lvs(change.check).stdout.split()) != change.expect


def test_a_service_that_is_there_is_left_alone(lvs: Any, tmp_path: Path) -> None:
    change = of(L2dsrArm(), "ipvs 10.0.0.9:80")
    with (tmp_path / "rules").open("a") as file:
        file.write("-A -t 10.0.0.9:80 -s wlc\n")
    theirs = (tmp_path / "rules").read_text()
    refused = lvs(change.do)
    assert (refused.returncode, refused.stderr) == (1, "there already, and not ours: -A -t 10.0.0.9:80 -s wlc\n")
    assert lvs(change.undo).returncode == 0
    assert (tmp_path / "rules").read_text() == theirs


def test_the_undo_takes_away_what_was_made_and_nothing_else(lvs: Any, tmp_path: Path) -> None:
    theirs = (tmp_path / "rules").read_text()
    change = of(L2dsrArm(), "ipvs 10.0.0.9:80")
    assert lvs(change.undo).returncode == 0, "never done"
    assert (tmp_path / "rules").read_text() == theirs
    assert lvs(change.do).returncode == 0
    done = (tmp_path / "rules").read_text()
    assert lvs(change.do).returncode == 0, "apply broke off, and comes again"
    assert (tmp_path / "rules").read_text() == done
    for _ in range(2):
        assert lvs(change.undo).returncode == 0
        assert (tmp_path / "rules").read_text() == theirs


def test_an_undo_that_cannot_see_whether_the_service_is_there_fails(lvs: Any, tmp_path: Path) -> None:
    change = of(L2dsrArm(), "ipvs 10.0.0.9:80")
    lvs(change.do)
    (tmp_path / "deaf").touch()
    assert lvs(change.undo).returncode == 1
    (tmp_path / "deaf").unlink()
    assert lvs(change.undo).returncode == 0, "it can be tried again"
    assert "10.0.0.9:80 " not in (tmp_path / "rules").read_text()


def test_half_a_service_is_taken_back(lvs: Any, tmp_path: Path) -> None:
    theirs = (tmp_path / "rules").read_text()
    do = of(NatArm(), "ipvs 10.0.0.9:80").do
    broken = Command(argv=do.argv, stdin=do.stdin.replace("172.16.0.102:80", "nonsense"))
    assert lvs(broken).returncode == 1
    assert (tmp_path / "rules").read_text() == theirs


def test_a_web_host_of_nat_answers_by_way_of_the_director() -> None:
    one, two = nat_web_changes("web01", front="192.168.16.0/24", gateway="172.16.0.1", interface="eth0")
    assert one.do.argv[-3:] == one.undo.argv[-3:] == ("192.168.16.0/25", "172.16.0.1", "eth0")
    assert two.do.argv[-3] == "192.168.16.128/25", "both halves: longer than any route that the host has to it"
    assert one.expect == "192.168.16.0/25 via 172.16.0.1 dev eth0"


def test_a_web_host_of_l3dsr_has_the_tunnels_end() -> None:
    device, address, filtered = tunnel_web_changes("web01", address="172.16.0.101", vip="10.0.0.9")
    assert device.do.argv[-2:] == device.undo.argv[-2:] == (TUNNEL, "172.16.0.101")
    assert address.do.argv[-2:] == (TUNNEL, "10.0.0.9/32")
    assert filtered.do == write_keys({f"net.ipv4.conf.{TUNNEL}.rp_filter": "2"})
