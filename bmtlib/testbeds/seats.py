"""Where each of the user's hosts sits: which interface is in which network, and which CPUs it may use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from bmtlib.cpus import parse_list, to_list
from bmtlib.errors import InputError
from bmtlib.hosts.identity import Identity
from bmtlib.params.fleet import Login
from bmtlib.params.testbed import Network

# The side on which a host must be; it reaches the other through the one that it has.
_NEEDED = {"director": ("front", "back"), "web": ("back",), "client": ("front",)}


@dataclass(frozen=True, kw_only=True)
class Seat:
    """`interfaces` by network, both named; `addresses` only where the host has one."""

    interfaces: dict[str, str]
    addresses: dict[str, str]
    cpus: frozenset[int]


def seats(network: Network, logins: Sequence[Login], identities: Mapping[str, Identity]) -> dict[str, Seat]:
    """By host name. InputError lists every host that cannot sit where its role has to, or that is there twice."""
    problems: list[str] = []
    found: dict[str, Seat] = {}
    met: dict[tuple[str, str], str] = {}
    for login in logins:
        identity = identities[login.name]
        twin = met.setdefault((identity.boot, identity.netns), login.name)
        if twin != login.name:
            problems.append(f"{login.name} and {twin} are one and the same host")
        try:
            found[login.name] = _seat(network, login, identity)
        except ValueError as error:
            problems.append(f"{login.name}: {error}")
    if problems:
        raise InputError(
            "the testbed's hosts are not as it says:\n    " + "\n    ".join(problems),
            where="testbed ssh",
            todo="`front` and `back` name interfaces; network.front and network.back are to be as the hosts have them",
        )
    return found


def _seat(network: Network, login: Login, identity: Identity) -> Seat:
    sides: dict[str, tuple[str, str]] = {}
    for side, wish, net in (("front", login.front, network.front), ("back", login.back, network.back)):
        if (pair := _interface(wish, IPv4Network(net), IPv4Address(network.vip), identity)) is not None:
            sides[side] = pair
        elif side in _NEEDED[login.role]:
            has = ", ".join(f"{name} {' '.join(them)}" for name, them in identity.addresses.items())
            raise ValueError(f"no interface has an address in the {side} network {net}; it has {has or 'none'}")
    only = next(iter(sides.values()))[0]
    cpus = identity.cpus if login.cpus == "auto" else parse_list(login.cpus)
    if missing := cpus - identity.cpus:
        raise ValueError(f"it has no CPU {to_list(missing)}, but {to_list(identity.cpus)}")
    return Seat(
        interfaces={side: sides[side][0] if side in sides else only for side in ("front", "back")},
        addresses={side: address for side, (_, address) in sides.items()},
        cpus=cpus,
    )


def _interface(wish: str | None, net: IPv4Network, vip: IPv4Address, identity: Identity) -> tuple[str, str] | None:
    """The interface in a network, and its address there; the VIP, where it is set already, is not its own."""
    if wish is not None and wish not in identity.interfaces:
        raise ValueError(f"it has no interface {wish}, but {', '.join(identity.interfaces)}")
    for name, addresses in identity.addresses.items():
        for address in addresses:
            if name != "lo" and wish in (None, name) and IPv4Address(address) in net and IPv4Address(address) != vip:
                return name, address
    if wish is not None:
        raise ValueError(f"its interface {wish} has no address in {net}")
    return None
