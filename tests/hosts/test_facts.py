"""Facts of a host: read from a file system made for the test, by the real script."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from host_doubles import LocalHost, ReplayHost

from bmtlib.errors import HostError
from bmtlib.hosts.facts import gather
from bmtlib.setup.sysctl import probe
from bmtlib.setup.vip import ARP_KEYS


def interface(host: LocalHost, name: str, address: str) -> None:
    folder = host.root / "sys/class/net" / name
    folder.mkdir(parents=True)
    (folder / "address").write_text(f"{address}\n")


def test_facts_of_this_machine(host: LocalHost) -> None:
    interface(host, "lo", "00:00:00:00:00:00")
    interface(host, "eth0", "02:00:ac:10:00:65")
    facts = gather(host, ["net.core.somaxconn", "net.core.no_such_key"])
    assert facts.host == "web01"
    assert facts.kernel == os.uname().release
    assert facts.nofile > 0
    assert facts.ip_vs == Path("/proc/net/ip_vs").exists()
    assert facts.macs == {"lo": "00:00:00:00:00:00", "eth0": "02:00:ac:10:00:65"}
    assert (facts.nginx_conf, facts.haproxy_cfg) == (None, None)
    assert set(facts.settings) == {*ARP_KEYS, "net.core.somaxconn", "net.core.no_such_key"}
    assert "net.core.no_such_key" not in facts.sysctls()
    assert facts.sysctls()["net.core.somaxconn"] == Path("/proc/sys/net/core/somaxconn").read_text().strip()


def test_an_interface_without_an_address(host: LocalHost) -> None:
    """As tun devices have it: an empty line."""
    interface(host, "tun0", "")
    interface(host, "eth0", "02:00:ac:10:00:65")
    assert gather(host, []).macs == {"eth0": "02:00:ac:10:00:65"}


@pytest.mark.parametrize(
    "text",
    [
        "user root;\nevents { }\n",
        "without an end of line",
        "",
        "\n\n\n",
        "a\r\nb\r\n",
        "page\x0cbreak\x0b\x1c\x85 \n",
        "| a\nfile /etc/passwd\nkernel 1\n",
        "größe → 大きさ\n",
        "\ttab  and   blanks  \n",
    ],
)
def test_files_are_read_as_they_are(host: LocalHost, text: str) -> None:
    """Undo writes them back: byte for byte, whatever they hold, and whatever the other one holds."""
    for name in ("etc/nginx/nginx.conf", "etc/haproxy/haproxy.cfg"):
        (host.root / name).parent.mkdir(parents=True)
        (host.root / name).write_bytes(text.encode())
    facts = gather(host, [])
    assert facts.nginx_conf == text
    assert facts.haproxy_cfg == text


def replay(host: LocalHost, said: str) -> ReplayHost:
    settings = " ".join(probe(ARP_KEYS).argv)
    return ReplayHost(
        name="web01",
        role="web",
        machine="lab",
        addresses={},
        interfaces={},
        cpus=host.cpus,
        record={"sh -s": [(0, said)], settings: [(0, "")]},
    )


def test_no_limit_of_open_files_is_a_number(host: LocalHost) -> None:
    assert gather(replay(host, "kernel 6.1.0\nnofile unlimited\nip_vs yes\n"), []).nofile == 1_048_576
    assert gather(replay(host, "kernel 6.1.0\nnofile 20000\nip_vs yes\n"), []).ip_vs


@pytest.mark.parametrize("said", ["", "kernel 6.1.0\nip_vs no\n", "kernel 6.1.0\nnofile many\nip_vs no\n"])
def test_an_answer_that_is_no_answer(host: LocalHost, said: str) -> None:
    with pytest.raises(HostError, match="web01: `facts`"):
        gather(replay(host, said), [])
