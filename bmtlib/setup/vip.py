"""The virtual IP: on the director's front interface, and on every web host's loopback, where it must stay silent.

A web host needs the VIP as an address of its own to accept what Direct Server Return forwards, and must not answer ARP
for it. `arp_ignore=1` answers only for addresses of the interface asked; `arp_announce=2` keeps the VIP out of the
sender field of the host's own ARP requests (kernel: Documentation/networking/ip-sysctl.rst). An alias on eth0, as the
seed study had it, is an address of that interface and so still answers.
"""

from __future__ import annotations

from collections.abc import Collection

from bmtlib.setup.change import Change, command
from bmtlib.setup.made import made
from bmtlib.setup.sysctl import sysctl_change

# $1 interface, $2 address with its prefix. Without the interface there is no address either.
_LOOK = '[ ! -e "/sys/class/net/$1" ] || ip -o -4 address show dev "$1" to "$2"'


def address_change(host: str, vip: str, interface: str) -> Change:
    """The VIP on an interface."""
    what = f"address {vip}/32 on {interface}"
    do, undo = made(
        what,
        (interface, f"{vip}/32"),
        look=_LOOK,
        make='ip address add "$2" dev "$1"',
        remove='ip address del "$2" dev "$1"',
    )
    return Change(
        host=host,
        what=what,
        before=None,
        want=vip,
        do=do,
        undo=undo,
        check=command("sh", "-c", 'ip -o -4 address show dev "$1" to "$2" | wc -l', "sh", interface, f"{vip}/32"),
        expect="1",
        scope="netns",
        reason="the virtual IP that clients ask",
    )


def _address(host: str, vip: str, interface: str, present: Collection[str]) -> list[Change]:
    return [] if f"{interface} {vip}/32" in present else [address_change(host, vip, interface)]


def director_vip(
    host: str, vip: str, interface: str, sysctls: dict[str, str], *, present: Collection[str] = ()
) -> list[Change]:
    """The VIP where clients find it. `sysctls` holds the host's present values of ARP_KEYS.

    `present`: addresses that the host has already, as "eth0 192.168.16.100/32".

    A director with two interfaces on one segment would answer ARP on both; arp_ignore=1 leaves one answer.
    """
    arp = sysctl_change(host, "net.ipv4.conf.all.arp_ignore", "1", sysctls, reason="one ARP answer for the VIP")
    return [*arp, *_address(host, vip, interface, present)]


def web_vip(host: str, vip: str, sysctls: dict[str, str], *, present: Collection[str] = ()) -> list[Change]:
    """The VIP on `lo`, after ARP for it was silenced: the other way round, neighbours could learn the wrong MAC.

    `sysctls` and `present` as for `director_vip`. The VIP on another interface, as an alias, is not touched.
    """
    reason = "a web host must not answer ARP for the VIP"
    return [
        *sysctl_change(host, "net.ipv4.conf.all.arp_ignore", "1", sysctls, reason=reason),
        *sysctl_change(host, "net.ipv4.conf.all.arp_announce", "2", sysctls, reason=reason),
        *_address(host, vip, "lo", present),
    ]


ARP_KEYS = ("net.ipv4.conf.all.arp_ignore", "net.ipv4.conf.all.arp_announce")
