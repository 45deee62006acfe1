"""Rules of the bottleneck diagnosis on CPU time: whose CPUs were full, with what, and whether others idled meanwhile.

Each rule is a function of the tables. Shares are of the time while the load ran (samples of /proc/stat within it; where
there are none, from before it to after it). Stolen time counts as busy: the CPU could not do more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from bmtlib.analysis.costs import separable
from bmtlib.analysis.finding import Finding
from bmtlib.analysis.naming import percent
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import once
from bmtlib.texts import say, say_n

FULL = 0.90  # a CPU that is busy for longer has nothing left to give: ticks of 10 ms see no finer, and samples jitter
IDLE_BESIDE = 0.60  # mean of the director's other CPUs below which one full CPU is the limit, and not all of them
MOSTLY = 0.50  # of the busy time: what a CPU was full with
DOMINANT = 2 / 3  # of the CPU time of clients and web hosts together, from which it is one role's
FOREIGN = 0.20  # of the busy time, that no process of a host and no softirq had: below, ticks and samples explain it

_KINDS = ["user", "system", "softirq", "irq", "steal", "iowait", "idle"]


@once
def cpu_shares(tables: Tables) -> pd.DataFrame:
    """case, host, role, cpu; a column for each kind with its share of the CPU's time; busy: all but idle and iowait."""
    window = tables.cases.set_index("case")["window_s"]
    samples = tables.cpu_time.assign(window_s=tables.cpu_time["case"].map(window).astype("float64"))
    inside = samples[(samples["time_s"] - samples["span_s"] >= 0) & (samples["time_s"] <= samples["window_s"])]
    rest = tables.cpu[~tables.cpu["case"].isin(inside["case"])]
    keys = ["case", "host", "role", "cpu"]
    spent = pd.concat([inside[[*keys, "cpu_kind", "cpu_s"]], rest[[*keys, "cpu_kind", "cpu_s"]]])
    wide = spent.pivot_table(index=keys, columns="cpu_kind", values="cpu_s", aggfunc="sum", fill_value=0.0)
    wide = wide.reindex(columns=_KINDS, fill_value=0.0)
    total = wide.sum(axis=1)
    shares = wide[total > 0].div(total[total > 0], axis=0)
    return shares.assign(busy=1 - shares["idle"] - shares["iowait"]).reset_index()


def director_cpu(tables: Tables) -> Iterator[Finding]:
    """The director's own CPUs; in arm direct nobody asks it."""
    if not separable(tables):
        return
    shares = cpu_shares(tables)
    kinds = tables.cases.set_index("case")["kind"]
    own = shares[(shares["role"] == "director") & (shares["case"].map(kinds) != "direct")]
    for case, cpus in own.groupby("case"):
        ordered = cpus.sort_values("busy", ascending=False)
        busiest, others = ordered.iloc[0], ordered["busy"].iloc[1:]
        softirq = busiest["softirq"] + busiest["irq"]
        with_packets = softirq >= MOSTLY * busiest["busy"]
        parts = [
            say(
                "director/stat: CPU {cpu} busy {busy} (user {user}, system {system}, softirq {softirq})",
                cpu=busiest["cpu"],
                softirq=percent(softirq),
                **{kind: percent(busiest[kind]) for kind in ("busy", "user", "system")},
            )
        ]
        if len(others) and others.mean() < IDLE_BESIDE:
            limit = "director-queue" if with_packets else "director-one-cpu"
            parts.append(say(", the other {count} {busy}", count=len(others), busy=percent(others.mean())))
            parts += [_packets_on(tables, str(case), int(busiest["cpu"]))] if with_packets else []
        else:
            limit = "director-softirq" if with_packets else "director-cpu"
        spent = {role: seconds for role, seconds in _spent(tables, str(case)).items() if role == "director"}
        foreign = _foreign(tables, str(case), str(busiest["host"]), spent)
        yield from _told_apart(
            Finding(case=str(case), limit=limit, pressure=busiest["busy"], evidence="".join(parts)), foreign
        )


def _told_apart(busy: Finding, foreign: float) -> Iterator[Finding]:
    """A finding whose pressure is still the busy share, without what others had of it; and that, where it is much."""
    if foreign < FOREIGN:
        yield replace(busy, pressure=busy.pressure / FULL)
        return
    evidence = say(
        "{evidence}; {share} of the busy time was nobody's of the test", evidence=busy.evidence, share=percent(foreign)
    )
    yield replace(busy, pressure=busy.pressure * (1 - foreign) / FULL, evidence=evidence)
    yield replace(busy, limit="foreign-work", pressure=busy.pressure / FULL, evidence=evidence)


def _packets_on(tables: Tables, case: str, cpu: int) -> str:
    own = tables.softnet[(tables.softnet["case"] == case) & (tables.softnet["role"] == "director")]
    total = own["processed"].sum()
    if not total:
        return ""
    share = percent(own.loc[own["cpu"] == cpu, "processed"].sum() / total)
    return say("; softnet: {share} of the packets on that CPU", share=share)


