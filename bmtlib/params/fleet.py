"""The user's own machines, reached over SSH (testbeds of kind ssh): which hosts, in which role, and how to log in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from bmtlib.params.document import describe
from bmtlib.params.host_range import MOST_HOSTS, expand
from bmtlib.params.host_words import Addresses, CpuList, GroupName, HostNames, Interface, InventoryPath, KeyFile, User
from bmtlib.params.profile import Role
from bmtlib.params.units import Breach, Params, rules_broken

Become = Literal["auto", "sudo", "none"]
Provider = Literal[
    "static",
    "g5k",
    "vmong5k",
    "vagrant",
    "openstack",
    "chameleon",
    "chameleonkvm",
    "fabric",
    "distem",
]
ORDER: tuple[Role, ...] = ("director", "web", "client")  # in which hosts are listed


def _name_alone(value: object) -> object:
    """`web01` among the hosts stands for `{host: web01}`."""
    if isinstance(value, str):
        return {"host": value}
    if not isinstance(value, dict | HostEntry):
        raise ValueError(f"expected a name such as 'web[01:25]', or keys and values, found {describe(value)}")
    return value


class _Way(Params):
    """How to log in. What is left out here is as the level above says, and at last as ~/.ssh/config does."""

    user: User | None = Field(default=None, description="User to log in as; null: as ~/.ssh/config has it.")
    port: int | None = Field(default=None, ge=1, le=65_535, description="Port of sshd; null: as ~/.ssh/config has it.")
    key: KeyFile | None = Field(
        default=None, description="File of the private key; null: the agent, and what ~/.ssh/config names."
    )


class _Place(_Way):
    """How to log in, and what of the host the measurement uses."""

    become: Become | None = Field(
        default=None, description="How to become root: none (the user is root), sudo, or auto; null: as above."
    )
    front: Interface | None = Field(
        default=None, description="Interface in the front network; null: the one with an address in network.front."
    )
    back: Interface | None = Field(
        default=None, description="Interface in the back network; null: the one with an address in network.back."
    )
    cpus: CpuList | None = Field(
        default=None, description="CPUs for the service or the load, such as '2-3'; auto or null: all that it has."
    )


class HostEntry(_Place):
    """A host, or a range of hosts, with what holds for it alone."""

    host: HostNames = Field(
        description="Its name in tables and folders: web01, or a range as Ansible writes them: web[01:25], [a:f], "
        "[0:10:2]."
    )
    address: Addresses | None = Field(
        default=None,
        description="Where it is reached: name, address, or Host of ~/.ssh/config; a range must be as long as that of "
        "host. null: by its name.",
    )

    @model_validator(mode="after")
    def _rules(self) -> Self:
        names, targets = expand(self.host), expand(self.address or self.host)
        if len(names) != len(targets):
            why = f"{self.address!r} and {self.host!r} are not equally long: {len(targets)} and {len(names)}"
            raise rules_broken([(("address",), why)])
        return self

    def each(self) -> Iterator[tuple[str, str]]:
        """Name and target of each host of the range."""
        return zip(expand(self.host), expand(self.address or self.host), strict=True)


class _HostSchema:
    """Tells JSON Schema of `_name_alone`."""

    def __get_pydantic_json_schema__(self, core: object, handler: Callable[[object], dict]) -> dict:
        name = {"type": "string", "pattern": r"^[A-Za-z0-9\[][A-Za-z0-9._:\[\]-]*$"}
        return {"anyOf": [name, handler(core)]}


HostOrName = Annotated[HostEntry, BeforeValidator(_name_alone), _HostSchema()]


class RoleHosts(_Place):
    """The hosts of a role, and what holds for all of them. With an inventory, only the latter."""

    hosts: tuple[HostOrName, ...] = Field(
        default=(), strict=False, description="Names, ranges of names, or keys and values for a host that differs."
    )

    def each(self) -> Iterator[tuple[int, str, HostEntry, str]]:
        """For each host: the index of its entry, its name, the entry, and its target."""
        for i, host in enumerate(self.hosts):
            for name, target in host.each():
                yield i, name, host, target


class Groups(Params):
    """Which group of an inventory is which role."""

    director: GroupName | None = Field(
        default=None, description="Group of the director; null: director, lb, loadbalancer or loadbalancers."
    )
    web: GroupName | None = Field(
        default=None, description="Group of the web hosts; null: web, webs, webserver or webservers."
    )
    client: GroupName | None = Field(default=None, description="Group of the clients; null: client or clients.")


class EnosLib(Params):
    """Machines that EnOSlib reserves or knows. They are not released when a run ends."""

    provider: Provider = Field(description="Which of EnOSlib's providers.")
    config: dict[str, JsonValue] = Field(description="Its configuration, as EnOSlib's documentation describes it.")
    roles: Groups = Field(default=Groups(), description="Which of EnOSlib's roles is which of ours.")


class Ssh(_Way):
    """The hosts of a testbed of kind ssh: by role here, or from an Ansible inventory, or from EnOSlib."""

    become: Become = Field(
        default="auto",
        description="How to become root: none (the user is root), sudo, or auto: sudo for a user who is not root.",
    )
    director: RoleHosts = Field(default=RoleHosts(), description="The load balancer's host: exactly one.")
    web: RoleHosts = Field(default=RoleHosts(), description="The web hosts.")
    client: RoleHosts = Field(default=RoleHosts(), description="The hosts that make the load.")
    inventory: InventoryPath | None = Field(
        default=None,
        description="An Ansible inventory (INI, YAML or a program), instead of hosts: a path from this file's folder, "
        "or from the current one.",
    )
    groups: Groups = Field(default=Groups(), description="Which of the inventory's groups is which role.")
    enoslib: EnosLib | None = Field(default=None, description="A provider of EnOSlib, instead of hosts.")
    clock_limit_ms: float | None = Field(
        default=5.0,
        ge=0.1,
        description="A run is refused when a host's clock is off by more milliseconds than this; null: never.",
    )

    def role(self, role: Role) -> RoleHosts:
        found: RoleHosts = getattr(self, role)
        return found

    @property
    def sources(self) -> list[str]:
        """The keys that say where the hosts come from: one, in a testbed that can be used."""
        by_role = ["hosts of the roles"] if any(self.role(role).hosts for role in ORDER) else []
        return by_role + [key for key in ("inventory", "enoslib") if getattr(self, key) is not None]

    @model_validator(mode="after")
    def _rules(self) -> Self:
        breaches: list[Breach] = []
        if len(self.sources) > 1:
            breaches.append(
                (
                    (self.sources[-1],),
                    f"hosts come from one place, and here are {len(self.sources)}: {', '.join(self.sources)}",
                )
            )
        elif self.sources and not (self.inventory or self.enoslib):
            breaches += self._breaches_of_hosts()
        if self.groups != Groups() and self.inventory is None:
            breaches.append((("groups",), "has no meaning without 'inventory'; EnOSlib's roles stand in enoslib.roles"))
        if breaches:
            raise rules_broken(breaches)
        return self

    def _breaches_of_hosts(self) -> Iterator[Breach]:
        seen: dict[str, str] = {}
        reached: dict[tuple[str, int | None], str] = {}
        for role in ORDER:
            hosts = list(self.role(role).each())
            if not hosts:
                where = (role, "hosts") if role in self.model_fields_set else (role,)
                yield where, "missing; each role needs a host at least"
            elif role == "director" and len(hosts) > 1:
                yield (role, "hosts"), f"a testbed has one director, found {len(hosts)} hosts"
            for i, name, host, target in hosts:
                way = (target.lower(), host.port or self.role(role).port or self.port)
                if name in seen:
                    yield (role, "hosts", i), f"the host {name!r} stands already in {seen[name]}"
                elif way in reached:
                    yield (role, "hosts", i), f"{name!r} is reached as {target!r}, which is {reached[way]!r} already"
                seen.setdefault(name, f"{role}.hosts")
                reached.setdefault(way, name)
        if len(seen) > MOST_HOSTS:
            yield (), f"{len(seen)} hosts; {MOST_HOSTS} at most"


@dataclass(frozen=True, kw_only=True)
class Login:
    """One host of a fleet and the way to it. What is None is left to ~/.ssh/config and its defaults.

    `name` is the host's name in tables and folders; `target` what ssh(1) would be given: a name or an address. `front`
    and `back` are interfaces, None to find them by the testbed's networks; `cpus` a list or "auto" for all it has.
    """

    name: str
    role: Role
    target: str
    user: str | None = None
    port: int | None = None
    key: str | None = None
    become: Become = "auto"
    front: str | None = None
    back: str | None = None
    cpus: str = "auto"


_V = TypeVar("_V")


def login(ssh: Ssh, role: Role, name: str, host: HostEntry, target: str) -> Login:
    """The way to a host: what it says itself, else what its role says, else what holds for all."""
    of_role = ssh.role(role)

    def first(*values: _V | None) -> _V | None:
        return next((value for value in values if value is not None), None)

    return Login(
        name=name,
        role=role,
        target=target,
        user=first(host.user, of_role.user, ssh.user),
        port=first(host.port, of_role.port, ssh.port),
        key=first(host.key, of_role.key, ssh.key),
        become=first(host.become, of_role.become) or ssh.become,
        front=first(host.front, of_role.front),
        back=first(host.back, of_role.back),
        cpus=first(host.cpus, of_role.cpus) or "auto",
    )


def logins(ssh: Ssh) -> list[Login]:
    """The hosts that the testbed names itself: director, web hosts, clients."""
    return [login(ssh, role, name, host, target) for role in ORDER for _, name, host, target in ssh.role(role).each()]
