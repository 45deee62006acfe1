"""Hosts from an inventory: read by the real ansible-inventory, by role, with every error in words."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bmtlib.errors import InputError, MachineError
from bmtlib.params.fleet import Groups, Login, Ssh
from bmtlib.params.testbed import Testbed
from bmtlib.testbeds.ansible import read_inventory
from bmtlib.testbeds.inventory import all_logins, find_logins
from bmtlib.testbeds.listing import Listing, logins_of

INI = """\
[lb]
lb01 ansible_host=192.0.2.1 bmt_front=eth0 bmt_back=eth1 bmt_cpus=2-3

[nginx]
web[08:10] bmt_back=ens3

[ab]
client[01:02] ansible_port=2222
big ansible_host=10.0.0.10 ansible_user=bench ansible_become=true ansible_ssh_private_key_file=~/.ssh/big bmt_cpus=1

[web:children]
nginx

[client:children]
ab

[all:vars]
ansible_user=admin
"""

YAML = """\
all:
  vars: {ansible_user: admin}
  children:
    lb: {hosts: {lb01: {ansible_host: 192.0.2.1, bmt_front: eth0, bmt_back: eth1, bmt_cpus: 2-3}}}
    web: {children: {nginx: {hosts: {"web[08:10]": {bmt_back: ens3}}}}}
    client:
      children:
        ab:
          hosts:
            client[01:02]: {ansible_port: 2222}
            big: {ansible_host: 10.0.0.10, ansible_user: bench, ansible_become: true,
                  ansible_ssh_private_key_file: ~/.ssh/big, bmt_cpus: 1}
