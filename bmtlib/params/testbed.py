"""A testbed: which hosts, how they are joined, where they run (params/testbeds/*.yml); and its address plan."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from bmtlib.errors import InputError
from bmtlib.params.cpu_lists import KernelArgument
from bmtlib.params.fleet import Ssh
from bmtlib.params.host_words import CpuList
from bmtlib.params.units import Breach, Params, rules_broken


def _check_network(text: str) -> str:
    try:
        network = IPv4Network(text)
    except (AddressValueError, NetmaskValueError):
        raise ValueError(f"{text!r} is not an IPv4 network such as '172.16.0.0/24'") from None
    except ValueError:
        proper = IPv4Network(text, strict=False)
        raise ValueError(f"{text!r} has host bits set; did you mean '{proper}'?") from None
    if not 8 <= network.prefixlen <= 29:
        raise ValueError(f"{text!r} has a prefix of /{network.prefixlen}; /8 to /29 hold a testbed")
    first = network.network_address.packed[0]
    if first in (0, 127) or first >= 224:
        raise ValueError(f"{text!r} is not a network that hosts can have (loopback, multicast or reserved)")
    return str(network)


def _check_address(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except AddressValueError:
        raise ValueError(f"{text!r} is not an IPv4 address such as '192.168.16.100'") from None


NetworkText = Annotated[str, AfterValidator(_check_network)]
AddressText = Annotated[str, AfterValidator(_check_address)]


def _director(network: IPv4Network) -> IPv4Address:
    return network.network_address + 1


class Network(Params):
    """Front (clients, VIP) and back (web hosts) network. In a lab both are on one Layer-2 segment."""

    vip: AddressText = Field(default="192.168.16.100", description="The service's address, in the front network.")
    front: NetworkText = Field(default="192.168.16.0/24", description="Network of the clients.")
    back: NetworkText = Field(default="172.16.0.0/24", description="Network of the web hosts.")
    port: int = Field(default=80, ge=1, le=65_535, description="TCP port of the service.")


def _network_breaches(network: Network, kind: str) -> Iterator[Breach]:
    """What is wrong with a network in a testbed of this kind. In a fleet, addresses are found and not made."""
    front, back, vip = IPv4Network(network.front), IPv4Network(network.back), IPv4Address(network.vip)
    if front.overlaps(back) and not (kind == "ssh" and front == back):
        yield ("back",), f"{back} overlaps the front network {front}"
    if vip not in front:
        yield ("vip",), f"{vip} is not in the front network {front}"
    elif vip in (front.network_address, front.broadcast_address):
        yield ("vip",), f"{vip} is the network or broadcast address of {front}"
    elif vip == _director(front) and kind != "ssh":
        yield ("vip",), f"{vip} is the director's own address"


class PlacementWish(Params):
    """Which CPUs the roles get."""

    director_cpus: CpuList = Field(
        default="auto",
        description="CPUs of the director: auto, or a list such as '1' or '2-3'. The others take the rest.",
    )


class Vm(Params):
    """The director's virtual machine (testbeds of kind vm)."""

    kernel: str = Field(
        default="auto",
        min_length=1,
        description="auto: this machine's own kernel if it has ip_vs and virtio_net, else the distribution's package, "
        "unpacked into the cache; or the path of a vmlinuz.",
    )
    accel: Literal["auto", "kvm", "tcg"] = Field(
        default="auto", description="kvm: the CPU runs the guest; tcg: QEMU emulates it; auto: kvm if a trial works."
    )
    vcpus: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = Field(
        default="auto", description="Virtual CPUs; auto: the director's CPUs, and at least what the scenario needs."
    )
    memory_mib: int = Field(default=1024, ge=256, le=1_048_576, description="Memory of the guest, MiB.")
    queues: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = Field(
        default="auto", description="Queue pairs of each of its NICs (virtio-net); auto: as many as vCPUs."
    )
    ring: Literal[256, 512, 1024] = Field(default=1024, description="Receive ring of each queue, descriptors.")
    kernel_args: tuple[KernelArgument, ...] = Field(
        default=(),
        strict=False,
        description="Further arguments of the guest's kernel, e.g. [isolcpus=1, nohz_full=1, mitigations=off].",
    )
    conn_tab_bits: int | None = Field(
        default=None, ge=8, le=20, description="Buckets of the IPVS connection table, as a power of two; null: 12."
    )


