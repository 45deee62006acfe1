"""Whether a plan fits the machine, asked before anything is started: all misfits at once."""

from __future__ import annotations

from bmtlib.errors import InputError
from bmtlib.measure.load import spread
from bmtlib.params.scenario import ProxyArm
from bmtlib.plan import Plan
from bmtlib.setup.haproxy import check_proxy

_SPARE_FILES = 20  # descriptors ab itself needs
_DEFAULT_PORTS = 60999 - 32768 + 1  # net.ipv4.ip_local_port_range of every kernel since 3.2


def check_limits(
    plan: Plan, *, director_cpus: frozenset[int], nofile: int, ab_concurrency: int, ports: int | None
) -> None:
    """Raise one InputError that lists every case of the plan that cannot be run as asked.

    `nofile`: hard limit of open files; `ab_concurrency`: ab's largest -c; `ports`: local ports a client may use towards
    one address, None for the kernel's default.
    """
    problems: dict[str, None] = {}
    for case in plan.cases:
        most = max(spread(case.load.concurrency, plan.scenario.clients))
        limits = {
            "ab's largest -c": ab_concurrency,
            "the hard limit of open files (ulimit -Hn), less what ab needs itself": nofile - _SPARE_FILES,
            "the local ports of one client": _DEFAULT_PORTS if ports is None else ports,
        }
        for name, limit in limits.items():
            if most > limit:
                text = f"concurrency {case.load.concurrency} over {plan.scenario.clients} clients is {most} for one"
                problems[f"{text}; {name} is {limit}"] = None
        if isinstance(case.settings, ProxyArm):
            try:
                check_proxy(case.settings, cpus=director_cpus, nofile=nofile, servers=plan.scenario.webs)
            except InputError as error:
                problems[f"{error.what} (to do: {error.todo})"] = None
    if problems:
        raise InputError(
            "this machine cannot run the scenario:\n    " + "\n    ".join(problems),
            where=plan.scenario.title,
            todo="more clients or less concurrency (--set clients=8, --set load.concurrency=200), or as said above",
        )