"""

PROGRAM = """\
#!/bin/sh
[ "$1" = --list ] && cat "$0.json"
"""


def bed_of(path: object, **ssh: Any) -> Testbed:
    return Testbed.model_validate({"kind": "ssh", "ssh": {"inventory": str(path), **ssh}})


@pytest.fixture
def inventory(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str, name: str = "hosts.ini") -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


EXPECTED = [
    Login(name="lb01", role="director", target="192.0.2.1", user="admin", front="eth0", back="eth1", cpus="2-3"),
    *(Login(name=name, role="web", target=name, user="admin", back="ens3") for name in ("web08", "web09", "web10")),
    *(Login(name=f"client0{n}", role="client", target=f"client0{n}", user="admin", port=2222) for n in (1, 2)),
    Login(name="big", role="client", target="10.0.0.10", user="bench", become="sudo", key="~/.ssh/big", cpus="1"),
]


@pytest.mark.parametrize(("text", "name"), [(INI, "hosts.ini"), (YAML, "hosts.yml")])
def test_groups_become_roles(text: str, name: str, inventory: Callable[..., Path]) -> None:
    told: list[str] = []
    assert all_logins(bed_of(inventory(text, name)), tell=told.append) == EXPECTED
    assert told == []


def test_a_dynamic_inventory(inventory: Callable[..., Path]) -> None:
    program = inventory(PROGRAM, "cloud.sh")
    program.chmod(0o755)
    inventory(
        '{"director": {"hosts": ["d"]}, "webs": ["w1", "w2"], "clients": {"hosts": ["c"],'
        ' "vars": {"ansible_port": "22"}}, "_meta": {"hostvars":'
        ' {"w2": {"ansible_host": "fd00::2", "ansible_connection": "paramiko"}}}}',
        "cloud.sh.json",
    )
    found = [(host.name, host.role, host.target, host.port) for host in all_logins(bed_of(program))]
    assert found == [
        ("d", "director", "d", None),
        ("w1", "web", "w1", None),
        ("w2", "web", "fd00::2", None),
        ("c", "client", "c", 22),
    ]


def test_the_testbed_names_groups_and_says_what_the_inventory_does_not(inventory: Callable[[str], Path]) -> None:
    bed = bed_of(
        inventory("[edge]\nd bmt_cpus=1\n[w]\nw1\n[c]\nc1 ansible_user=bench\n"),
        user="root",
        groups={"director": "edge", "web": "w", "client": "c"},
        director={"cpus": "2-3", "front": "eth0"},
        client={"user": "load", "key": "~/.ssh/load"},
    )
    d, w1, c1 = all_logins(bed)
    assert (d.user, d.cpus, d.front) == ("root", "1", "eth0")
    assert (w1.user, w1.cpus) == ("root", "auto")
    assert (c1.user, c1.key) == ("bench", "~/.ssh/load")


def test_the_first_so_many(inventory: Callable[[str], Path]) -> None:
    bed = bed_of(inventory(INI))
    assert [host.name for host in find_logins(bed, webs=2, clients=1)] == ["lb01", "web08", "web09", "client01"]
    with pytest.raises(InputError) as error:
        find_logins(bed, webs=4, clients=9)
    assert error.value.what == "the scenario wants 4 web hosts, the testbed has 3; and 9 clients, the testbed has 3"
    assert error.value.todo == "--set webs=3 --set clients=3, or more hosts"
    with pytest.raises(InputError, match=r"^the scenario wants 4 web hosts, the testbed has 3\n"):
        find_logins(bed, webs=4, clients=3)


def test_passwords_are_neither_read_nor_shown(inventory: Callable[[str], Path]) -> None:
    told: list[str] = []
    secret = "ansible_password=s3cret ansible_become_password=s3cret"
    text = f"[lb]\nlb01 {secret}\n[web]\nweb[1:5] {secret}\n[client]\nc1 ansible_ssh_common_args='-J s3cret'\n"
    found = all_logins(bed_of(inventory(text)), tell=told.append)
    assert len(told) == 3
    assert "ansible_password of lb01, web1, web2 and 3 more is not read: log in with a key or the agent" in told[0]
    assert "ansible_become_password of" in told[1]
    assert "ansible_ssh_common_args of c1 is not read: write ProxyJump" in told[2]
    assert "s3cret" not in f"{found}{told}"


@pytest.mark.parametrize(
    ("text", "groups", "why"),
    [
        ("[lb]\na\n[web]\n[client]\nb\n", {}, ["the group 'web' for the role web is empty"]),
        ("[lb]\na\n[web]\nb\n[client]\nc\n", {"web": "wbe"}, ["no group 'wbe' for the role web; did you mean 'web'?"]),
        ("", {}, ["for the role director", "for the role web", "for the role client", "no group at all"]),
        ("[lb\nx\n", {}, ["Ansible cannot read the inventory: ", "Completely failed to parse inventory source"]),
    ],
)
def test_an_inventory_without_the_roles_is_one_error(
    text: str, groups: dict[str, str], why: list[str], inventory: Callable[[str], Path]
) -> None:
    path = inventory(text)
    with pytest.raises(InputError) as error:
        all_logins(bed_of(path, groups=groups))
    for part in why:
        assert part in error.value.what
    assert str(path) in str(error.value)


def errors_of(groups: dict[str, list[str]], **variables: dict[str, Any]) -> str:
    listing = Listing(source="hosts.ini", groups=groups, variables=variables)
    with pytest.raises(InputError) as error:
        logins_of(listing, Ssh(), Groups(), tell=lambda _: None)
    return error.value.what


@pytest.mark.parametrize(
    ("groups", "why"),
    [
        (
            {"lb": ["a"], "web": ["a", "b"], "client": ["b"]},
            "the host 'a' is in two roles, director and web\nhosts.ini: the host 'b' is in two roles, web and client",
        ),
        (
            {"all": [], "lb": ["a"], "nginx": ["b"], "client": ["c"]},
            "no group for the role web (looked for web, webs, webserver, webservers); there are: client, lb, nginx",
        ),
        ({"lb": ["a", "b"], "web": ["c"], "client": ["d"]}, "a testbed has one director; its group has a, b: name a"),
        ({"lb": ["a"], "web": ["b[1:2]"], "client": ["c"]}, "host b[1:2]: 'b[1:2]' is a range, not a host"),
        ({"lb": ["a"], "web": ["b\nc"], "client": ["c"]}, "host 'b\\nc': host: 'b\\nc' is not a host's name"),
    ],
)
def test_what_is_wrong_with_groups(groups: dict[str, list[str]], why: str) -> None:
    assert errors_of(groups).startswith(f"hosts.ini: {why}")


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"ansible_host": "-oProxyCommand=reboot"}, "ansible_host: address: '-oProxyCommand=reboot' is not an address"),
        ({"ansible_user": "$(reboot)"}, "ansible_user: user: '$(reboot)' is not a user's name"),
        ({"ansible_user": {"__ansible_unsafe": "a b"}}, "ansible_user: user: 'a b' is not a user's name"),
        ({"ansible_user": {"__ansible_vault": "33"}}, "ansible_user: user: expected a text, found a mapping"),
        ({"bmt_cpus": "1;reboot"}, "bmt_cpus: cpus: '1;reboot' is not a list of CPUs"),
        ({"bmt_front": "eth0:0"}, "bmt_front: front: 'eth0:0' is not an interface"),
        ({"ansible_port": "ssh"}, "ansible_port: port: expected a whole number, found the text 'ssh'"),
        ({"ansible_port": 70000}, "ansible_port: port: must be at most 65535"),
        ({"ansible_ssh_private_key_file": "id"}, "ansible_ssh_private_key_file: key: 'id' is not the path of a key"),
        ({"ansible_host": "{{ ip }}"}, "ansible_host: '{{ ip }}' is a template: write the value itself"),
        ({"ansible_host": "10.0.0.[1:2]"}, "'10.0.0.[1:2]' is a range, not a host"),
        ({"ansible_host": "WEB01"}, "reached as 'WEB01', which is 'web01' already"),
        ({"ansible_connection": "local"}, "ansible_connection: 'local'; only hosts reached over SSH can be used"),
        ({"ansible_become": "maybe"}, "ansible_become: expected true or false, found the text 'maybe'"),
        ({"ansible_become": True, "ansible_become_method": "su"}, "ansible_become: su to root; only sudo to root"),
        ({"ansible_become": "yes", "ansible_become_user": "x"}, "ansible_become: sudo to x; only sudo to root"),
    ],
)
def test_what_is_wrong_with_a_host(variables: dict[str, Any], why: str) -> None:
    said = errors_of({"lb": ["lb01"], "web": ["web01"], "client": ["client01"]}, client01=variables)
    assert said.startswith(f"hosts.ini: host client01: {why}")
    assert "\n" not in said


def test_hosts_of_a_program_are_checked_too(inventory: Callable[..., Path]) -> None:
    program = inventory(PROGRAM, "cloud.sh")
    program.chmod(0o755)
    names = ["../../etc", "a;b", "-oProxyCommand=reboot", "$(reboot)"]
    hosts = ", ".join(f'"{name}"' for name in names)
    inventory(f'{{"lb": ["d"], "web": [{hosts}], "client": ["c"], "_meta": {{"hostvars": {{}}}}}}', "cloud.sh.json")
    with pytest.raises(InputError) as error:
        all_logins(bed_of(program))
    assert len(error.value.what.splitlines()) == len(names)


def test_a_program_that_fails_or_never_ends(inventory: Callable[..., Path]) -> None:
    program = inventory("#!/bin/sh\nexit 3\n", "cloud.sh")
    program.chmod(0o755)
    with pytest.raises(InputError, match="Ansible cannot read the inventory") as error:
        all_logins(bed_of(program))
    assert f"ansible-inventory --list --inventory {program}" in error.value.todo
    program.write_text(f'#!/bin/sh\necho "$$" > {program}.pid\nexec sleep 600\n')
    with pytest.raises(InputError, match="no answer within 3 s"):
        read_inventory(str(program), tell=lambda _: None, timeout_s=3)
    pid = int(Path(f"{program}.pid").read_text())
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "the inventory's program was left running"
        time.sleep(0.01)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        all_logins(bed_of(tmp_path / "hosts.ini"))


def test_without_ansible(inventory: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = inventory(INI)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", os.fspath(tmp_path / "python"))
    with pytest.raises(MachineError, match="Ansible is missing") as error:
        all_logins(bed_of(path))
    assert error.value.todo == "pip install ansible-core"