def shared_cpu(tables: Tables) -> Iterator[Finding]:
    """CPUs that clients and web hosts of one machine have in common, or all hosts where the director has none alone."""
    machines = _roles_by_machine(tables)
    apart = separable(tables)
    shares = cpu_shares(tables)
    if apart:
        shares = shares[shares["role"] != "director"]
    for (case, host), cpus in shares.groupby(["case", "host"]):
        roles = machines.get(str(host), set()) - ({"director"} if apart else set())
        if len(roles) < 2:
            continue
        busy = cpus["busy"].mean()
        spent = _spent(tables, str(case))
        softirq = float((cpus["softirq"] + cpus["irq"]).mean())
        evidence = say_n(
            "{host}/stat: {n} CPU busy {busy} (softirq, which cannot be told apart, {softirq}); CPU time of "
            "processes: {spent}",
            "{host}/stat: {n} CPUs busy {busy} (softirq, which cannot be told apart, {softirq}); CPU time of "
            "processes: {spent}",
            len(cpus),
            host=host,
            busy=percent(busy),
            softirq=percent(softirq),
            spent=_spent_text(spent),
        )
        finding = Finding(case=str(case), limit=_whose(roles, spent), pressure=busy, evidence=evidence)
        yield from _told_apart(finding, _foreign(tables, str(case), str(host), spent))


def _whose(roles: set[str], spent: dict[str, float]) -> str:
    """Client or web CPU where one of both clearly had it, else the CPUs that they share."""
    if "director" in roles:
        return "all-cpu"
    client, web = spent.get("client"), spent.get("web")
    if client is None or web is None or client + web == 0:
        return "client-web-cpu"
    share = client / (client + web)
    return "client-cpu" if share >= DOMINANT else "web-cpu" if share <= 1 - DOMINANT else "client-web-cpu"


def _spent(tables: Tables, case: str) -> dict[str, float]:
    """CPU seconds of the processes of each role's hosts, of roles that were asked."""
    mine = tables.process_cpu[tables.process_cpu["case"] == case]
    return {str(role): float(seconds) for role, seconds in mine.groupby("role")["cpu_s"].sum().items()}


def _spent_text(spent: dict[str, float]) -> str:
    words = {"client": say("clients"), "web": say("web hosts"), "director": say("director")}
    return ", ".join(f"{words[role]} {seconds:.2f} s" for role, seconds in spent.items()) or say("not measured")


def _foreign(tables: Tables, case: str, host: str, spent: dict[str, float]) -> float:
    """Of the busy time of CPUs, from before the load to after it, what no process of `spent` had, which all run there.

    Those of the director where `spent` has only its own, else the others. Softirqs are taken as ours, though kernels
    that do not keep them apart charge them to processes as well: so this is the least that it was. 0 where the
    processes were not asked.
    """
    mine = set(spent) == {"director"}
    if not mine and not {"client", "web"} <= set(spent):
        return 0.0
    cpu = tables.cpu[(tables.cpu["case"] == case) & (tables.cpu["host"] == host)]
    if separable(tables):
        cpu = cpu[(cpu["role"] == "director") == mine]
        spent = {role: seconds for role, seconds in spent.items() if (role == "director") == mine}
    seconds = cpu.groupby("cpu_kind")["cpu_s"].sum()
    busy = seconds.drop(labels=["idle", "iowait"], errors="ignore").sum()
    ours = sum(spent.values()) + seconds.reindex(["softirq", "irq", "steal"], fill_value=0.0).sum()
    return max(0.0, 1 - ours / busy) if busy else 0.0


def own_cpu(tables: Tables) -> Iterator[Finding]:
    """CPUs of machines that serve one role alone: of clients their mean, of web hosts the busiest, where all wait."""
    machines = _roles_by_machine(tables)
    shares = cpu_shares(tables)
    alone = {host: next(iter(found)) for host, found in machines.items() if len(found) == 1}
    by_host = shares.groupby(["case", "host"])["busy"].mean().reset_index()
    by_host = by_host.assign(role=[alone.get(host, "") for host in by_host["host"]])
    for (case, role), hosts in by_host[by_host["role"].isin(["client", "web"])].groupby(["case", "role"]):
        busiest = hosts.sort_values("busy").iloc[-1]
        busy = hosts["busy"].mean() if role == "client" else busiest["busy"]
        evidence = say(
            "stat of {count} hosts: mean {mean} busy, most {host}: {most}",
            count=len(hosts),
            mean=percent(hosts["busy"].mean()),
            host=busiest["host"],
            most=percent(busiest["busy"]),
        )
        yield Finding(case=str(case), limit=f"{role}-cpu", pressure=busy / FULL, evidence=evidence)


def load_generators(tables: Tables) -> Iterator[Finding]:
    """Load generators of one thread each: when all of them fill a CPU, nobody can ask for more."""
    load = tables.process_cpu[tables.process_cpu["process"] == "load"]
    window = tables.cases.set_index("case")["window_s"]
    for case, clients in load.groupby("case"):
        if not window.get(str(case), 0) > 0:
            continue
        used = clients["cpu_s"] / window[case]
        evidence = say(
            "load.times of {count} clients: {share} of a CPU each", count=len(clients), share=percent(used.mean())
        )
        yield Finding(case=str(case), limit="client-cpu", pressure=used.mean() / FULL, evidence=evidence)


def _roles_by_machine(tables: Tables) -> dict[str, set[str]]:
    """Roles of all hosts on the machine that each host is on."""
    hosts = tables.run.get("hosts") or []
    roles: dict[str | None, set[str]] = {}
    for host in hosts:
        roles.setdefault(host.get("machine"), set()).add(host["role"])
    return {host["name"]: roles[host.get("machine")] for host in hosts}
