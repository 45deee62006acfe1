"""The arms that LVS drives: the director's virtual service (ipvsadm(8)), and what web hosts need for it.

How packets go: l2dsr by Direct Routing (-g), l3dsr in an IPIP tunnel (-i), nat by rewriting addresses (-m).
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network

from bmtlib.params.arms import AnyLvsArm, LvsTimeouts
from bmtlib.parsers.ipvsadm import TimeoutsRow
from bmtlib.setup.change import Change, command
from bmtlib.setup.made import made
from bmtlib.setup.sysctl import file_of, new_key_change, read_key, restore_keys, sysctl_change, write_keys
from bmtlib.setup.vip import address_change

# Arm's kind -> ipvsadm's letter, and what it is called.
FORWARD = {"l2dsr": ("-g", "Direct Routing"), "l3dsr": ("-i", "IPIP tunnels"), "nat": ("-m", "masquerading")}

# Key of an arm -> the kernel's; Documentation/networking/ipvs-sysctl.rst says what they do.
_SYSCTLS = {
    "conn_reuse_mode": "net.ipv4.vs.conn_reuse_mode",
    "expire_nodest_conn": "net.ipv4.vs.expire_nodest_conn",
    "conntrack": "net.ipv4.vs.conntrack",
}
KEYS = "net.ipv4.vs."  # they come with the module ip_vs
TIMEOUTS = TimeoutsRow(
    tcp_s=900, tcp_fin_s=120, udp_s=300
)  # what it begins with (ip_vs_proto_tcp.c, ip_vs_proto_udp.c)
_EXPIRE = _SYSCTLS["expire_nodest_conn"]
_FORWARDING = "net.ipv4.ip_forward"
_ACCEPT_REDIRECTS = "net.ipv4.conf.all.accept_redirects"

TUNNEL = "bmt_ipip"  # the web hosts' end of the tunnel; with a device of our own, tunl0 stays as it is

_LOOK = """\
rules=$(ipvsadm -Sn) || return
printf '%s\\n' "$rules" | grep -F -e "-A -t $1 " || true
"""
# The kernel has no transaction over a service and its servers: one process sets all, and takes back what it began.
_RESTORE = 'ipvsadm --restore || { ipvsadm -D -t "$1" 2>/dev/null; false; }'
# Without its entries: a client's port that comes again within two minutes would follow the entry of an arm before, to
# its web host and in its way. Since Linux 5.9 they go with their servers under expire_nodest_conn; before, they stay.
_REMOVE = """\
ipvsadm -D -t "$1" || return
left=30
while [ $left -gt 0 ] && [ "$(head -n 2 /proc/net/ip_vs_conn | wc -l)" -gt 1 ]; do left=$((left - 1)); sleep 0.1; done
true
"""
# As `--restore` takes it, so that it can be compared; --save leaves out thresholds, which another listing has.
_READ_BACK = """\
ipvsadm -Sn | sed -n -e "s/^-A -t $1 //p" -e "s/^-a -t $1 //p" | sed 's/ --tun-type ipip.*//' | LC_ALL=C sort
ipvsadm -Ln --thresholds -t "$1" | awk '$1 == "->" && $2 ~ /[0-9]/ { print $2, $3, $4 }' | LC_ALL=C sort
"""


def sysctls_wanted(arm: AnyLvsArm) -> dict[str, str]:
    """Kernel settings of LVS that the arm asks for: key -> value. Entries go with their service unless it says no.

    >>> from bmtlib.params.arms import L2dsrArm
    >>> sysctls_wanted(L2dsrArm(conntrack=False))
    {'net.ipv4.vs.expire_nodest_conn': '1', 'net.ipv4.vs.conntrack': '0'}
    """
    asked = {key: getattr(arm, name) for name, key in _SYSCTLS.items()}
    asked[_EXPIRE] = asked[_EXPIRE] is not False
    return {key: str(int(value)) for key, value in asked.items() if value is not None}


def sysctls_needed(arm: AnyLvsArm, *, front: str, back: str) -> list[str]:
    """Keys whose present values `director_changes` takes. `front`, `back`: the director's interfaces."""
    keys = list(sysctls_wanted(arm))
    if arm.kind == "nat":
        keys += [_FORWARDING, _ACCEPT_REDIRECTS, *_redirects(front, back)]
    return keys


