"""All guards of a case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bmtlib.measure.guards.counters import counter_guards
from bmtlib.measure.guards.guard import Guard
from bmtlib.measure.guards.load import load_guards
from bmtlib.measure.guards.lvs import lvs_guards
from bmtlib.measure.guards.machines import machine_guards
from bmtlib.measure.guards.network import network_guards
from bmtlib.measure.guards.seen import Seen
from bmtlib.measure.outcome import ClientOutcome, Window
from bmtlib.plan import Case


def case_guards(
    case: Case,
    engine: str,
    seen: Seen,
    clients: Sequence[ClientOutcome],
    window: Window | None,
    requests: Mapping[str, int | None],
    *,
    service: str,
    ports: Mapping[str, int],
    nofile: Mapping[str, int],
) -> list[Guard]:
    """Judge a case by what its clients and hosts show. `service`: "VIP:port"; the others as in `network_guards`."""
    return [
        *load_guards(case.load, clients, window, requests),
        *counter_guards(seen, case.load, case.kind, clients, requests),
        *network_guards(seen, case.kind, clients, window, ports=ports, nofile=nofile),
        *machine_guards(seen, case.kind, window),
        *lvs_guards(
            case.settings,
            engine,
            seen.files,
            director=seen.director,
            service=service,
            clients=clients,
            window=window,
        ),
    ]
