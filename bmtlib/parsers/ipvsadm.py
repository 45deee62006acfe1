"""`ipvsadm -Ln` and its forms --stats --exact, --rate, -c and --timeout. Source: ipvsadm 1.31 (ipvsadm.c, ipvsadm(8)).

Every listing has a line per virtual service and, below it, one per real server. Both become rows: a service's own row
has no server. A service is "address:port", or the number of a firewall mark (protocol FWM).
A listing cut between two lines cannot be told from that of fewer servers.
"""

from __future__ import annotations

import re
from typing import TypedDict

from bmtlib.parsers.reading import COUNT, Lines

_VERSION = r"IP Virtual Server version \d+\.\d+\.\d+ \(size=(?P<size>\d+)\)"
_SERVICE = r"(?P<protocol>TCP|UDP|SCTP|FWM) +(?P<service>\S+)"
_SERVER = r"  -> (?P<server>\S+)"


class TableRow(TypedDict):
    """A service, or one of its servers.

    protocol: TCP, UDP, SCTP or FWM
    service: "192.168.16.100:80"
    server: "172.16.0.101:80"; None in the service's own row
    scheduler: "rr" ...; flags: what stands behind it ("persistent 300", "ops"), "" when nothing; None for a server
    forward: Route (Direct Routing: L2DSR), Masq (NAT), Tunnel or Local; None for a service, as are the next three
    weight: share of new connections; 0 = none
    active_connections: ESTABLISHED, SYN_SENT and SYN_RECV; inactive_connections: all other entries. With Direct Routing
        a closed connection stays among these for 120 s (FIN_WAIT)
    """

    protocol: str
    service: str
    server: str | None
    scheduler: str | None
    flags: str | None
    forward: str | None
    weight: int | None
    active_connections: int | None
    inactive_connections: int | None


class StatsRow(TypedDict):
    """Counts of a service (server None) or of one of its servers, since it was added or zeroed.

    connections, in_packets, out_packets, in_bytes, out_bytes: in = from the client. With Direct Routing nothing comes
    back through the director: both `out` are 0. Bytes are those of IP packets
    """

    protocol: str
    service: str
    server: str | None
    connections: int
    in_packets: int
    out_packets: int
    in_bytes: int
    out_bytes: int


class RateRow(TypedDict):
    """The kernel's estimate (a decaying mean, renewed every 2 s; it lags a load by several); columns as in `StatsRow`.

    "BPS" in ipvsadm's heading are bytes, not bits.
    """

    protocol: str
    service: str
    server: str | None
    connections_per_s: int
    in_packets_per_s: int
    out_packets_per_s: int
    in_bytes_per_s: int
    out_bytes_per_s: int


class TimeoutsRow(TypedDict):
    """How long an entry of the connection table lives, in the order of `ipvsadm --set`.

    tcp_s: ESTABLISHED; tcp_fin_s: FIN_WAIT; udp_s: UDP
    """

    tcp_s: int
    tcp_fin_s: int
    udp_s: int


class ConnectionRow(TypedDict):
    """One entry of the connection table.

    protocol: TCP, UDP, SCTP, AH, ESP, or IP for a template of a firewall mark
    expire_s: seconds until the entry goes
    state: ESTABLISHED, FIN_WAIT, NONE ...; ASSURED or NONE for a persistence template, whose source port is 0
    source, virtual, destination: "address:port" of client, service and server
    """

    protocol: str
    expire_s: int
    state: str
    source: str
    virtual: str
    destination: str


def parse(text: str) -> list[TableRow]:
    """`ipvsadm -Ln`: one row per service and server; none without services."""
    lines = Lines("ipvsadm", text)
    lines.take(_VERSION, "'IP Virtual Server version'")
    lines.take(r"Prot LocalAddress:Port Scheduler Flags", "heading of the services")
    lines.take(r"  -> RemoteAddress:Port +Forward Weight ActiveConn InActConn", "heading of the servers")
    rows: list[TableRow] = []
    service: re.Match[str] | None = None
    while lines:
        if match := lines.take_if(rf"{_SERVICE} (?P<scheduler>[a-z]\w*)(?P<flags>( \S+)*) *"):
            service = match
            values: tuple[str | None, ...] = (match["scheduler"], match["flags"].strip(), None, None, None, None)
        else:
            if service is None:
                lines.fail("expected a service")
            match = lines.take(
                rf"{_SERVER} +(?P<forward>Route|Masq|Tunnel|Local) +(?P<weight>{COUNT}) +(?P<active>{COUNT})"
                rf" +(?P<inactive>{COUNT}) *",
                "a service or a server",
            )
            values = (None, None, *match.group("forward", "weight", "active", "inactive"))
        scheduler, flags, forward, *numbers = values
        weight, active, inactive = (None if number is None else int(number) for number in numbers)
        rows.append(
            TableRow(
                protocol=service["protocol"],
                service=service["service"],
                server=match.groupdict().get("server"),
                scheduler=scheduler,
                flags=flags,
                forward=forward,
                weight=weight,
                active_connections=active,
                inactive_connections=inactive,
            )
        )
    return rows