def rules(arm: AnyLvsArm, *, servers: Mapping[str, str], vip: str, port: int) -> str:
    """Rules in the form of `ipvsadm --restore`: one virtual service, one real server per web host."""
    thresholds = f" -x {arm.upper_threshold} -y {arm.lower_threshold}" if arm.upper_threshold else ""
    lines = [f"-A -t {vip}:{port} -s {arm.scheduler}"]
    lines += [f"-a -t {vip}:{port} {server}{thresholds}" for server in _servers(arm, servers, port)]
    return "\n".join(lines) + "\n"


def _servers(arm: AnyLvsArm, servers: Mapping[str, str], port: int) -> list[str]:
    weights = arm.weights or (1,) * len(servers)
    letter = FORWARD[arm.kind][0]
    return [f"-r {ip}:{port} {letter} -w {weight}" for ip, weight in zip(servers.values(), weights, strict=True)]


def _read_back(arm: AnyLvsArm, servers: Mapping[str, str], port: int) -> str:
    """What _READ_BACK prints when all is in force."""
    lines = sorted([*_servers(arm, servers, port), f"-s {arm.scheduler}"])
    limits = f"{arm.upper_threshold} {arm.lower_threshold}"
    return " ".join([*lines, *sorted(f"{ip}:{port} {limits}" for ip in servers.values())])


def director_changes(
    host: str,
    arm: AnyLvsArm,
    *,
    servers: Mapping[str, str],
    vip: str,
    port: int,
    front: str,
    back: str,
    sysctls: Mapping[str, str],
    timeouts: TimeoutsRow | None,
) -> list[Change]:
    """Kernel settings first, the service last. `sysctls` (those of `sysctls_needed`) and `timeouts` are in force now.

    A key of LVS that is missing there comes with its module. `timeouts` may be None when the arm asks for none. Undo
    removes our virtual service and no other.
    """
    words = FORWARD[arm.kind][1]
    changes: list[Change] = []
    for key, value in sysctls_wanted(arm).items():
        ours = key == _EXPIRE and arm.expire_nodest_conn is None
        why = (
            "entries go with the service, so the next case begins with an empty table" if ours else "the arm's setting"
        )
        if key in sysctls:
            changes += sysctl_change(host, key, value, sysctls, reason=why)
        else:
            changes.append(new_key_change(host, key, value, reason=why))
    if arm.timeouts is not None:
        assert timeouts is not None
        changes += _timeouts(host, arm.timeouts, timeouts)
    if arm.kind == "nat":
        changes += _router(host, front, back, sysctls)
    service = f"{vip}:{port}"
    text = rules(arm, servers=servers, vip=vip, port=port)
    do, undo = made(f"ipvs {service}", (service,), look=_LOOK, make=_RESTORE, remove=_REMOVE, stdin=text)
    return [
        *changes,
        Change(
            host=host,
            what=f"ipvs {service}",
            before=None,
            want=f"{len(servers)} real servers, {arm.scheduler}, {words}",
            do=do,
            undo=undo,
            check=command("sh", "-c", _READ_BACK, "sh", service),
            expect=_read_back(arm, servers, port),
            scope="netns",
            reason=f"LVS, {words}",
        ),
    ]


def _timeouts(host: str, wish: LvsTimeouts, now: TimeoutsRow) -> list[Change]:
    old = [str(now["tcp_s"]), str(now["tcp_fin_s"]), str(now["udp_s"])]
    new = [str(want or have) for want, have in zip((wish.tcp, wish.tcp_fin, wish.udp), old, strict=True)]
    if new == old:
        return []
    return [
        Change(
            host=host,
            what="ipvs timeouts (tcp tcpfin udp)",
            before=" ".join(old),
            want=" ".join(new),
            do=command("ipvsadm", "--set", *new),
            undo=command("ipvsadm", "--set", *old),
            check=command("ipvsadm", "-L", "--timeout"),
            expect=f"Timeout (tcp tcpfin udp): {' '.join(new)}",
            scope="netns",
            reason="how long LVS keeps an entry of its connection table",
        )
    ]


