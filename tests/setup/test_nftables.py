"""Layer-2 Direct Server Return on nftables: its rules."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from jinja2 import UndefinedError

from bmtlib.setup.change import Change
from bmtlib.setup.nftables import nft_changes
from bmtlib.setup.template import render

MACS = ("02:00:ac:10:00:65", "02:00:ac:10:00:66", "02:00:ac:10:00:67")
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def nft(macs: tuple[str, ...] = MACS, device: str = "eth0", back: str = "eth1") -> Change:
    (change,) = nft_changes(
        "director",
        macs=macs,
        back_mac="02:00:ac:10:00:01",
        front=device,
        back=back,
        vip="192.168.16.100",
        port=80,
    )
    return change


def test_every_web_host_has_a_number_of_the_hash() -> None:
    for count in (1, 2, 3):
        text = nft(MACS[:count]).do.stdin
        found = re.search(r"jhash ip saddr \. tcp sport mod (\d+) map \{ (.*) \} fwd to \"eth1\"", text)
        assert found is not None
        assert int(found[1]) == count
        assert found[2] == ", ".join(f"{i} : {mac}" for i, mac in enumerate(MACS[:count]))


def test_the_rule_takes_the_service_alone_and_rewrites_both_addresses() -> None:
    (rule,) = [line.split() for line in nft().do.stdin.splitlines() if "jhash" in line]
    assert rule[:6] == ["ip", "daddr", "192.168.16.100", "tcp", "dport", "80"]
    assert " ".join(rule).index("ether saddr set 02:00:ac:10:00:01") < " ".join(rule).index("ether daddr set jhash")
    assert 'hook ingress device "eth0"' in nft().do.stdin


def test_nft_makes_one_table_of_its_own() -> None:
    change = nft()
    assert re.findall(r"^table .*", change.do.stdin, re.MULTILINE) == ["table netdev bmt {"]


@pytest.mark.skipif(shutil.which("nft", path=PATH) is None, reason="no nft here")
@pytest.mark.parametrize("count", [1, 3, 60])
def test_nft_accepts_it(count: int) -> None:
    """`nft -c` checks and changes nothing; it needs rights and an interface that exists."""
    macs = tuple(f"02:00:ac:10:00:{i:02x}" for i in range(count))
    command = ["nft", "-c", "-f", "-"]
    env = {"PATH": PATH}
    text = nft(macs, device="lo", back="lo").do.stdin
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, env=env)
    if "Operation not permitted" in done.stderr:
        pytest.skip("nft may not ask the kernel here")
    assert done.returncode == 0, done.stderr


def test_a_forgotten_value_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="front"):
        render("l2dsr.nft", host="director", macs=[], back_mac="", back="eth1", vip="", port=80)
