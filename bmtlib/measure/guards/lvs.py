"""Guards of the arms that LVS can drive: which settings were in force, and what its own counters say of a case.

Pure: file contents in, guards out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bmtlib.errors import ParseError
from bmtlib.measure.guards.guard import Guard, Verdict
from bmtlib.measure.limits import CLOSED_ENTRY_S, closed_entry_s
from bmtlib.measure.outcome import ClientOutcome, Window, growth
from bmtlib.params.arms import LvsTimeouts
from bmtlib.params.scenario import AnyLvsArm, Arm, DirectArm, ProxyArm
from bmtlib.parsers import ip_vs_percpu, ipvsadm

# Of the connections that the clients opened, those that LVS may count differently, beside segments sent again.
COUNT_SHARE_MARK = 0.001

_COUNTS = (
    "director/ipvsadm_stats.after.txt Conns",
    "director/ip_vs_percpu.after.txt",
    "client*/nstat.after.txt",
    "client*/snmp.after.txt",
)
_TABLE = ("director/ipvsadm.after.txt ActiveConn, InActConn", "director/ipvsadm_timeouts.before.txt")

Files = Mapping[str, Mapping[str, bytes]]  # of a case: by host, by name


def lvs_guards(
    arm: Arm,
    engine: str,
    files: Files,
    *,
    director: str,
    service: str,
    clients: Sequence[ClientOutcome],
    window: Window | None,
) -> list[Guard]:
    """The guards `engine`, `ipvs-count`, `ipvs-thresholds` of a case; none for other arms. `service`: "VIP:port"."""
    if isinstance(arm, DirectArm | ProxyArm):
        return []
    found = [_settings(arm, engine)]
    if engine == "ipvs":
        own = {name: content.decode(errors="replace") for name, content in files[director].items()}
        found += [
            _known("ipvs-count", lambda: _count(_connections(own, service), clients, files)),
            _known("ipvs-thresholds", lambda: _thresholds(arm, _tables(own, service), _fin_s(own), clients, window)),
        ]
    return found


def _known(name: str, judge: Callable[[], Guard]) -> Guard:
    """What `judge` says; or that a probe is not there (the scenario may leave it out), or was not understood."""
    try:
        return judge()
    except KeyError as error:
        return Guard(name=name, verdict="ok", value=None, limit=None, text=f"not known: there is no {error.args[0]}")
    except ParseError as error:
        return Guard(name=name, verdict="mark", value=None, limit=None, text=f"not known: {error.what}")


def _settings(arm: AnyLvsArm, engine: str) -> Guard:
    """Which of the arm's settings its engine took: with `engine: auto` it may be one that has none of them."""
    asked = arm.of_lvs_alone()
    words = ", ".join(f"{name} {_word(value)}" for name, value in asked.items())
    if engine == "nft":
        verdict: Verdict = "mark" if asked else "ok"
        text = "nft picks the web host by a hash of the client's address and port, and keeps no connections"
        text += f"; it has no {words}" if asked else ""
        return Guard(
            name="engine",
            verdict=verdict,
            value=len(asked),
            limit=0,
            text=text,
            evidence=("plan.json", "case.json engine"),
        )
    text = f"LVS with {words or 'scheduler rr and its other settings as they are'}"
    return Guard(name="engine", verdict="ok", value=0, limit=0, text=text, evidence=("plan.json", "case.json engine"))


def _word(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    if isinstance(value, LvsTimeouts):
        return " ".join(f"{name} {seconds} s" for name, seconds in value if seconds is not None)
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, kw_only=True)
class _Counted:
    """Connections that LVS counted during the case: of the service itself, of its servers together, by all CPUs."""

    service: int
    servers: int
    cpus: int


def _connections(own: Mapping[str, str], service: str) -> _Counted:
    before, after = (
        [row for row in ipvsadm.parse_stats(own[f"ipvsadm_stats.{moment}.txt"]) if row["service"] == service]
        for moment in ("before", "after")
    )
    services, servers = (
        [sum(row["connections"] for row in rows if (row["server"] is None) == whole) for rows in (before, after)]
        for whole in (True, False)
    )
    cpus = [
        sum(
            row["connections"]
            for row in ip_vs_percpu.parse(own[f"ip_vs_percpu.{moment}.txt"])
            if row["cpu"] is not None
        )
        for moment in ("before", "after")
    ]
    return _Counted(service=services[1] - services[0], servers=servers[1] - servers[0], cpus=cpus[1] - cpus[0])


