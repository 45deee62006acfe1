"""Whether the user's hosts are joined as Direct Server Return needs it: asked of them before anything is changed.

LVS and nftables rewrite the MAC address of a packet and nothing else, so a web host must be on the director's own
Layer-2 segment; and its answers must not come back through the director.
"""

from __future__ import annotations

from bmtlib.errors import MachineError
from bmtlib.hosts.every import every, good
from bmtlib.hosts.host import Host
from bmtlib.parsers import arping
from bmtlib.testbeds.bed import Bed

_ARP_S = "0.4"
# $1 address. The gateway on the way to it, or nothing.
_GATEWAY = 'ip -4 route get "$1" | sed -n "s/.* via \\([0-9.]*\\) .*/\\1/p"'
# $1 interface, $2 address.
_ARP = f'timeout --signal=INT {_ARP_S} arping -b -I "$1" "$2"; true'


def check_segment(bed: Bed, vip: str) -> None:
    """MachineError with all that is wrong: web hosts behind a router, a VIP that is taken, answers by the director."""
    director, clients = bed.director, bed.role("client")
    webs = bed.role("web")
    problems = [
        f"{web.name} ({web.addresses['back']}) is on another Layer-2 segment: {director.name} reaches it by way of "
        f"{gateway}. LVS rewrites MAC addresses (l2dsr), which no router passes on"
        for web in webs
        if (gateway := _gateway(director, web.addresses["back"]))
    ]
    back = director.addresses["back"]
    ways = good(every(webs, lambda web: _gateway(web, clients[0].addresses["front"])))
    problems += [
        f"{name} sends its answers to {clients[0].name} by way of {gateway}, the director: they are not direct then"
        for name, gateway in ways.items()
        if gateway == back
    ]
    if (taken := _who_has(clients[0], vip)) and taken - _macs(director):
        problems.append(f"the VIP {vip} is in use already: {', '.join(sorted(taken))} answers for it")
    if problems:
        raise MachineError(
            "the testbed's network does not fit:\n    " + "\n    ".join(problems),
            where="testbed network",
            todo="web hosts in the director's segment, with a way to the clients of their own; a VIP that is free",
        )


def _gateway(host: Host, address: str) -> str:
    return host.run(["sh", "-c", _GATEWAY, "sh", address], check=False).stdout.strip()


def _who_has(host: Host, address: str) -> set[str]:
    """MAC addresses that answer for `address` in the host's front network; none where arping is not there yet."""
    said = host.run(["sh", "-c", _ARP, "sh", host.interfaces["front"], address], check=False)
    if "Unicast reply" not in said.stdout:
        return set()
    return {row["mac"].lower() for row in arping.parse(said.stdout)}


def _macs(host: Host) -> set[str]:
    names = sorted(set(host.interfaces.values()))
    said = host.run(["sh", "-c", 'for i in "$@"; do cat "/sys/class/net/$i/address"; done', "sh", *names])
    return set(said.stdout.lower().split())