class Testbed(Params):
    """Where a scenario is measured."""

    __test__ = False  # not a test class, whatever pytest makes of the name

    kind: Literal["netns", "vm", "ssh"] = Field(
        default="netns",
        description="netns: the whole lab in network namespaces of this machine; vm: the same, but the director is a "
        "virtual machine with a kernel of its own; ssh: hosts of yours, reached over SSH.",
    )
    vm: Vm = Field(default=Vm(), description="The virtual machine; for kind vm only.")
    ssh: Ssh = Field(default=Ssh(), description="The hosts; for kind ssh only.")
    network: Network = Field(default=Network(), description="Addresses.")
    placement: PlacementWish = Field(default=PlacementWish(), description="CPUs; not for kind ssh.")
    privilege: Literal["auto", "rootless", "root"] = Field(
        default="auto",
        description="rootless needs no rights; root may more; auto: root when started as root. Not for kind ssh.",
    )

    @field_validator("network")
    @classmethod
    def _network_rules(cls, network: Network, info: ValidationInfo) -> Network:
        if breaches := list(_network_breaches(network, info.data.get("kind", "netns"))):
            raise rules_broken(breaches)
        return network

    @model_validator(mode="after")
    def _rules(self) -> Self:
        breaches: list[Breach] = []
        if self.kind != "vm" and self.vm != Vm():
            breaches.append((("vm",), f"a testbed of kind {self.kind} has no virtual machine; set kind: vm"))
        if self.kind != "ssh" and self.ssh != Ssh():
            breaches.append((("ssh",), f"a testbed of kind {self.kind} makes its own hosts; set kind: ssh"))
        if self.kind == "ssh":
            if not self.ssh.sources:
                why = "a testbed of kind ssh needs hosts: director, web and client; or inventory; or enoslib"
                breaches.append((("ssh",), why))
            if self.placement != PlacementWish():
                breaches.append((("placement",), "CPUs of your own hosts stand in ssh.<role>.cpus"))
            if self.privilege != "auto":
                breaches.append((("privilege",), "how to become root on your own hosts stands in ssh.become"))
        if breaches:
            raise rules_broken(breaches)
        return self


def anchored(testbed: Testbed, folder: Path) -> Testbed:
    """The testbed with the path of its inventory made absolute: from `folder`, where its file is, else from here."""
    if testbed.ssh.inventory is None:
        return testbed
    path = Path(testbed.ssh.inventory).expanduser()
    path = next((base / path for base in (folder.absolute(), Path.cwd()) if (base / path).exists()), Path.cwd() / path)
    return testbed.model_copy(update={"ssh": testbed.ssh.model_copy(update={"inventory": str(path)})})


def address_plan(network: Network, *, clients: int, webs: int) -> dict[str, dict[str, str]]:
    """Addresses of all hosts: name -> {"front": ..., "back": ...}, in the order director, web hosts, clients.

    The director is the first address of both networks. Clients follow it and step around the VIP. Web hosts start at
    .101 as in the seed when there is room, else right behind the director. Raises InputError when there is no room.

    >>> plan = address_plan(Network(), clients=99, webs=2)
    >>> plan["director"], plan["web02"]
    ({'front': '192.168.16.1', 'back': '172.16.0.1'}, {'back': '172.16.0.102'})
    >>> plan["client98"], plan["client99"]
    ({'front': '192.168.16.99'}, {'front': '192.168.16.101'})
    """
    front, back, vip = IPv4Network(network.front), IPv4Network(network.back), IPv4Address(network.vip)
    for name, net, count, taken in (("front", front, clients, "director, VIP"), ("back", back, webs, "director")):
        room = net.num_addresses - 2 - len(taken.split(","))
        if count > room:
            who = "clients" if name == "front" else "web hosts"
            raise InputError(
                f"{count} {who} do not fit into {net}: it has {room} addresses beside {taken}",
                where=f"testbed network.{name}",
                todo=f"fewer {who}, or a larger network (--set testbed.network.{name}=...)",
            )
    start = 101 if back.num_addresses - 1 - 101 >= webs else 2
    places = (address for i in range(clients + 1) if (address := front.network_address + 2 + i) != vip)
    plan = {"director": {"front": str(_director(front)), "back": str(_director(back))}}
    plan |= {f"web{i + 1:02d}": {"back": str(back.network_address + start + i)} for i in range(webs)}
    plan |= {f"client{i + 1:02d}": {"front": str(address)} for i, address in zip(range(clients), places, strict=False)}
    return plan
