"""Hosts from EnOSlib's Static provider, for real. It is an extra of its own: pip install -e '.[enoslib]'."""

from __future__ import annotations

import sys
from copy import deepcopy
from typing import Any

import pytest

from bmtlib.errors import InputError, MachineError
from bmtlib.params.fleet import Login
from bmtlib.params.testbed import Testbed
from bmtlib.testbeds.inventory import all_logins, find_logins

CONFIG: dict[str, Any] = {
    "resources": {
        "machines": [
            {"roles": ["lb"], "address": "192.0.2.1", "alias": "lb01", "user": "root", "extra": {"bmt_cpus": "2-3"}},
            *({"roles": ["nginx"], "address": f"192.0.2.{10 + n}", "alias": f"web{n}"} for n in (10, 9, 1)),
            {"roles": ["load", "spare"], "address": "client01", "port": 2222, "keyfile": "/keys/id"},
        ],
        "networks": [],
    }
}


def bed_of(config: dict[str, Any], **ssh: Any) -> Testbed:
    roles = {"director": "lb", "web": "nginx", "client": "load"}
    enoslib = {"provider": "static", "config": config, "roles": roles}
    return Testbed.model_validate({"kind": "ssh", "ssh": {"enoslib": enoslib, **ssh}})


@pytest.fixture
def _enoslib() -> None:
    pytest.importorskip("enoslib", reason="EnOSlib is not installed: pip install -e '.[enoslib]' in another venv")


@pytest.mark.usefixtures("_enoslib")
class TestStatic:
    def test_its_roles_become_ours(self) -> None:
        found = all_logins(bed_of(CONFIG, user="admin", web={"back": "eth1"}))
        assert found == [
            Login(name="lb01", role="director", target="192.0.2.1", user="root", cpus="2-3"),
            *(
                Login(name=f"web{n}", role="web", target=f"192.0.2.{10 + n}", user="admin", back="eth1")
                for n in (1, 9, 10)
            ),
            Login(name="client01", role="client", target="client01", user="admin", port=2222, key="/keys/id"),
        ]
        assert [host.name for host in find_logins(bed_of(CONFIG), webs=2, clients=1)][1:3] == ["web1", "web9"]

    @pytest.mark.parametrize(
        ("key", "value", "why"),
        [
            ("address", "-oProxyCommand=reboot", "host lb01: ansible_host: address: '-oProxyCommand=reboot' is not an"),
            ("user", "$(reboot)", "host lb01: ansible_user: user: '$(reboot)' is not a user's name"),
            ("alias", "../../etc", "host ../../etc: host: '../../etc' is not a host's name"),
            ("roles", ["nginx"], "no group 'lb' for the role director"),
            ("port", "ssh", "resources.machines[0].port: 'ssh' is not of type 'number'"),
        ],
    )
    def test_what_is_wrong_is_one_error(self, key: str, value: object, why: str) -> None:
        config = deepcopy(CONFIG)
        config["resources"]["machines"][0][key] = value
        with pytest.raises(InputError) as error:
            all_logins(bed_of(config))
        assert why in error.value.what

    def test_a_configuration_that_is_none(self) -> None:
        with pytest.raises(InputError, match=r"EnOSlib does not take this configuration: .*'resources' is a required"):
            all_logins(bed_of({"machines": []}))


def test_without_enoslib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "enoslib", None)  # what an import finds where it is absent
    with pytest.raises(MachineError, match="EnOSlib cannot be imported") as error:
        all_logins(bed_of(CONFIG))
    assert error.value.todo == "pip install 'bmtlib[enoslib]'"