def _redirects(front: str, back: str) -> list[str]:
    """What makes a router tell web hosts of a shorter way, past it; two interfaces do not, on one segment either."""
    return [f"net.ipv4.conf.{file_of(name)}.send_redirects" for name in ("all", back)] if front == back else []


def _router(host: str, front: str, back: str, sysctls: Mapping[str, str]) -> list[Change]:
    """The director passes the web hosts' packets on: their answers."""
    changes: list[Change] = []
    for key in _redirects(front, back):
        changes += sysctl_change(host, key, "0", sysctls, reason="answers must keep coming to the director")
    if " ".join(sysctls[_FORWARDING].split()) != "1":
        # Whoever turns forwarding on or off, the kernel sets accept_redirects to its opposite (inet_forward_change()).
        before = {_FORWARDING: "0", _ACCEPT_REDIRECTS: sysctls[_ACCEPT_REDIRECTS]}
        changes.append(
            Change(
                host=host,
                what=f"sysctl {_FORWARDING}",
                before="0",
                want="1",
                do=write_keys({_FORWARDING: "1"}),
                undo=restore_keys(before),
                check=read_key(_FORWARDING),
                expect="1",
                scope="netns",
                reason="the web hosts' answers go through the director",
            )
        )
    return changes


def nat_web_changes(host: str, *, front: str, gateway: str, interface: str) -> list[Change]:
    """Way back through the director (`gateway`) for a web host: the two halves of the clients' network `front`.

    A longer prefix counts more, so the host's own routes need not be touched.
    """
    return [_route(host, str(half), gateway, interface) for half in IPv4Network(front).subnets()]


def _route(host: str, half: str, gateway: str, interface: str) -> Change:
    do, undo = made(
        f"route {half}",
        (half, gateway, interface),
        look='ip -4 route show exact "$1"',
        make='ip route add "$1" via "$2" dev "$3"',
        remove='ip route del "$1" via "$2" dev "$3"',
    )
    return Change(
        host=host,
        what=f"route {half}",
        before=None,
        want=f"via {gateway} dev {interface}",
        do=do,
        undo=undo,
        check=command("ip", "-4", "route", "show", "exact", half),
        expect=f"{half} via {gateway} dev {interface}",
        scope="netns",
        reason="answers must come back to the director, which rewrites their addresses",
    )


def tunnel_web_changes(host: str, *, address: str, vip: str) -> list[Change]:
    """The end of the director's IPIP tunnel on a web host, at its `address`; what comes out is for the VIP.

    The tunnel takes 20 bytes of each packet to a web host: what would not fit is refused with ICMP "fragmentation
    needed", and the client sends less. A request is far smaller; answers do not go through the tunnel.
    """
    key = f"net.ipv4.conf.{TUNNEL}.rp_filter"
    do, undo = made(
        f"interface {TUNNEL}",
        (TUNNEL, address),
        look='[ ! -e "/sys/class/net/$1" ] || echo "interface $1"',
        make='ip link add name "$1" up type ipip local "$2"',
        remove='ip link del "$1"',
    )
    return [
        Change(
            host=host,
            what=f"interface {TUNNEL}",
            before=None,
            want=f"IPIP tunnel to {address}",
            do=do,
            undo=undo,
            check=command("sh", "-c", 'ip -o link show up dev "$1" | wc -l', "sh", TUNNEL),
            expect="1",
            scope="netns",
            reason="takes requests out of the director's packets",
        ),
        # Without an address of its own an interface takes nothing under any rp_filter (__fib_validate_source()).
        address_change(host, vip, TUNNEL),
        Change(
            host=host,
            what=f"sysctl {key}",
            before=None,
            want="2",
            do=write_keys({key: "2"}),
            undo=command("true"),  # it goes with the interface
            check=read_key(key),
            expect="2",
            scope="netns",
            # Not 0: the larger of `all` and the interface's own value counts.
            reason="clients are not reached by way of the tunnel, and their packets are right all the same",
        ),
    ]
