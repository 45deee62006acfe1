"""Hosts in groups with variables, as Ansible and EnOSlib list them -> the ways to log in, by role."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bmtlib.errors import InputError
from bmtlib.params.check import check
from bmtlib.params.document import Document, closest, describe, raise_errors
from bmtlib.params.fleet import ORDER, Become, Groups, HostEntry, Login, Ssh, login
from bmtlib.params.profile import Role

# Names that people give to such groups, taken where the testbed names none.
_USUAL: dict[Role, tuple[str, ...]] = {
    "director": ("director", "lb", "loadbalancer", "loadbalancers"),
    "web": ("web", "webs", "webserver", "webservers"),
    "client": ("client", "clients"),
}

# Key of a host -> its variables, of which the first that is set counts. Ansible's older names come last.
_VARIABLES = {
    "address": ("ansible_host", "ansible_ssh_host"),
    "user": ("ansible_user", "ansible_ssh_user"),
    "port": ("ansible_port", "ansible_ssh_port"),
    "key": ("ansible_ssh_private_key_file", "ansible_private_key_file"),
    "front": ("bmt_front",),
    "back": ("bmt_back",),
    "cpus": ("bmt_cpus",),
}

# What is left unread, and what to do instead. Values of these are never looked at: they may be passwords.
_UNREAD = {
    "ansible_password": "log in with a key or the agent",
    "ansible_ssh_pass": "log in with a key or the agent",
    "ansible_become_password": "you are asked for sudo's password when it is needed",
    "ansible_become_pass": "you are asked for sudo's password when it is needed",
    "ansible_ssh_common_args": "write ProxyJump and the like into ~/.ssh/config",
    "ansible_ssh_extra_args": "write ProxyJump and the like into ~/.ssh/config",
}

_CONNECTIONS = {"ssh", "smart", "paramiko", "paramiko_ssh"}
_YES, _NO = {"true", "yes", "on", "y", "1"}, {"false", "no", "off", "n", "0"}


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What an inventory holds. `source` names it in errors; `groups` has every host of a group, in its order."""

    source: str
    groups: Mapping[str, Sequence[str]]
    variables: Mapping[str, Mapping[str, Any]]


def logins_of(listing: Listing, ssh: Ssh, groups: Groups, *, tell: Callable[[str], None]) -> list[Login]:
    """The hosts of each role's group: director, web hosts, clients. Raises one InputError with all that is wrong.

    `tell` gets a line for each variable that is not read although it may matter.
    """
    hosts: dict[Role, list[str]] = {}
    errors: list[str] = []
    for role in ORDER:
        try:
            hosts[role] = _of_role(listing, role, getattr(groups, role))
        except InputError as error:
            errors.append(error.what)
    raise_errors(errors)
    if len(hosts["director"]) > 1:
        several = ", ".join(hosts["director"][:4])
        errors.append(f"{listing.source}: a testbed has one director; its group has {several}: name a group of one")
    roles: dict[str, Role] = {}
    for role, names in hosts.items():
        for name in names:
            if roles.setdefault(name, role) != role:
                errors.append(f"{listing.source}: the host {name!r} is in two roles, {roles[name]} and {role}")
    raise_errors(errors)
    found = []
    for name, role in roles.items():
        try:
            found.append(_login(listing, ssh, role, name))
        except InputError as error:
            errors.append(error.what)
    raise_errors([*errors, *_reached_twice(listing, found)])
    for line in _unread(listing, list(roles)):
        tell(line)
    return found


def _of_role(listing: Listing, role: Role, group: str | None) -> list[str]:
    known = [name for name in listing.groups if name not in ("all", "ungrouped")]
    if group is not None and group not in listing.groups:
        raise InputError(f"{listing.source}: no group {group!r} for the role {role}; {closest(group, known)}")
    wanted = [group] if group is not None else [name for name in _USUAL[role] if name in listing.groups]
    if not wanted:
        usual = ", ".join(_USUAL[role])
        there = ", ".join(sorted(known)) or "no group at all"
        raise InputError(f"{listing.source}: no group for the role {role} (looked for {usual}); there are: {there}")
    hosts = list(dict.fromkeys(host for name in wanted for host in listing.groups[name]))
    if not hosts:
        raise InputError(f"{listing.source}: the group {wanted[0]!r} for the role {role} is empty")
    return hosts


def _login(listing: Listing, ssh: Ssh, role: Role, name: str) -> Login:
    place = f"{listing.source}: host {name if name.isprintable() else repr(name)}"
    given = listing.variables.get(name, {})
    data: dict[str, Any] = {"host": name, "become": _become(given, place)}
    places: dict[tuple[str | int, ...], str] = {(): place}
    connection = str(_plain(given.get("ansible_connection", "ssh")))
    if connection.rpartition(".")[2] not in _CONNECTIONS:
        raise InputError(f"{place}: ansible_connection: {connection!r}; only hosts reached over SSH can be used")
    for key, variables in _VARIABLES.items():
        variable = next((variable for variable in variables if given.get(variable) is not None), None)
        if variable is None:
            continue
        value = _plain(given[variable])
        if isinstance(value, str) and "{{" in value:
            raise InputError(f"{place}: {variable}: {value!r} is a template: write the value itself")
        data[key] = int(value) if key == "port" and isinstance(value, str) and value.isdecimal() else value
        places[key,] = f"{place}: {variable}"
    if ranges := [text for text in (name, data.get("address")) if isinstance(text, str) and "[" in text]:
        raise InputError(f"{place}: {ranges[0]!r} is a range, not a host")
    entry, errors = check(Document(data=data, places=places, written={}), HostEntry)
    raise_errors(errors)
    assert entry is not None
    return login(ssh, role, name, entry, data.get("address", name))


def _plain(value: object) -> object:
    """A text that Ansible marks as not to be filled in, without the mark."""
    return value.get("__ansible_unsafe", value) if isinstance(value, dict) else value


def _become(given: Mapping[str, Any], place: str) -> Become | None:
    wish = _plain(given.get("ansible_become"))
    if wish is None or (word := str(wish).lower()) in _NO:
        return None if wish is None else "none"
    method = str(_plain(given.get("ansible_become_method", "sudo"))).rpartition(".")[2]
    user = _plain(given.get("ansible_become_user", "root"))
    if word not in _YES:
        raise InputError(f"{place}: ansible_become: expected true or false, found {describe(wish)}")
    if (method, user) != ("sudo", "root"):
        raise InputError(f"{place}: ansible_become: {method} to {user}; only sudo to root can be used")
    return "sudo"


def _reached_twice(listing: Listing, found: Sequence[Login]) -> Iterator[str]:
    reached: dict[tuple[str, int | None], str] = {}
    for host in found:
        first = reached.setdefault((host.target.lower(), host.port), host.name)
        if first != host.name:
            yield f"{listing.source}: host {host.name}: reached as {host.target!r}, which is {first!r} already"


def _unread(listing: Listing, names: Sequence[str]) -> Iterator[str]:
    for variable, todo in _UNREAD.items():
        having = [name for name in names if variable in listing.variables.get(name, {})]
        if having:
            more = f" and {len(having) - 3} more" if len(having) > 3 else ""
            yield f"{listing.source}: {variable} of {', '.join(having[:3])}{more} is not read: {todo}"
