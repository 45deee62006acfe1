"""Whether a plan fits the machine, asked before anything is started: all misfits at once."""

from __future__ import annotations

from bmtlib.cpus import to_list
from bmtlib.errors import InputError
from bmtlib.measure.load import deadline_s, spread
from bmtlib.params.scenario import AnyLvsArm, DirectArm, ProxyArm
from bmtlib.plan import Case, Plan
from bmtlib.setup.haproxy import check_proxy

_SPARE_FILES = 20  # descriptors ab itself needs
_DEFAULT_PORTS = 60999 - 32768 + 1  # net.ipv4.ip_local_port_range of every kernel since 3.2
# A closed connection's entry in LVS's table (IP_VS_TCP_S_FIN_WAIT, IP_VS_TCP_S_TIME_WAIT in ip_vs_proto_tcp.c).
CLOSED_ENTRY_S = 120


def unreachable_levels(plan: Plan, *, director_cpus: frozenset[int], max_queues: int | None) -> dict[str, str]:
    """Cases whose level of a factor is above what the director has: id -> reason. They are left out and said.

    `max_queues`: of the director's interfaces; None where they have none to choose and RPS takes their place. A queue
    (or a thread) without a CPU of its own would show nothing.
    """
    found: dict[str, str] = {}
    cpus = f"the director has {len(director_cpus)} CPU{'s' if len(director_cpus) > 1 else ''}: {to_list(director_cpus)}"
    for case in plan.cases:
        threads = case.settings.threads if isinstance(case.settings, ProxyArm) and "threads" in case.levels else 0
        if threads > len(director_cpus):
            found[case.id] = f"{threads} HAProxy threads, and {cpus}"
        elif case.queues is not None and case.queues > len(director_cpus):
            found[case.id] = f"{case.queues} queues, and {cpus}"
        elif case.queues is not None and max_queues is not None and case.queues > max_queues:
            found[case.id] = f"{case.queues} queues, and the director's interfaces have {max_queues} at the most"
    return found


def check_limits(
    plan: Plan,
    *,
    director_cpus: frozenset[int],
    director_nofile: int,
    nofile: int,
    ab_concurrency: int,
    ports: int | None,
    max_queues: int | None = None,
) -> None:
    """Raise one InputError that lists every case of the plan that cannot be run as asked.

    `nofile`, `director_nofile`: hard limits of open files, of clients and of the director; `ab_concurrency`: ab's
    largest -c; `ports`: local ports a client may use towards one address, None for the kernel's default;
    `max_queues` as in `unreachable_levels`. Levels that a run leaves out are no misfit, unless nothing is left.
    """
    problems: dict[str, None] = {}
    left_out = unreachable_levels(plan, director_cpus=director_cpus, max_queues=max_queues)
    if len(left_out) == len(plan.cases):
        problems = dict.fromkeys(left_out.values())
    for case in plan.cases:
        if case.id in left_out:
            continue
        clients = case.load.clients(plan.scenario.clients)
        most = max(spread(case.load.concurrency, clients))
        limits = {
            **({"ab's largest -c": ab_concurrency} if case.load.engine == "ab" else {}),
            "the hard limit of open files (ulimit -Hn), less what ab needs itself": nofile - _SPARE_FILES,
            "the local ports of one client": _DEFAULT_PORTS if ports is None else ports,
        }
        for name, limit in limits.items():
            if most > limit:
                text = f"concurrency {case.load.concurrency} over {clients} clients is {most} for one"
                problems[f"{text}; {name} is {limit}"] = None
        if isinstance(case.settings, ProxyArm):
            try:
                check_proxy(case.settings, cpus=director_cpus, nofile=director_nofile, servers=plan.scenario.webs)
            except InputError as error:
                problems[f"{error.what} (to do: {error.todo})"] = None
        elif not isinstance(case.settings, DirectArm) and (why := _thresholds(case, case.settings, plan.scenario.webs)):
            problems[why] = None
    if problems:
        raise InputError(
            "this machine cannot run the scenario:\n    " + "\n    ".join(problems),
            where=plan.scenario.title,
            todo="more clients or less concurrency (--set clients=8, --set load.concurrency=200), or as said above",
        )


def closed_entry_s(arm: AnyLvsArm, tcp_fin_s: int = CLOSED_ENTRY_S) -> int:
    """Seconds for which LVS keeps, and counts, a closed connection. `tcp_fin_s`: what the director has.

    Under nat it sees both sides close: the entry ends in TIME_WAIT, whose time cannot be set.
    """
    if arm.kind == "nat":
        return CLOSED_ENTRY_S
    return (arm.timeouts and arm.timeouts.tcp_fin) or tcp_fin_s


def _thresholds(case: Case, arm: AnyLvsArm, webs: int) -> str | None:
    """Why `upper_threshold` is sure to shut the web hosts, from what is known before: concurrency, requests, time."""
    upper, load = arm.upper_threshold, case.load
    room = upper * webs
    if not upper or arm.engine == "nft":
        return None
    sum_of = f"{webs} web hosts with upper_threshold {upper} take {room:,}"
    if load.concurrency > room:
        return f"{load.concurrency:,} connections at one time, and {sum_of}: LVS refuses the rest"
    life = closed_entry_s(arm)
    # A load is given up after its deadline, so one that counts is at least this fast.
    entries = (load.requests or 0) * min(1.0, life / deadline_s(load))
    if load.keepalive or entries <= room:
        return None
    return (
        f"{load.requests:,} connections, each counted for {life} s after its end, are at least {entries:,.0f} entries "
        f"at a time, and {sum_of}: LVS shuts them (to do: a higher threshold, timeouts.tcp_fin, or `seconds` of load)"
    )
