"""What a host is and has, read in one round trip before anything is changed."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from bmtlib.errors import HostError
from bmtlib.hosts.host import Host
from bmtlib.setup.sysctl import Setting, parse_probe, probe
from bmtlib.setup.vip import ARP_KEYS

_SCRIPT = """\
read -r kernel < /proc/sys/kernel/osrelease; echo "kernel $kernel"
echo "nofile $(ulimit -Hn)"
[ -e /proc/net/ip_vs ] && ipvsadm -Ln >/dev/null 2>&1 && echo "ip_vs yes" || echo "ip_vs no"
ip -o -4 address | while read -r _ name _ address _; do echo "address $name $address"; done
for i in /sys/class/net/*; do [ -e "$i/address" ] && read -r mac < "$i/address" && echo "mac ${i##*/} $mac"; done
for f in /etc/nginx/nginx.conf /etc/haproxy/haproxy.cfg; do [ -r $f ] && echo "file $f $(base64 -w 0 $f)"; done
true
"""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One host before any change.

    `nofile`: hard limit of open files; `ip_vs`: LVS is there and may be driven, which only the machine's root may;
    `macs` by interface; `addresses`: those that interfaces have, as "lo 127.0.0.1/8"; `settings` by sysctl key.
    """

    host: str
    kernel: str
    nofile: int
    ip_vs: bool
    macs: dict[str, str]
    addresses: tuple[str, ...]
    nginx_conf: str | None
    haproxy_cfg: str | None
    settings: dict[str, Setting]

    def sysctls(self) -> dict[str, str]:
        """Present values by key; absent keys are left out."""
        return {key: setting.value for key, setting in self.settings.items() if setting.value is not None}


def gather(host: Host, keys: Iterable[str]) -> Facts:
    """Facts of `host`, with the present value of each sysctl in `keys` and of those that every host needs."""
    words: dict[str, str] = {}
    macs: dict[str, str] = {}
    addresses: set[str] = set()
    files: dict[str, str] = {}
    for line in host.run(["sh", "-s"], stdin=_SCRIPT).stdout.splitlines():
        key, _, value = line.partition(" ")
        if key == "file":  # in base64: undo writes it back byte for byte
            path, _, content = value.partition(" ")
            files[path] = base64.b64decode(content).decode(errors="replace")
        elif key == "address":
            addresses.add(value)
        elif key == "mac":
            interface, _, mac = value.partition(" ")
            if mac:  # a tun device has none
                macs[interface] = mac
        else:
            words[key] = value
    try:
        nofile = 1_048_576 if words["nofile"] == "unlimited" else int(words["nofile"])
        kernel, ip_vs = words["kernel"], words["ip_vs"] == "yes"
    except (KeyError, ValueError) as error:
        raise HostError(host.name, ["facts"], 0, f"unexpected answer: {words}") from error
    wanted = probe(dict.fromkeys([*ARP_KEYS, *keys]))
    return Facts(
        host=host.name,
        kernel=kernel,
        nofile=nofile,
        ip_vs=ip_vs,
        macs=macs,
        addresses=tuple(sorted(addresses)),
        nginx_conf=files.get("/etc/nginx/nginx.conf"),
        haproxy_cfg=files.get("/etc/haproxy/haproxy.cfg"),
        settings=parse_probe(host.run(wanted.argv).stdout),
    )
