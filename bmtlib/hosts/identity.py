"""Who a host is: its kernel, network namespace, CPUs, addresses; read in one round trip once it is reached."""

from __future__ import annotations

from dataclasses import dataclass

from bmtlib.cpus import parse_list
from bmtlib.errors import HostError
from bmtlib.hosts.host import Host

# systemd-detect-virt knows most; without it, a hypervisor shows in the flags of the CPU.
_SCRIPT = """\
read -r boot < /proc/sys/kernel/random/boot_id; echo "boot $boot"
echo "netns $(readlink /proc/self/ns/net)"
read -r cpus < /sys/devices/system/cpu/online; echo "cpus $cpus"
virt=$(systemd-detect-virt --vm 2>/dev/null) || virt=${virt:-none}
[ "$virt" != none ] || ! grep -qsw hypervisor /proc/cpuinfo || virt=hypervisor
echo "virt $virt"
! grep -qsz '^container=' /proc/1/environ || echo "container yes" # as systemd, LXC, podman and docker tell it
ip -o -4 address | while read -r _ name _ address _; do echo "address $name $address"; done
for i in /sys/class/net/*; do echo "interface ${i##*/}"; done
"""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """`boot` is the same for all that share a kernel, `netns` for all that share a network as well.

    `container`: it shares its kernel, whether or not the others are ours. `virtual`: it is a virtual machine.
    `addresses`: interface -> its IPv4 addresses, without prefix.
    """

    boot: str
    netns: str
    cpus: frozenset[int]
    virtual: bool
    container: bool
    interfaces: tuple[str, ...]
    addresses: dict[str, list[str]]


def identify(host: Host) -> Identity:
    """HostError when the answer is not of the expected form."""
    words: dict[str, str] = {}
    interfaces: list[str] = []
    addresses: dict[str, list[str]] = {}
    for line in host.run(["sh", "-s"], stdin=_SCRIPT).stdout.splitlines():
        key, _, value = line.partition(" ")
        if key == "address":
            name, _, address = value.partition(" ")
            addresses.setdefault(name, []).append(address.partition("/")[0])
        elif key == "interface":
            interfaces.append(value)
        else:
            words[key] = value
    try:
        return Identity(
            boot=words["boot"],
            netns=words["netns"],
            cpus=parse_list(words["cpus"]),
            virtual=words["virt"] != "none",
            container="container" in words,
            interfaces=tuple(interfaces),
            addresses=addresses,
        )
    except (KeyError, ValueError) as error:
        raise HostError(host.name, ["identity"], 0, f"unexpected answer: {words}") from error
