"""The proxy on a machine of the user's own: what is there is not done again, what runs otherwise stops first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bmtlib.errors import InputError
from bmtlib.params.arms import ProxyArm
from bmtlib.params.proxy_options import Build, Lua, Tls
from bmtlib.setup.change import Change
from bmtlib.setup.haproxy import haproxy_changes
from bmtlib.setup.haproxy_build import build_changes, build_mark, build_packages
from bmtlib.setup.system import Process, Running, System, parse

GOLDEN = Path(__file__).parents[1] / "golden" / "system"
BUILD = Build(version="2.2.25", source="http://example.org/haproxy.tar.gz", sha256="0" * 64)
SERVERS = {"web01": "172.16.0.101", "web02": "172.16.0.102"}


def whats(changes: list[Change]) -> list[str]:
    return [change.what for change in changes]


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ("none\n", "no such file"),
        ("no certificate\n", "no certificate"),
        ("2048 bit\nwithout its key\nmode 600\n", "its key"),
    ],
)
def test_a_certificate_of_the_users_that_cannot_serve(system: System, found: str, why: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        on_a_machine(ProxyArm(tls=Tls(certificate="/etc/pki/server.pem")), system, certificate=found)
    assert caught.value.where == "director: /etc/pki/server.pem"


@pytest.fixture
def system() -> System:
    return parse("director", (GOLDEN / "rocky8.txt").read_text())


def on_a_machine(arm: ProxyArm, system: System, *, before: str | None = "theirs", **found: str | None) -> list[Change]:
    return haproxy_changes(
        "director",
        arm,
        servers=SERVERS,
        vip="192.168.16.100",
        port=80,
        cpus=frozenset({0, 1}),
        maxconn=9000,
        nofile=20_000,
        work="/run/bmt",
        config_before=before,
        system=system,
        certificate=found.get("certificate"),
        built=found.get("built"),
    )


def test_on_a_machine_everything_in_its_order(system: System) -> None:
    made = on_a_machine(ProxyArm(build=BUILD, tls=Tls()), system, certificate="none\n", built="none\n")
    packages, *others = whats(made)
    assert packages.startswith("package gcc make openssl-devel")
    assert others == [
        "source haproxy 2.2.25",
        "build /opt/bmt/haproxy-2.2.25",
        "certificate /etc/bmt/tls/192.168.16.100.pem",
        "file /etc/haproxy/haproxy.cfg",
        "unit bmt-haproxy.service",
    ]
    assert "ExecStart=/opt/bmt/haproxy-2.2.25/sbin/haproxy -D -f /etc/haproxy/haproxy.cfg" in made[-1].do.stdin


def test_a_second_apply_does_nothing(system: System) -> None:
    arm = ProxyArm(build=BUILD, tls=Tls(), threads=2)
    *_, config, unit = on_a_machine(arm, system)
    after = replace(
        system,
        running={"haproxy": Running(pid=7, cpus="running on 0 1")},
        processes={7: process("/opt/bmt/haproxy-2.2.25/sbin/haproxy")},
        files={"/etc/systemd/system/bmt-haproxy.service": unit.do.stdin},
    )
    found = {"certificate": "2048 bit\nIP Address:192.168.16.100\nmode 600\n", "built": build_mark(BUILD) + "\n"}
    assert on_a_machine(arm, after, before=config.do.stdin, **found) == []
    by_hand = replace(after, systemd=False, files={})
    assert on_a_machine(arm, by_hand, before=config.do.stdin, **found) == []
    other = replace(by_hand, processes={7: process("/usr/sbin/haproxy")})
    assert whats(on_a_machine(arm, other, before=config.do.stdin, **found)) == [
        "process haproxy (7)",
        "process haproxy",
    ]


@pytest.mark.parametrize(
    ("arm", "more"),
    [
        (ProxyArm(retries=9), ["file /etc/haproxy/haproxy.cfg"]),
        (ProxyArm(tls=Tls(key_bits=4096)), ["certificate /etc/bmt/tls/192.168.16.100.pem"]),
    ],
)
def test_what_runs_otherwise_is_stopped_before_its_configuration_changes(
    system: System, arm: ProxyArm, more: list[str]
) -> None:
    *_, config, unit = on_a_machine(ProxyArm(), system)
    after = replace(
        system,
        running={"haproxy": Running(pid=7, cpus="running on 0")},
        processes={7: process("/usr/sbin/haproxy", unit="bmt-haproxy.service")},
        files={"/etc/systemd/system/bmt-haproxy.service": unit.do.stdin},
    )
    made = whats(on_a_machine(arm, after, before=config.do.stdin, certificate="2048 bit\n"))
    assert made[-1] == "unit bmt-haproxy.service"
    assert set(more) < set(made)
    assert made.index("unit bmt-haproxy.service") < made.index("file /etc/haproxy/haproxy.cfg")


def process(program: str, unit: str = "") -> Process:
    return Process(pid=7, parent=1, name="haproxy", unit=unit, program=program, line="")


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("rocky8", "gcc make openssl-devel zlib-devel pcre-devel systemd-devel readline-devel"),
        ("debian12", "gcc make libc6-dev libssl-dev zlib1g-dev libpcre3-dev libsystemd-dev libreadline-dev"),
    ],
)
def test_packages_as_the_seed_has_them(name: str, missing: str) -> None:
    """The seed, on Rocky 8: dnf install -y gcc openssl-devel make pcre-devel readline-devel systemd-devel."""
    system = parse(name, (GOLDEN / f"{name}.txt").read_text())
    lua = Lua(version="5.3.5", source="https://www.lua.org/ftp/lua-5.3.5.tar.gz", sha256="0" * 64)
    changes = build_changes("director", BUILD.model_copy(update={"lua": lua}), system=system)
    assert [change.what for change in changes[:1]] == [f"package {missing}"]
    assert set(build_packages(BUILD.model_copy(update={"pcre": "pcre2"}), system.manager)) & {
        "pcre2-devel",
        "libpcre2-dev",
    }
