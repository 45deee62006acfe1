"""Hosts of one's own in YAML: ranges, defaults from above, and the way to each host."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from bmtlib.errors import InputError
from bmtlib.params.fleet import Login, Ssh, logins
from bmtlib.params.host_range import expand
from bmtlib.params.load_yaml import load_testbed, to_yaml
from bmtlib.params.testbed import Testbed, anchored

FLEET = """\
kind: ssh
ssh:
  user: root
  director: {hosts: [lb01], front: eth0, back: eth1, cpus: 2-3}
  web: {hosts: ["web[01:03]"], back: eth0, become: sudo}
  client:
    user: bench
    hosts:
      - client[01:02]
      - {host: big, address: 10.0.0.9, port: 2222, user: admin, cpus: 0-7, key: ~/.ssh/big}
      - {host: "c[31:32]", address: "10.0.1.[31:32]"}
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    file = tmp_path / "fleet.yml"
    file.write_text(FLEET)
    return file


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("web01", ["web01"]),
        ("web[1:3]", ["web1", "web2", "web3"]),
        ("web[001:003].example.org", ["web001.example.org", "web002.example.org", "web003.example.org"]),
        ("[a:c]", ["a", "b", "c"]),
        ("h[A:E:2]", ["hA", "hC", "hE"]),
        ("h[0:10:5]", ["h0", "h5", "h10"]),
        ("h[:2]", ["h0", "h1", "h2"]),
        ("r[1:2]n[08:09]", ["r1n08", "r1n09", "r2n08", "r2n09"]),
    ],
)
def test_ranges(text: str, names: list[str]) -> None:
    assert expand(text) == names


def test_a_range_of_numbers_is_what_counting_gives() -> None:
    chance = random.Random(4)
    for _ in range(200):
        first = chance.randrange(900)
        last, step = first + chance.randrange(90), chance.randrange(1, 9)
        assert expand(f"h[{first}:{last}:{step}]") == [f"h{n}" for n in range(first, last + 1, step)]
        padded = expand(f"[{first:04}:{last:04}]")
        assert [int(name) for name in padded] == list(range(first, last + 1))
        assert {len(name) for name in padded} == {4}


def test_every_host_has_its_way(fleet: Path) -> None:
    found = logins(load_testbed(fleet).ssh)
    assert [host.name for host in found] == [
        "lb01",
        "web01",
        "web02",
        "web03",
        "client01",
        "client02",
        "big",
        "c31",
        "c32",
    ]
    by_name = {host.name: host for host in found}
    assert by_name["lb01"] == Login(
        name="lb01", role="director", target="lb01", user="root", front="eth0", back="eth1", cpus="2-3"
    )
    assert by_name["web02"] == Login(
        name="web02", role="web", target="web02", user="root", become="sudo", back="eth0", cpus="auto"
    )
    assert by_name["big"] == Login(
        name="big", role="client", target="10.0.0.9", user="admin", port=2222, key="~/.ssh/big", cpus="0-7"
    )
    assert (by_name["c32"].target, by_name["c32"].user, by_name["c32"].port) == ("10.0.1.32", "bench", None)


def test_settings_go_over_the_file(fleet: Path) -> None:
    settings = ["ssh.user=admin", "testbed.ssh.web.hosts=[n1, n2]", "ssh.director.cpus=1", "ssh.clock_limit_ms=null"]
    found = load_testbed(fleet, [text if text.startswith("testbed.") else f"testbed.{text}" for text in settings])
    hosts = logins(found.ssh)
    assert [(host.name, host.user) for host in hosts[:3]] == [("lb01", "admin"), ("n1", "admin"), ("n2", "admin")]
    assert (hosts[0].cpus, found.ssh.clock_limit_ms) == ("1", None)
    with pytest.raises(InputError, match=r"^--set testbed\.ssh\.user=-oProxyCommand=reboot: ssh\.user: '-oProxyC"):
        load_testbed(fleet, ["testbed.ssh.user=-oProxyCommand=reboot"])


def test_it_comes_back_from_its_own_yaml_and_json(fleet: Path, tmp_path: Path) -> None:
    found = load_testbed(fleet)
    (tmp_path / "copy.yml").write_text(to_yaml(found))
    assert load_testbed(tmp_path / "copy.yml") == found == Testbed.model_validate_json(found.model_dump_json())


@pytest.mark.parametrize("front", ["10.0.0.0/24", "192.168.16.0/24"])
def test_both_networks_may_be_one_and_the_vip_any_free_address(fleet: Path, front: str) -> None:
    vip = front.replace("0/24", "1")
    one = [f"testbed.network={{front: {front}, back: {front}, vip: {vip}}}"]
    assert load_testbed(fleet, one).network.front == front
    with pytest.raises(InputError) as error:
        load_testbed("netns", one)
    assert f"network.back: {front} overlaps the front network {front}" in error.value.what
    assert f"network.vip: {vip} is the director's own address" in error.value.what


def test_what_a_role_says_goes_with_an_inventory_too() -> None:
    data = {"kind": "ssh", "ssh": {"inventory": "hosts.ini", "director": {"cpus": "2-3"}, "groups": {"web": "nginx"}}}
    assert Testbed.model_validate(data).ssh.sources == ["inventory"]


def test_an_inventory_is_looked_for_beside_the_testbed_and_then_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, here = tmp_path / "beside", tmp_path / "here"
    for folder in (beside, here):
        folder.mkdir()
        (folder / "both.ini").touch()
    (here / "here.ini").touch()
    monkeypatch.chdir(here)

    def path(text: str) -> str | None:
        return anchored(Testbed.model_validate({"kind": "ssh", "ssh": {"inventory": text}}), beside).ssh.inventory

    assert path("both.ini") == str(beside / "both.ini")
    assert path("here.ini") == str(here / "here.ini")
    assert path("neither.ini") == str(here / "neither.ini")
    assert path("/etc/ansible/hosts") == "/etc/ansible/hosts"
    assert anchored(Testbed(), beside) == Testbed()


WORDS = ["-oProxyCommand=reboot", "$(reboot)", "a b", "a;b", "a\nb", "", "`reboot`", "é", "a'b", "a/b", "x" * 300]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("key", ["host", "address", "user", "front", "back", "cpus"])
def test_no_field_takes_an_option_or_shell_text(key: str, word: str) -> None:
    entry: dict[str, Any] = {"host": "web01"} | {key: word}
    with pytest.raises(ValueError, match=key):
        Ssh.model_validate({"web": {"hosts": [entry]}})


@pytest.mark.parametrize("word", [*WORDS, "id_ed25519", "../id"])
def test_a_key_is_a_path_from_the_root_or_from_home(word: str) -> None:
    with pytest.raises(ValueError, match="key"):
        Ssh.model_validate({"key": word})
