"""`ss -s` and `ss -ltn` of iproute2. Source: misc/ss.c, ss(8)."""

from __future__ import annotations

from typing import TypedDict, cast

from bmtlib.parsers.reading import COUNT, Lines

_TRANSPORTS = ("RAW", "UDP", "TCP", "INET", "FRAG")


class SummaryRow(TypedDict):
    """Sockets now: of one network namespace, unless it says "machine".

    sockets: all, of any family
    tcp: TCP sockets of the whole machine (/proc/net/sockstat's alloc is not per namespace) and this one's TIME_WAIT
    tcp_estab: established
    tcp_closed: what remains of `tcp` without the open ones: TIME_WAIT, unbound, and those of other namespaces
    tcp_orphaned: closed by their program but not yet by TCP, on the whole machine
    tcp_timewait: in TIME_WAIT
    tcp_synrecv: half-open; None with iproute2 since 4.20, which does not print it
    <raw|udp|tcp_bound|inet|frag>: of that kind, _ipv4 and _ipv6 apart (tcp_bound: TCP without TIME_WAIT; inet: sum of
        the first three; frag: IP reassembly queues)
    """

    sockets: int
    tcp: int
    tcp_estab: int
    tcp_closed: int
    tcp_orphaned: int
    tcp_synrecv: int | None
    tcp_timewait: int
    raw: int
    raw_ipv4: int
    raw_ipv6: int
    udp: int
    udp_ipv4: int
    udp_ipv6: int
    tcp_bound: int
    tcp_bound_ipv4: int
    tcp_bound_ipv6: int
    inet: int
    inet_ipv4: int
    inet_ipv6: int
    frag: int
    frag_ipv4: int
    frag_ipv6: int


class ListenRow(TypedDict):
    """One listening TCP socket.

    address: as ss prints it ("0.0.0.0", "*", "[::]", "127.0.0.1%lo")
    port: number
    accept_queue: connections that wait to be accepted now (Recv-Q)
    accept_queue_max: the most that may wait, min(backlog, net.core.somaxconn) (Send-Q)
    """

    address: str
    port: int
    accept_queue: int
    accept_queue_max: int


def parse_summary(text: str) -> list[SummaryRow]:
    """`ss -s`: one row. Both forms: before iproute2 4.20 (kernel ..., synrecv, timewait A/B, ports) and since.

    The old form's "timewait A/B" are the kernel's count of TIME_WAIT sockets and that of its slab cache: A is returned.
    """
    lines = Lines("ss", text)
    n = COUNT
    sockets = int(lines.take(rf"Total: (?P<n>{n})( \(kernel {n}\))?", "Total")["n"])
    tcp = lines.take(
        rf"TCP: +(?P<tcp>{n}) \(estab (?P<estab>{n}), closed (?P<closed>{n}), orphaned (?P<orphaned>{n})"
        rf"(, synrecv (?P<synrecv>{n}))?, timewait (?P<timewait>{n})(/{n}\), ports {n}|\))",
        "TCP",
    )
    lines.take_if("")
    lines.take(r"Transport +Total +IP +IPv6 *", "heading of the transports")
    lines.take_if(rf"\*\s+{n}\s+-\s+-\s*")  # the old form repeats the kernel's count
    row: dict[str, int | None] = {"sockets": sockets, "tcp": int(tcp["tcp"])}
    for state in ("estab", "closed", "orphaned", "synrecv", "timewait"):
        row[f"tcp_{state}"] = None if tcp[state] is None else int(tcp[state])
    for transport in _TRANSPORTS:
        match = lines.take(rf"{transport}\s+(?P<all>{n})\s+(?P<v4>{n})\s+(?P<v6>{n})\s*", f"transport {transport}")
        name = "tcp_bound" if transport == "TCP" else transport.lower()
        row |= {name: int(match["all"]), f"{name}_ipv4": int(match["v4"]), f"{name}_ipv6": int(match["v6"])}
    lines.take_if("")
    lines.end()
    return [cast(SummaryRow, row)]


def parse_listen(text: str) -> list[ListenRow]:
    """`ss -ltn`: one row per listening socket, none when nothing listens.

    A table cut at the end of a line cannot be told from a shorter one.

    >>> table = "State  Recv-Q Send-Q Local Address:Port Peer Address:PortProcess\\n"
    >>> parse_listen(table + "LISTEN 0      511          0.0.0.0:80        0.0.0.0:*          \\n")
    [{'address': '0.0.0.0', 'port': 80, 'accept_queue': 0, 'accept_queue_max': 511}]
    """
    lines = Lines("ss", text)
    lines.take(r"State +Recv-Q +Send-Q +Local Address:Port +Peer Address:Port( *Process)? *", "heading of ss -ltn")
    rows = []
    while lines:
        match = lines.take(
            rf"LISTEN +(?P<waiting>{COUNT}) +(?P<most>{COUNT}) +(?P<address>\S+):(?P<port>\d{{1,5}}) +\S+:\* *",
            "a listening socket",
        )
        rows.append(
            ListenRow(
                address=match["address"],
                port=int(match["port"]),
                accept_queue=int(match["waiting"]),
                accept_queue_max=int(match["most"]),
            )
        )
    return rows
