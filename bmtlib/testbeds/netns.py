"""The lab: every host a set of namespaces, one bridge as the L2 segment, all in one sandbox without root or a way out.

    client01..  192.168.16.0/24 (front)  --+
    director    eth0 front + VIP         --+-- bridge
                eth1 172.16.0.0/24 (back)--+
    web01..     172.16.0.101..           --+

Clients and web hosts have on-link routes to each other's network: the way back of Direct Server Return, and the way
of the `direct` arm. What a veth delivers is processed on the CPU of its sender unless RPS moves it, so each host's RPS
mask is set to its CPUs: the busy time of the director's CPUs then is the director's cost.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from bmtlib.cpus import to_mask
from bmtlib.hosts.host import Host, each
from bmtlib.hosts.netns import NetnsHost, Sandbox
from bmtlib.params.testbed import Network, address_plan
from bmtlib.testbeds.bed import Bed
from bmtlib.testbeds.placement import Placement

# The kernel's neighbour table is one for all namespaces and holds 1024 entries by default (gc_thresh3, arp(7)); only
# permanent entries do not count. Above this many web x client pairs the lab sets the web hosts' entries itself.
_NEIGHBOURS_LEARNED = 600

# Runs as PID 1 of a host. It stays a shell, for a shell reaps the orphans of daemons while it waits.
_HOST = """\
overlay() { mount -t overlay bmt-etc -o "lowerdir=/run/bmt-lab/etc,upperdir=$1/up,workdir=$1/work$2" /etc 2>/dev/null; }
fail() { echo "$1 failed $2" >&3; exit 1; }
read -r pid _ < /proc/self/stat  # still the sandbox's /proc: the number by which the sandbox knows this host
d=/run/bmt-lab/hosts/$1; mkdir -p "$d/up" "$d/work"
overlay "$d" ,userxattr || overlay "$d" "" || fail "$1" "overlay on /etc"
hostname "$1" && echo "$1" > /etc/hostname || fail "$1" hostname
echo "$2" > /proc/sys/net/core/rps_default_mask 2>/dev/null
mount -t proc bmt-proc /proc && mount -t sysfs bmt-sys /sys && mount -t tmpfs bmt-tmp /tmp &&
  mount -t tmpfs bmt-log /var/log && mount -t tmpfs -o mode=755 bmt-run /run && mkdir -p /run/bmt || fail "$1" mounts
cd / && echo "$1 $pid" >&3
exec 3>&-
sleep infinity & wait
"""

_START = """\
mkfifo /run/bmt-lab/up && exec 3<>/run/bmt-lab/up || exit 1
cat > /run/bmt-lab/host.sh <<'END_OF_HOST'
{host}END_OF_HOST
echo {other_mask} > /proc/sys/net/core/rps_default_mask 2>/dev/null
start() {{
  unshare --net --mount --uts --pid --fork --kill-child sh /run/bmt-lab/host.sh "$@" </dev/null >/dev/null 2>&1 &
}}
ip link add name br0 type bridge stp_state 0 mcast_snooping 0 forward_delay 0 && ip link set br0 up || exit 1
{starts}
i=0
while [ $i -lt {count} ]; do
  read -r name pid why <&3
  [ "$pid" != failed ] || {{ echo "$name: $why" >&2; exit 1; }}
  echo "$name $pid"; i=$((i+1))
done
"""

# Give the queues their masks where the kernel has no rps_default_mask (before 6.3): only real root may, so read back.
_RPS = """\
ok=yes
for f in /sys/class/net/*/queues/rx-*/rps_cpus; do
  case $f in */net/lo/*) continue;; esac
  [ "$(sed 's/^[0,]*//' $f)" = {mask} ] || echo {mask} > $f 2>/dev/null || ok=no
