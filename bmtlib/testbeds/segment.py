"""Whether the user's hosts are joined as Direct Server Return needs it: asked of them before anything is changed.

LVS and nftables rewrite the MAC address of a packet and nothing else, so a web host must be on the director's own
Layer-2 segment; and its answers must not come back through the director.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from bmtlib.errors import MachineError
from bmtlib.hosts.every import every, good
from bmtlib.hosts.host import Host
from bmtlib.parsers import arping
from bmtlib.testbeds.bed import Bed

_ARP_S = "0.4"
# $1 address. The gateway on the way to it, or nothing.
_GATEWAY = 'ip -4 route get "$1" | sed -n "s/.* via \\([0-9.]*\\) .*/\\1/p"'
# $1 interface, then addresses. What the kernel has learned of each: a datagram to it makes the kernel ask (bash(1)).
_NEIGHBOURS = """\
command -v bash >/dev/null || exit 0
bash -c 'shift; for it; do echo > "/dev/udp/$it/9"; done' bash "$@" 2>/dev/null
name=$1; shift; i=0
for it; do
  until said=$(ip -4 neigh show to "$it" dev "$name"); case $said in *lladdr*) ;; *) [ $i -ge 20 ];; esac; do
    sleep 0.05; i=$((i+1))
  done
  echo "$it $said"
done
"""
# $1 interface, $2 address.
_ARP = f'timeout --signal=INT {_ARP_S} arping -b -I "$1" "$2"; true'


def check_segment(bed: Bed, vip: str, *, kinds: Collection[str] = ("l2dsr",)) -> None:
    """MachineError with all that is wrong: web hosts behind a router, a VIP that is taken, answers by the director.

    `kinds` of arms: only Direct Server Return wants more than a free VIP, and only that on Layer 2 one segment.
    """
    director, clients = bed.director, bed.role("client")
    webs = bed.role("web") if {"l2dsr", "l3dsr"} & set(kinds) else []
    neighbours = webs if "l2dsr" in kinds else []
    behind = {web.name: gateway for web in neighbours if (gateway := _gateway(director, web.addresses["back"]))}
    problems = [
        f"{web.name} ({web.addresses['back']}) is on another Layer-2 segment: {director.name} reaches it by way of "
        f"{behind[web.name]}. LVS rewrites MAC addresses (l2dsr), which no router passes on"
        for web in neighbours
        if web.name in behind
    ]
    problems += _strangers(director, [web for web in neighbours if web.name not in behind])
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


def _strangers(director: Host, webs: Sequence[Host]) -> Iterator[str]:
    """Web hosts for which another MAC address answers than their own: of a router (proxy ARP), of a cloud's network."""
    if not webs:
        return
    words = [director.interfaces["back"], *(web.addresses["back"] for web in webs)]
    lines = director.run(["sh", "-c", _NEIGHBOURS, "sh", *words]).stdout.splitlines()
    met = {line.partition(" ")[0]: line for line in lines}
    for web, own in zip(webs, good(every(webs, _macs)).values(), strict=True):
        said = met.get(web.addresses["back"], "")
        where = f"{web.name} ({web.addresses['back']}), asked by ARP on {words[0]} of {director.name},"
        if found := re.search(r" lladdr (\S+)", said):
            if found[1].lower() not in own:
                yield (
                    f"{where} is {found[1]}, which is none of its own addresses ({', '.join(sorted(own))}): "
                    "they are not on one Layer-2 segment"
                )
        elif re.search("FAILED|INCOMPLETE", said):
            yield f"{where} does not answer"


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
