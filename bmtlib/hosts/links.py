"""A host's network interfaces: driver, speed, queues; read in one round trip."""

from __future__ import annotations

from dataclasses import dataclass

from bmtlib.errors import HostError
from bmtlib.hosts.host import Host

# A card that is down, or a virtual one, refuses to tell its speed; ethtool knows drivers of virtual ones, too.
_SCRIPT = r"""
for i in /sys/class/net/*; do
    [ -e "$i/address" ] || continue
    name=${i##*/}
    driver=$(ethtool -i "$name" 2>/dev/null | sed -n 's/^driver: *//p')
    [ -n "$driver" ] || { driver=$(readlink "$i/device/driver"); driver=${driver##*/}; }
    speed=$(cat "$i/speed" 2>/dev/null); state=$(cat "$i/operstate"); node=$(cat "$i/device/numa_node" 2>/dev/null)
    set -- "$i"/queues/rx-*
    echo "$name ${driver:--} ${speed:--1} ${state:-unknown} ${node:--1} $#"
done
"""


@dataclass(frozen=True, kw_only=True)
class Link:
    """A network interface. `speed_mbit` and `numa_node` None where the kernel does not know; `queues`: receiving."""

    name: str
    driver: str
    speed_mbit: int | None
    up: bool
    numa_node: int | None
    queues: int

    def __str__(self) -> str:
        """`eth0 (ixgbe, 10 Gbit/s, 8 queues, NUMA node 1)`"""
        words = [self.driver]
        if self.speed_mbit is not None:
            words.append(f"{self.speed_mbit / 1000:g} Gbit/s")
        words.append(f"{self.queues} queue{'s' * (self.queues != 1)}")
        if self.numa_node is not None:
            words.append(f"NUMA node {self.numa_node}")
        return f"{self.name} ({', '.join(words)})"


def read_links(host: Host) -> dict[str, Link]:
    """By name. Raises HostError when the host answers in another form."""
    return parse(host.name, host.run(["sh", "-s"], stdin=_SCRIPT).stdout)


def parse(host: str, text: str) -> dict[str, Link]:
    found = {}
    for line in text.splitlines():
        try:
            name, driver, speed, state, node, queues = line.split()
            found[name] = Link(
                name=name,
                driver=driver,
                speed_mbit=int(speed) if int(speed) > 0 else None,
                up=state in ("up", "unknown"),  # a driver without a carrier never says "up"
                numa_node=int(node) if int(node) >= 0 else None,
                queues=int(queues),
            )
        except ValueError as error:
            raise HostError(host, ["links"], 0, f"unexpected line: {line[:200]!r}") from error
    return found