done
echo rps $ok
"""


def mac_of(address: str) -> str:
    """A MAC that shows its address: 192.168.16.2 -> 02:00:c0:a8:10:02."""
    return "02:00:" + ":".join(f"{int(part):02x}" for part in address.split("."))


@dataclass(frozen=True, kw_only=True)
class _Link:
    host: str
    side: str  # "front" or "back"
    port: str  # name of the bridge's end
    interface: str
    address: str


class Lab(Bed):
    """A running lab; the end of this process removes it, too. Raises MachineError when the kernel refuses."""

    fidelity = "namespace"

    def __init__(self, network: Network, *, webs: int, clients: int, placement: Placement, rootless: bool) -> None:
        self.network, self.placement, self.rootless = network, placement, rootless
        self.hosts: dict[str, Host] = {}
        self.sandbox = Sandbox(rootless=rootless)
        try:
            self._build(address_plan(network, clients=clients, webs=webs))
        except BaseException:
            self.close()
            raise

    def _build(self, plan: dict[str, dict[str, str]]) -> None:
        pids = self._start_hosts(list(plan))
        links = [
            _Link(host=name, side=side, port=f"{name}-{side[0]}", interface=f"eth{i}", address=sides[side])
            for name, sides in plan.items()
            for i, side in enumerate(side for side in ("front", "back") if side in sides)
        ]
        batch = []
        for link in links:
            mac = mac_of(link.address)
            batch.append(
                f"link add name {link.port} type veth peer name {link.interface} address {mac} netns {pids[link.host]}"
            )
            batch.append(f"link set {link.port} master br0 up")
        self.sandbox.run("ip -batch - <<'END'\n" + "\n".join(batch) + "\nEND\n")
        outer = self.sandbox.outer_pids()
        for name, sides in plan.items():
            interfaces = {link.side: link.interface for link in links if link.host == name}
            only = next(iter(interfaces.values()))
            role = name.rstrip("0123456789")
            self.hosts[name] = NetnsHost(
                name=name,
                role=role,
                machine="lab",
                namespace=True,
                addresses=dict(sides),
                # A host with one interface reaches both networks through it.
                interfaces={side: interfaces.get(side, only) for side in ("front", "back")},
                cpus=self.placement.of(role),
                machine_cpus=self.placement.director | self.placement.others,
                pid=outer[pids[name]],
                rootless=self.rootless,
            )
        said = each(
            self.hosts.values(), lambda host: self._configure(host, [li for li in links if li.host == host.name])
        )
        self.rps = all(said.values())

    def _start_hosts(self, names: list[str]) -> dict[str, int]:
        """Process id (inside the sandbox) of the process that holds each host's namespaces."""
        starts = []
        for name in names:
            mask = to_mask(self.placement.of(name.rstrip("0123456789")))
            starts.append(f"start {shlex.quote(name)} {mask}")
        script = _START.format(
            host=_HOST, starts="\n".join(starts), count=len(names), other_mask=to_mask(self.placement.others)
        )
        lines = self.sandbox.run(script).splitlines()
        return {name: int(pid) for name, pid in (line.split() for line in lines)}

    def _configure(self, host: Host, links: list[_Link]) -> bool:
        """Addresses and routes of one host; True when its receive processing runs on its own CPUs."""
        net = self.network
        batch = ["link set lo up"]
        for link in links:
            prefix = (net.front if link.side == "front" else net.back).partition("/")[2]
            batch += [f"address add {link.address}/{prefix} dev {link.interface}", f"link set {link.interface} up"]
        if host.role == "client":
            batch.append(f"route add {net.back} dev eth0")
        if host.role == "web":
            batch.append(f"route add {net.front} dev eth0")
            clients = [other.addresses["front"] for other in self.hosts.values() if other.role == "client"]
            webs = sum(other.role == "web" for other in self.hosts.values())
            if webs * len(clients) > _NEIGHBOURS_LEARNED:
                batch += [f"neigh add {address} lladdr {mac_of(address)} dev eth0 nud permanent" for address in clients]
        rps = _RPS.format(mask=to_mask(host.cpus).lstrip("0,"))
        result = host.run(["sh", "-s"], stdin="ip -batch - <<'END' || exit 1\n" + "\n".join(batch) + f"\nEND\n{rps}")
        return result.stdout.split()[-2:] == ["rps", "yes"]

    def observer_cpus(self, host: Host) -> frozenset[int] | None:
        """Where to run what looks at `host`: off the director's CPUs, unless that is a machine of its own."""
        return self.placement.others if host is self.director and host.namespace else None

    def close(self) -> None:
        self.sandbox.close()