def parse_stats(text: str) -> list[StatsRow]:
    """`ipvsadm -Ln --stats --exact`. Without --exact large numbers are shortened ("10238K"): that is refused."""
    return [
        StatsRow(
            protocol=protocol,
            service=service,
            server=server,
            connections=connections,
            in_packets=in_packets,
            out_packets=out_packets,
            in_bytes=in_bytes,
            out_bytes=out_bytes,
        )
        for protocol, service, server, (connections, in_packets, out_packets, in_bytes, out_bytes) in _numbers(
            text, r"Conns +InPkts +OutPkts +InBytes +OutBytes"
        )
    ]


def parse_rate(text: str) -> list[RateRow]:
    """`ipvsadm -Ln --rate`. It shortens numbers from 100,000,000 on ("100000K"), which is refused: add --exact."""
    return [
        RateRow(
            protocol=protocol,
            service=service,
            server=server,
            connections_per_s=connections,
            in_packets_per_s=in_packets,
            out_packets_per_s=out_packets,
            in_bytes_per_s=in_bytes,
            out_bytes_per_s=out_bytes,
        )
        for protocol, service, server, (connections, in_packets, out_packets, in_bytes, out_bytes) in _numbers(
            text, r"CPS +InPPS +OutPPS +InBPS +OutBPS"
        )
    ]


def parse_conns(text: str) -> list[ConnectionRow]:
    """`ipvsadm -Lnc`: one row per entry, in the order of the hash table; none without connections.

    >>> heading = "IPVS connection entries\\npro expire state       source    virtual    destination\\n"
    >>> row = "TCP 01:56  FIN_WAIT    192.168.16.11:47824 192.168.16.100:80  172.16.0.101:80\\n"
    >>> parse_conns(heading + row)[0]["expire_s"]
    116
    """
    lines = Lines("ipvsadm", text)
    lines.take("IPVS connection entries", "'IPVS connection entries'")
    lines.take(r"pro +expire +state +source +virtual +destination *", "heading of the connections")
    rows = []
    while lines:
        match = lines.take(
            r"(?P<protocol>TCP|UDP|SCTP|AH|ESP|IP) +(?P<minutes>\d{2,6}):(?P<seconds>[0-5]\d) +(?P<state>\w+)"
            r" +(?P<source>\S+:\d+) +(?P<virtual>\S+:\d+) +(?P<destination>\S+:\d+) *",
            "a connection",
        )
        rows.append(
            ConnectionRow(
                protocol=match["protocol"],
                expire_s=60 * int(match["minutes"]) + int(match["seconds"]),
                state=match["state"],
                source=match["source"],
                virtual=match["virtual"],
                destination=match["destination"],
            )
        )
    return rows


def parse_timeouts(text: str) -> list[TimeoutsRow]:
    """`ipvsadm -L --timeout`: one row.

    >>> parse_timeouts("Timeout (tcp tcpfin udp): 900 120 300\\n")
    [{'tcp_s': 900, 'tcp_fin_s': 120, 'udp_s': 300}]
    """
    lines = Lines("ipvsadm", text)
    match = lines.take(rf"Timeout \(tcp tcpfin udp\): ({COUNT}) ({COUNT}) ({COUNT})", "the timeouts")
    lines.end()
    tcp_s, tcp_fin_s, udp_s = map(int, match.groups())
    return [TimeoutsRow(tcp_s=tcp_s, tcp_fin_s=tcp_fin_s, udp_s=udp_s)]


def table_size(text: str) -> int:
    """Buckets of the connection table, in the heading of `ipvsadm -Ln`: 2 to the power of conn_tab_bits."""
    return int(Lines("ipvsadm", text).take(_VERSION, "'IP Virtual Server version'")["size"])


def _numbers(text: str, heading: str) -> list[tuple[str, str, str | None, list[int]]]:
    """The lines of --stats and --rate: protocol, service, server and five numbers."""
    lines = Lines("ipvsadm", text)
    lines.take(_VERSION, "'IP Virtual Server version'")
    lines.take(rf"Prot LocalAddress:Port +{heading}", "heading of the numbers")
    lines.take(r"  -> RemoteAddress:Port *", "heading of the servers")
    numbers = rf"(?P<numbers>( +{COUNT}){{5}}) *"
    rows: list[tuple[str, str, str | None, list[int]]] = []
    service: re.Match[str] | None = None
    while lines:
        server = None
        if match := lines.take_if(_SERVICE + numbers):
            service = match
        else:
            if service is None:
                lines.fail("expected a service and five numbers")
            match = lines.take(_SERVER + numbers, "a service or a server, and five whole numbers")
            server = match["server"]
        rows.append((service["protocol"], service["service"], server, [int(n) for n in match["numbers"].split()]))
    return rows
