"""Guards on the counters themselves: what cannot be must not be, or nothing that is worked out from them can be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bmtlib.measure.guards.guard import Guard, Verdict
from bmtlib.measure.guards.seen import Seen
from bmtlib.measure.outcome import ClientOutcome
from bmtlib.params.scenario import Load

# Connections that hosts other than those of the test may open to them meanwhile: of all, and in any case.
STRANGERS_SHARE = 0.001
STRANGERS = 10

# Of nstat, those that figures of ours stand on. They only grow: one that fell was reset, or its host was booted.
_GROWING = (
    "TcpActiveOpens",
    "TcpPassiveOpens",
    "TcpInSegs",
    "TcpOutSegs",
    "TcpRetransSegs",
    "TcpExtListenDrops",
    "TcpExtListenOverflows",
    "TcpExtTCPSynRetrans",
)
_LINK = ("rx_bytes", "tx_bytes", "rx_packets", "tx_packets", "rx_dropped", "tx_dropped")
_CPU = ("user_ticks", "system_ticks", "softirq_ticks", "irq_ticks", "steal_ticks")


def counter_guards(
    seen: Seen, load: Load, kind: str, clients: Sequence[ClientOutcome], requests: Mapping[str, int | None]
) -> list[Guard]:
    return [_backwards(seen), _invariants(seen), _connections(seen, load, kind, requests)]


def _backwards(seen: Seen) -> Guard:
    """Counters that only grow. Where one fell, no difference of that host's counters means anything."""
    fell = list(_fallen(seen))
    text = f"{len(fell)} counters ran backwards: {_some(fell)}" if fell else "no counter ran backwards"
    evidence = tuple(fell[:3]) or ("*/nstat.after.txt", "*/ip_link.after.txt", "*/stat.after.txt")
    verdict: Verdict = "reject" if fell else "ok"
    return Guard(name="backwards", verdict=verdict, value=len(fell), limit=0, text=text, evidence=evidence)


def _fallen(seen: Seen) -> Iterator[str]:
    for host in seen.hosts():
        if found := seen.counters(host):
            before, after = found
            for name in _GROWING:
                if name in before and after.get(name, 0) < before[name]:
                    yield f"{host}/nstat.after.txt {name}"
        for probe, key, columns in (("ip_link", "interface", _LINK), ("stat", "cpu", _CPU)):
            if around := seen.around(host, probe):
                first, last = ({row[key]: row for row in part} for part in around)
                for item in first.keys() & last.keys():
                    for column in columns:
                        if last[item][column] < first[item][column]:
                            yield f"{host}/{seen.taken(host, probe)}.after.txt {item} {column}"


def _invariants(seen: Seen) -> Guard:
    """What the kernel promises: an overflow of the accept queue is a drop, too; and a table holds what it may hold."""
    broken, evidence, asked = [], [], False
    for host in seen.hosts():
        drops, overflows = seen.growth(host, "TcpExtListenDrops"), seen.growth(host, "TcpExtListenOverflows")
        if drops is not None and overflows is not None:
            asked = True
            if drops < overflows:
                broken.append(f"{host}: ListenDrops {drops:,} < ListenOverflows {overflows:,}")
                evidence.append(f"{host}/nstat.after.txt TcpExtListenDrops, TcpExtListenOverflows")
        for moment in ("before", "after"):
            if rows := seen.rows(host, "conntrack", moment):
                asked = True
                if rows[0]["count"] > rows[0]["max"]:
                    broken.append(f"{host}: {rows[0]['count']:,} entries of conntrack, at most {rows[0]['max']:,}")
                    evidence.append(f"{host}/conntrack.{moment}.txt")
    if not asked:
        return Guard(name="invariants", verdict="ok", value=None, limit=None, text="not measured")
    text = _some(broken) if broken else "ListenDrops >= ListenOverflows, and conntrack within its size, on every host"
    return Guard(
        name="invariants",
        verdict="mark" if broken else "ok",
        value=len(broken),
        limit=0,
        text=text,
        evidence=tuple(evidence) or ("*/nstat.after.txt TcpExtListenDrops", "*/conntrack.after.txt"),
    )


def _connections(seen: Seen, load: Load, kind: str, requests: Mapping[str, int | None]) -> Guard:
    """Connections that one side opened against those that the other took, hop by hop.

    The kernel counts a taken connection (TcpPassiveOpens) once its handshake is done, so no more are taken than were
    opened; and who had a right answer over a connection of its own was taken.
    """
    opened = _sum(seen, "client", "TcpActiveOpens")
    hops = [("clients", opened, "director" if kind == "proxy" else "web")]
    if kind == "proxy":
        hops.append(("the director", _sum(seen, "director", "TcpActiveOpens"), "web"))
    off, texts = 0, []
    for who, asked, role in hops:
        taken = _sum(seen, role, "TcpPassiveOpens")
        if asked is None or taken is None:
            continue
        least = (requests["completed"] or 0) if who == "clients" and not load.keepalive else 0
        off = max(off, taken - asked, least - taken)
        where = "web hosts" if role == "web" else "the director"
        texts.append(f"{who} opened {asked:,} connections, {where} took {taken:,}")
    if not texts:
        text = "connections opened and taken: not measured"
        return Guard(name="connections", verdict="ok", value=None, limit=None, text=text)
    limit = STRANGERS + int(STRANGERS_SHARE * (opened or 0))
    return Guard(
        name="connections",
        verdict="mark" if off > limit else "ok",
        value=off,
        limit=limit,
        text="; ".join(texts),
        evidence=(
            f"client*/{seen.taken(seen.hosts('client')[0], 'nstat')}.after.txt TcpActiveOpens",
            "*/nstat.after.txt TcpPassiveOpens",
        ),
    )


def _sum(seen: Seen, role: str, counter: str) -> int | None:
    """Of all hosts of a role; None when one was not asked."""
    found = [seen.growth(host, counter) for host in seen.hosts(role)]
    return None if not found or None in found else sum(value or 0 for value in found)


def _some(items: Sequence[str], most: int = 3) -> str:
    return "; ".join(items[:most]) + (f"; and {len(items) - most} more" if len(items) > most else "")
