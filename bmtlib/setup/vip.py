"""The virtual IP: on the director's front interface, and on every web host's loopback, where it must stay silent.

A web host needs the VIP as an address of its own to accept what Direct Server Return forwards, and must not answer ARP
for it. `arp_ignore=1` answers only for addresses of the interface asked; `arp_announce=2` keeps the VIP out of the
sender field of the host's own ARP requests (kernel: Documentation/networking/ip-sysctl.rst). An alias on eth0, as the
seed study had it, is an address of that interface and so still answers.
"""

from __future__ import annotations

from bmtlib.setup.change import Change, command
from bmtlib.setup.sysctl import sysctl_change


def address_change(host: str, vip: str, interface: str) -> Change:
    """The VIP on an interface."""
    return Change(
        host=host,
        what=f"address {vip}/32 on {interface}",
        before=None,
        want=vip,
        do=command("ip", "address", "add", f"{vip}/32", "dev", interface),
        undo=command("ip", "address", "del", f"{vip}/32", "dev", interface),
        check=command("sh", "-c", 'ip -o -4 address show dev "$1" to "$2" | wc -l', "sh", interface, f"{vip}/32"),
        expect="1",
        scope="netns",
        reason="the virtual IP that clients ask",
    )


def director_vip(host: str, vip: str, interface: str, sysctls: dict[str, str]) -> list[Change]:
    """The VIP where clients find it. `sysctls` holds the host's present values of ARP_KEYS.

    A director with two interfaces on one segment would answer ARP on both; arp_ignore=1 leaves one answer.
    """
    arp = sysctl_change(host, "net.ipv4.conf.all.arp_ignore", "1", sysctls, reason="one ARP answer for the VIP")
    return [*arp, address_change(host, vip, interface)]


def web_vip(host: str, vip: str, sysctls: dict[str, str]) -> list[Change]:
    """The VIP on `lo`, after ARP for it was silenced: the other way round, neighbours could learn the wrong MAC."""
    reason = "a web host must not answer ARP for the VIP"
    return [
        *sysctl_change(host, "net.ipv4.conf.all.arp_ignore", "1", sysctls, reason=reason),
        *sysctl_change(host, "net.ipv4.conf.all.arp_announce", "2", sysctls, reason=reason),
        address_change(host, vip, "lo"),
    ]


ARP_KEYS = ("net.ipv4.conf.all.arp_ignore", "net.ipv4.conf.all.arp_announce")