def _count(counted: _Counted, clients: Sequence[ClientOutcome], files: Files) -> Guard:
    """LVS's count of connections against the clients' own (no preflight is among them: both are read behind it).

    Of the connections in flight when ab gave up, some had their first segment lost or on its way: LVS need not have
    seen them. All others it must have.
    """
    text = f"LVS counted {counted.service:,} connections, its servers {counted.servers:,}, its CPUs {counted.cpus:,}"
    own = (counted.service, counted.servers, counted.cpus)
    texts = {client.host: _texts(files.get(client.host, {})) for client in clients}
    opened = [client.opened for client in clients if client.opened is not None]
    again = [count for client in texts.values() if (count := growth(client, "TcpRetransSegs")) is not None]
    if len(opened) < len(clients) or len(again) < len(clients):
        verdict: Verdict = "ok" if len(set(own)) == 1 else "mark"
        text += "; the clients' connections are not known (a client lacks the probe nstat)"
        return Guard(name="ipvs-count", verdict=verdict, value=None, limit=None, text=text, evidence=_COUNTS)
    ended = sum(client.completed + client.failed for client in clients)
    limit = sum(again) + int(COUNT_SHARE_MARK * sum(opened))
    off = max(max(own) - min(own), max(own) - sum(opened), min(ended, sum(opened)) - min(own), 0)
    text += (
        f", the clients opened {sum(opened):,}, of which {ended:,} ended; {off:,} out of that range, {limit:,} may be "
        f"({sum(again):,} segments were sent again, and {COUNT_SHARE_MARK:.1%})"
    )
    return Guard(
        name="ipvs-count", verdict="mark" if off > limit else "ok", value=off, limit=limit, text=text, evidence=_COUNTS
    )


def _texts(files: Mapping[str, bytes]) -> dict[str, str]:
    return {
        name: content.decode(errors="replace")
        for name, content in files.items()
        if name.startswith(("nstat.", "snmp."))
    }


@dataclass(frozen=True, kw_only=True)
class _Tables:
    """Entries of the connection table by server, open and closed ones, and the buckets that hold all entries."""

    before: dict[str, int]
    after: dict[str, int]
    buckets: int


def _tables(own: Mapping[str, str], service: str) -> _Tables:
    def entries(moment: str) -> dict[str, int]:
        return {
            row["server"]: (row["active_connections"] or 0) + (row["inactive_connections"] or 0)
            for row in ipvsadm.parse(own[f"ipvsadm.{moment}.txt"])
            if row["service"] == service and row["server"] is not None
        }

    buckets = ipvsadm.table_size(own["ipvsadm.after.txt"])
    return _Tables(before=entries("before"), after=entries("after"), buckets=buckets)


def _fin_s(own: Mapping[str, str]) -> int:
    text = own.get("ipvsadm_timeouts.before.txt")
    return CLOSED_ENTRY_S if text is None else ipvsadm.parse_timeouts(text)[0]["tcp_fin_s"]


def _thresholds(
    arm: AnyLvsArm, tables: _Tables, fin_s: int, clients: Sequence[ClientOutcome], window: Window | None
) -> Guard:
    """How full the connection table was, and whether a web host's share of it came to its threshold."""
    total, most, upper = sum(tables.after.values()), max(tables.after.values(), default=0), arm.upper_threshold
    bits = tables.buckets.bit_length() - 1
    text = (
        f"the table held {total:,} entries at the end ({sum(tables.before.values()):,} when the load began) in "
        f"{tables.buckets:,} buckets (conn_tab_bits {bits}): {total / tables.buckets:.1f} each"
    )
    opened = [client.opened for client in clients if client.opened is not None]
    if opened and window is not None and window.seconds > 0 and tables.after:
        rate, life = sum(opened) / window.seconds, closed_entry_s(arm, fin_s)
        lasting = rate / len(tables.after) * life
        text += (
            f"; {rate:,.0f} connections/s over {len(tables.after)} web hosts, each counted for {life} s after its end, "
            f"are {lasting:,.0f} entries each in the long run"
        )
    if not upper:
        text += "; there is no threshold"
        return Guard(name="ipvs-thresholds", verdict="ok", value=most, limit=None, text=text, evidence=_TABLE)
    full = sorted(server for server, count in tables.after.items() if count >= upper)
    text += f"; upper_threshold {upper:,}" + (f" was reached by {', '.join(full)}" if full else " was not reached")
    return Guard(
        name="ipvs-thresholds", verdict="mark" if full else "ok", value=most, limit=upper, text=text, evidence=_TABLE
    )
