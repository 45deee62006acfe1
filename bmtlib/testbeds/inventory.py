"""Which hosts a testbed of kind ssh has: its own list, an Ansible inventory, or EnOSlib."""

from __future__ import annotations

from collections.abc import Callable

from bmtlib.errors import InputError
from bmtlib.params.fleet import ORDER, Login, logins
from bmtlib.params.testbed import Testbed
from bmtlib.testbeds.ansible import read_inventory
from bmtlib.testbeds.enoslib import read_enoslib
from bmtlib.testbeds.listing import logins_of

_WORDS = {"director": "directors", "web": "web hosts", "client": "clients"}


def find_logins(
    testbed: Testbed, *, webs: int, clients: int, tell: Callable[[str], None] = lambda _: None
) -> list[Login]:
    """The director, then the first `webs` web hosts, then the first `clients` clients. InputError: there are fewer.

    `tell` gets a line for what the inventory says and nobody reads, and before what takes long.
    """
    found = all_logins(testbed, tell=tell)
    wanted = {"director": 1, "web": webs, "client": clients}
    chosen: list[Login] = []
    short, settings = [], []
    for role in ORDER:
        there = [host for host in found if host.role == role]
        if len(there) < wanted[role]:
            short.append(f"{wanted[role]} {_WORDS[role]}, the testbed has {len(there)}")
            settings.append(f"--set {role}s={len(there)}")
        chosen += there[: wanted[role]]
    if short:
        todo = f"{' '.join(settings)}, or more hosts"
        raise InputError(f"the scenario wants {'; and '.join(short)}", where=_where(testbed), todo=todo)
    return chosen


def all_logins(testbed: Testbed, *, tell: Callable[[str], None] = lambda _: None) -> list[Login]:
    """Every host of the testbed: director, web hosts, clients. Raises InputError, or MachineError without a program."""
    ssh = testbed.ssh
    if ssh.inventory is not None:
        return logins_of(read_inventory(ssh.inventory, tell=tell), ssh, ssh.groups, tell=tell)
    if ssh.enoslib is not None:
        return logins_of(read_enoslib(ssh.enoslib, tell=tell), ssh, ssh.enoslib.roles, tell=tell)
    return logins(ssh)


def _where(testbed: Testbed) -> str:
    return testbed.ssh.inventory or ("testbed ssh.enoslib" if testbed.ssh.enoslib else "testbed ssh")
