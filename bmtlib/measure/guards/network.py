"""Guards on the way to the web hosts: local ports and open files of clients, queues and packets lost at either end."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from bmtlib.measure.guards.guard import FEWEST, Guard, graded
from bmtlib.measure.guards.seen import Seen
from bmtlib.measure.outcome import ClientOutcome, Window

# Above, connect() searches ever longer for a free port, and one that is still in TIME_WAIT soon is the only one.
PORTS_MARK = 0.80
NOFILE_MARK = 0.90  # of the limit of open files; at the limit a connection is refused by its own host
_OWN_FILES = 20  # descriptors that a load generator needs beside its connections
# A SYN that finds the queue full is sent again after 1 s: one in a thousand is the 99.9th percentile of the waits.
LISTEN_MARK = 0.001
LISTEN_REJECT = 0.50  # more dropped than half of those that came: the case timed retransmissions
# A lost packet costs 200 ms or more; at one in a hundred TCP's rate is that of its losses (Mathis et al., 1997).
DROPS_MARK = 0.0001
DROPS_REJECT = 0.01
# Of the connections open at web hosts, what one of them has, against an even share. In a closed loop a balancer piles
# up on the slow one what is in flight. Hashes and chance make one half as much again at the most, and more than three
# standard deviations (a Poisson count's is its root) hardly ever.
EVEN_MARK = 1.5
_EVEN_DEVIATIONS = 3.0
_EVEN_FROM = 20  # connections open at a time, below which there is nothing to tell
_DRIVER_DROPS = re.compile(r".*rx.*(miss|fifo|discard|no_buf|nobuf|drop|overrun).*")


def network_guards(
    seen: Seen,
    kind: str,
    clients: Sequence[ClientOutcome],
    window: Window | None,
    *,
    ports: Mapping[str, int],
    nofile: Mapping[str, int],
) -> list[Guard]:
    """`ports`: local ports that a host may use (ip_local_port_range), `nofile`: its limit of open files; by host."""
    found = [_ports(seen, clients, ports), _nofile(clients, nofile), _listen(seen), _drops(seen, clients)]
    return found if window is None or kind == "direct" else [*found, _even(seen, window)]


def _ports(seen: Seen, clients: Sequence[ClientOutcome], ports: Mapping[str, int]) -> Guard:
    """Each open connection, and each in TIME_WAIT, holds a local port towards the one address that is asked."""
    used: dict[str, float] = {}
    for client in clients:
        summary = seen.rows(client.host, "ss_summary", "after")
        if summary and ports.get(client.host):
            used[client.host] = (client.concurrency + summary[0]["tcp_timewait"]) / ports[client.host]
    refused = [client.host for client in clients if "assign requested address" in client.said]
    if not used:
        text = "local ports of clients: not measured"
        return Guard(name="ports", verdict="mark" if refused else "ok", value=None, limit=None, text=text)
    host, most = max(used.items(), key=lambda item: item[1])
    text = f"of its {ports[host]:,} local ports {host} held {most:.0%} (its connections, and those in TIME_WAIT)"
    if refused:
        text += f"; {', '.join(refused)} found none free"
    return Guard(
        name="ports",
        verdict="mark" if most > PORTS_MARK or refused else "ok",
        value=round(most, 4),
        limit=PORTS_MARK,
        text=text,
        evidence=(
            f"{host}/{seen.taken(host, 'ss_summary')}.after.txt timewait",
            f"facts/{host}/sysctl.once.txt net.ipv4.ip_local_port_range",
            "case.json clients[].said",
        ),
        spoils=("requests_per_s", "waits"),
    )


def _nofile(clients: Sequence[ClientOutcome], nofile: Mapping[str, int]) -> Guard:
    shares = {
        client.host: (client.concurrency + _OWN_FILES) / nofile[client.host]
        for client in clients
        if client.host in nofile
    }
    refused = [client.host for client in clients if "Too many open files" in client.said]
    if not shares:
        text = "limit of open files: not known"
        return Guard(name="nofile", verdict="mark" if refused else "ok", value=None, limit=None, text=text)
    host, most = max(shares.items(), key=lambda item: item[1])
    text = f"{host} needs {most:.0%} of the {nofile[host]:,} files that it may open"
    if refused:
        text += f"; {', '.join(refused)} could open no more"
    return Guard(
        name="nofile",
        verdict="mark" if most > NOFILE_MARK or refused else "ok",
        value=round(most, 4),
        limit=NOFILE_MARK,
        text=text,
        evidence=(f"facts/{host}.json nofile", "case.json clients[].said"),
        spoils=("requests_per_s", "waits"),
    )


def _listen(seen: Seen) -> Guard:
    """SYNs and connections that web hosts dropped: they, and not the director, made clients wait."""
    webs = seen.hosts("web")
    drops = {host: seen.growth(host, "TcpExtListenDrops") for host in webs}
    taken = {host: seen.growth(host, "TcpPassiveOpens") for host in webs}
    known = [host for host in webs if drops[host] is not None and taken[host] is not None]
    if not known:
        return Guard(
            name="listen-queue", verdict="ok", value=None, limit=None, text="listen queues of web hosts: not measured"
        )
    lost = sum(drops[host] or 0 for host in known)
    came = lost + sum(taken[host] or 0 for host in known)
    worst = max(known, key=lambda host: drops[host] or 0)
    text = f"of the connections that came to web hosts were dropped at their listen queues ({lost:,}, most at {worst})"
    evidence = tuple(f"{worst}/nstat.after.txt {name}" for name in ("TcpExtListenDrops", "TcpExtListenOverflows"))
    return graded(
        "listen-queue",
        lost / came if came else 0.0,
        LISTEN_MARK,
        LISTEN_REJECT,
        text,
        evidence,
        ("requests_per_s", "waits"),
        count=lost,
    )


def _drops(seen: Seen, clients: Sequence[ClientOutcome]) -> Guard:
    """Packets that came to a client or web host and were lost there: in the card, or in a CPU's backlog.

    The kernel counts what a full backlog drops on the interface that it came in by (net/core/dev.c), so this tells
    hosts apart also where they share a kernel, whose softnet_stat is one for all. Clients that the load did not need
    get nothing but broadcasts: what they lose says nothing of it.
    """
    at_work = {client.host for client in clients}
    lost: dict[str, int] = {}
    came: dict[str, int] = {}
    for host in seen.hosts("client", "web"):
        found = seen.around(host, "ip_link")
        if found is None or (seen.roles[host] == "client" and host not in at_work):
            continue
        before, after = ({row["interface"]: row for row in part if row["interface"] != "lo"} for part in found)
        both = before.keys() & after.keys()
        lost[host] = sum(
            max(after[name]["rx_dropped"] - before[name]["rx_dropped"], _card_drops(seen, host, name)) for name in both
        )
        came[host] = lost[host] + sum(after[name]["rx_packets"] - before[name]["rx_packets"] for name in both)
    if not lost:
        return Guard(
            name="drops",
            verdict="ok",
            value=None,
            limit=None,
            text="packets lost at clients and web hosts: not measured",
        )
    # One that lost a single packet of its few is no worse than others; but many of them together may be.
    judged = {host: (lost[host], came[host]) for host in lost if lost[host] >= FEWEST}
    judged["clients and web hosts"] = sum(lost.values()), sum(came.values())
    who, (count, of) = max(judged.items(), key=lambda item: item[1][0] / max(1, item[1][1]))
    most = who if who in lost else max(lost, key=lambda host: lost[host])
    text = f"of the packets that came to {who} were lost there, in a card or a CPU's backlog ({count:,})"
    evidence = (
        f"{most}/{seen.taken(most, 'ip_link')}.after.txt rx dropped",
        "*/ethtool_stats@*.after.txt",
        "*/softnet.after.txt column 2",
    )
    spoils = ("requests_per_s", "waits")
    return graded("drops", count / max(1, of), DROPS_MARK, DROPS_REJECT, text, evidence, spoils, count=count)


def _even(seen: Seen, window: Window) -> Guard:
    """A web host that is slow keeps its connections longer: in the end most of what is in flight waits for it.

    Not asked of arm `direct`, whose clients are bound to web hosts.
    """
    webs = seen.hosts("web")
    busy: dict[str, float] = {}
    for host in webs:
        found = [
            rows[0] for at, rows in seen.samples(host, "ss_summary") if window.start_epoch_s <= at <= window.end_epoch_s
        ]
        if found:
            open_now = [row["tcp_open"] if "tcp_open" in row else row["tcp_estab"] for row in found]
            busy[host] = sum(open_now) / len(open_now)
    total = sum(busy.values())
    if len(busy) < len(webs) or len(webs) < 2 or total < _EVEN_FROM:
        text = "connections open at each web host: not measured, or too few to tell"
        return Guard(name="web-even", verdict="ok", value=None, limit=None, text=text)
    host, most = max(busy.items(), key=lambda item: item[1])
    share = total / len(webs)
    times, limit = most / share, max(EVEN_MARK, 1 + _EVEN_DEVIATIONS / math.sqrt(share))
    text = f"{host} had {most / total:.0%} of the connections that were open at {len(webs)} web hosts"
    if times > limit:
        text += ": it is slow, or it is given more than the others"
    return Guard(
        name="web-even",
        verdict="mark" if times > limit else "ok",
        value=round(times, 4),
        limit=round(limit, 4),
        text=text,
        evidence=(f"{host}/{seen.taken(host, 'ss_summary', 'during')}.during.txt",),
        spoils=("requests_per_s", "waits"),
    )


def _card_drops(seen: Seen, host: str, interface: str) -> int:
    """What the driver counts as lost on reception; 0 where it has no such counter: then ip_link says what there is."""
    found = seen.around(host, f"ethtool_stats@{interface}")
    if found is None:
        return 0
    before, after = ({row["name"]: row["count"] for row in part} for part in found)
    grown = (after[name] - before.get(name, 0) for name in after if _DRIVER_DROPS.fullmatch(name))
    return sum(change for change in grown if change > 0)
