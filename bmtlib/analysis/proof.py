"""Where a figure can be checked: the table and the figure of the report that show it, the raw files that hold it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bmtlib.analysis.tables import Tables
from bmtlib.rundir import LOOSE_HOSTS


@dataclass(frozen=True, kw_only=True)
class Proof:
    """figure: a name of `plots.FIGURES`. table: the anchor of a table of the report, or empty.

    file: below the case's folder; `{host}` is the first one of `role`
    """

    figure: str
    table: str
    file: str = "case.json"
    role: str = ""


_DROPS = {"figure": "lost-by-layer", "table": "t-drops", "role": "director"}
_CLIENT = {"role": "client", "file": "{host}/{load}.txt"}
_RATE = Proof(figure="throughput", table="t-throughput")
# By metric. What stands in no raw file by itself (a window, a count over all clients) stands in case.json.
PROOFS: dict[str, Proof] = {
    "requests_per_s": _RATE,
    "spread_requests_per_s": _RATE,
    "failed_share": _RATE,
    "wait_p50_ms": Proof(figure="waits", table="t-waits", **_CLIENT),
    "wait_p99_ms": Proof(figure="waits", table="t-waits", **_CLIENT),
    "director_cpu_us_per_request": Proof(
        figure="director-cpu", table="t-director-cpu", role="director", file="{host}/stat.after.txt"
    ),
    "director_bytes_per_request": Proof(
        figure="director-bytes", table="t-director-bytes", role="director", file="{host}/ip_link.after.txt"
    ),
    "ipvs_cpu_share": Proof(
        figure="packets-by-cpu", table="", role="director", file="{host}/ip_vs_percpu.after.txt"
    ),
    "packet_cpu_share": Proof(
        figure="packets-by-cpu", table="", role="director", file="{host}/softnet.after.txt"
    ),
    "drops_nic": Proof(**_DROPS, file="{host}/ethtool_stats@{card}.after.txt"),
    "drops_backlog": Proof(**_DROPS, file="{host}/softnet.after.txt"),
    **dict.fromkeys(
        ("drops_ip", "drops_syn", "drops_accept", "drops_socket"), Proof(**_DROPS, file="{host}/nstat.after.txt")
    ),
    "syn_retransmits": Proof(
        figure="lost-by-layer", table="t-drops", role="client", file="{host}/nstat.after.txt"
    ),
}  # fmt: skip


def raw_files(tables: Tables, metric: str, cases: Iterable[str]) -> tuple[str, ...]:
    """One file of each case that holds a metric's figure, as paths in the run folder. Of counters that is the state
    after the load; the one before lies beside it."""
    proof = PROOFS.get(metric, _RATE)
    engines = tables.cases.set_index("case")["load_engine"]
    return tuple(f"cases/{case}/{_file(tables, proof, str(engines[case]))}" for case in cases)


def _file(tables: Tables, proof: Proof, load: str) -> str:
    hosts = [host for host in tables.run.get("hosts") or [] if host["role"] == proof.role]
    if not hosts:
        return "case.json"
    if len(hosts) > LOOSE_HOSTS:
        return f"{proof.role}.zip"
    cards = list((hosts[0].get("interfaces") or {}).values())
    return proof.file.format(host=hosts[0]["name"], load=load, card=cards[0] if cards else "eth0")
