"""The testbed as it was: hosts by role, where the service's address lies, and which way requests and answers go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address
from itertools import pairwise
from typing import Any

import pandas as pd

from bmtlib.analysis.costs import df_director_bytes
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import KINDS, once

ROLES = ("client", "director", "web")
# Of each kind of arm: the hops of a request, and those of its answer.
WAYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "direct": (("client", "web"), ("web", "client")),
    "proxy": (("client", "director", "web"), ("web", "director", "client")),
    "nat": (("client", "director", "web"), ("web", "director", "client")),
    "l3dsr": (("client", "director", "web"), ("web", "client")),
    "l2dsr": (("client", "director", "web"), ("web", "client")),
}
_SILENT = ("l2dsr", "l3dsr")  # web hosts have the VIP too, and answer no ARP for it


@once
def df_topology(tables: Tables) -> pd.DataFrame:
    """Nodes and edges of the testbed, by kind of arm that the scenario has.

    kind; item: role (a row for each role), request or answer (a row for each hop)
    of a role: role; hosts: how many; addresses: of its hosts, first to last; cpus: that they may use; vip: the address
        of the service where hosts of this role have it (web hosts on lo, where it is silent), else empty
    of a hop: role, to_role: from and to; step: 1 is the first of the request
    answers_through: share of the bytes that clients received which the director sent, measured, of this kind's arms; on
        the answer's first hop; missing: not measured
    """
    kinds = {str(kind) for kind in tables.cases["kind"].unique()}
    rows = [row for kind in KINDS if kind in kinds for row in (*_nodes(tables, kind), *_hops(tables, kind))]
    types = {
        **dict.fromkeys(("kind", "item", "role", "to_role"), "string"),
        "step": "Int64",
        "hosts": "Int64",
        **dict.fromkeys(("addresses", "cpus", "vip"), "string"),
        "answers_through": "float64",
    }
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def _nodes(tables: Tables, kind: str) -> Iterator[dict[str, Any]]:
    for role in ROLES:
        hosts = [host for host in tables.run.get("hosts") or [] if host.get("role") == role]
        if not hosts or (kind == "direct" and role == "director"):
            continue
        network = "front" if role == "client" else "back"
        found = [host.get("addresses") or {} for host in hosts]
        addresses = [str(each.get(network) or next(iter(each.values()), "")) for each in found]
        if role == "director":  # of both networks
            addresses = [str(address) for each in found for address in dict.fromkeys(each.values())]
        vip = role == "director" or (role == "web" and kind in _SILENT)
        cpus = sorted({cpu for host in hosts for cpu in host.get("cpus") or []})
        yield {
            "kind": kind,
            "item": "role",
            "role": role,
            "hosts": len(hosts),
            "addresses": ", ".join(addresses) if role == "director" else address_range(addresses),
            "cpus": ", ".join(map(str, cpus)),
            "vip": str(tables.addressing.get("vip", "")) if vip else "",
        }


def _hops(tables: Tables, kind: str) -> Iterator[dict[str, Any]]:
    request, answer = WAYS[kind]
    through = _answers_through(tables, kind)
    step = 0
    for item, way in (("request", request), ("answer", answer)):
        for place, (role, to_role) in enumerate(pairwise(way)):
            step += 1
            measured = through if (item, place) == ("answer", 0) else None
            yield {
                "kind": kind,
                "item": item,
                "role": role,
                "to_role": to_role,
                "step": step,
                "answers_through": measured,
            }


def _answers_through(tables: Tables, kind: str) -> float | None:
    """Bytes that the director sent / bytes that clients received, over all cases of a kind."""
    table = df_director_bytes(tables)
    mine = table[(table["kind"] == kind)].dropna(subset=["out_bytes", "client_bytes"])
    received = float(mine["client_bytes"].sum())
    return float(mine["out_bytes"].sum()) / received if received else None


def address_range(addresses: Sequence[str]) -> str:
    """Addresses as people write them down.

    >>> address_range(["10.0.0.2", "10.0.0.3", "10.0.0.4"]), address_range(["10.0.0.9", "10.0.0.2"])
    ('10.0.0.2 to .4', '10.0.0.2, 10.0.0.9')
    >>> address_range(["10.0.0.2", "10.0.7.1", "10.0.7.3", "web.example"])
    '10.0.0.2 to web.example'
    """
    try:
        found = sorted(set(addresses), key=IPv4Address)
    except ValueError:  # names: in the order of the hosts
        found = list(dict.fromkeys(addresses))
        return ", ".join(found) if len(found) < 3 else f"{found[0]} to {found[-1]}"
    if len(found) < 3:
        return ", ".join(found)
    first, last = found[0], found[-1]
    same = first.rpartition(".")[0] == last.rpartition(".")[0]
    return f"{first} to {'.' + last.rpartition('.')[2] if same else last}"
