"""The rules for a profile's cards, interrupts, steering, CPUs and nginx."""

from __future__ import annotations

import re

from bmtlib.cpus import parse_list
from bmtlib.setup.finding import Asked, Finding, Judgement

# The longest listen queue of kernels that counted it in 16 bits: 6.5 s of work at 10,000 connections/s.
_LONG_QUEUE = 65_535
_CONNECTIONS_PER_S = 10_000  # what web hosts and directors of the study came to, and more
_FIFOS = ("pfifo_fast", "pfifo", "bfifo")
_OF_THE_MACHINE = ("irq.cpus", "cpu.governor", "cpu.isolate", "cpu.kernel_args", "steering.rfs_entries")

# Beginning of a key -> what it does, and the source of that.
_DOES = {
    "nic.channels": ("Queues of the card; what it can have: ethtool -l.", "ethtool(8), -L"),
    "nic.ring": ("Packets that wait in the card for the kernel; what it can have: ethtool -g.", "ethtool(8), -G"),
    "nic.coalesce": ("When the card raises an IRQ; a driver takes what it can.", "ethtool(8), -C"),
    "nic.features": ("An offload of the card; which it has: ethtool -k.", "ethtool(8), -K"),
    "nic.rx_flow_hash": ("Header fields that choose the receive queue.", "ethtool(8), -N rx-flow-hash"),
    "nic.indirection": ("Queues that flows are spread over.", "ethtool(8), -X equal"),
    "nic.txqueuelen": ("Packets that wait before the transmit ring.", "net/sched/sch_generic.c, pfifo_fast_init"),
    "irq.cpus": ("CPUs that take the queues' IRQs, in turn.", "Documentation/core-api/irq/irq-affinity.rst"),
    "steering": ("Packets spread over CPUs by software.", "Documentation/networking/scaling.rst"),
    "cpu.governor": ("How fast the CPUs run; a virtual machine has none.", "Documentation/admin-guide/pm/cpufreq.rst"),
    "cpu.isolate": (
        "CPUs that nothing runs on but what is pinned to them.",
        "Documentation/admin-guide/cgroup-v2.rst, cpuset; Documentation/admin-guide/kernel-parameters.txt, isolcpus",
    ),
    "cpu.kernel_args": (
        "Arguments of the kernel; in force after the next boot.",
        "Documentation/admin-guide/kernel-parameters.txt",
    ),
    "nginx.worker_processes": ("Processes; more than CPUs only take turns.", "ngx_core_module, worker_processes"),
    "nginx.worker_connections": ("Connections of one worker at one time.", "ngx_core_module, worker_connections"),
    "nginx.worker_rlimit_nofile": ("Open files of one worker.", "ngx_core_module, worker_rlimit_nofile"),
    "nginx.backlog": ("Length of the listen queue.", "ngx_http_core_module, listen; listen(2)"),
    "nginx.access_log": (
        "A line for each request, if true: work that is measured too.",
        "ngx_http_log_module, access_log",
    ),
    "nginx.keepalive": ("Plays a part only in loads with keepalive.", "ngx_http_core_module, keepalive_timeout"),
}


def hardware_finding(asked: Asked, key: str, value: str) -> Finding:
    """The judgement of one setting of cards, interrupts, steering or CPUs, by its dotted key."""
    judged: Judgement = None
    if asked.namespace and key in _OF_THE_MACHINE:
        judged = "global", "It belongs to the whole machine."
    elif key == "nic.txqueuelen":
        judged = _txqueuelen(asked)
    elif key == "irq.cpus":
        judged = _cpus_without_queue(asked, value)
    elif _isolates_cpu_0(key, value):
        why = "CPU 0 is among them, and work of the kernel that no other CPU can do"
        judged = "harmful", f"{why}. isolcpus, which isolates at boot, is deprecated in favour of cpusets."
    return _finding(key, value, judged)


def _isolates_cpu_0(key: str, value: str) -> bool:
    if key == "cpu.isolate":
        return value != "proxy" and 0 in parse_list(value)
    lists = re.findall(r"\bisolcpus=(?:[a-z_]+,)*([0-9,-]+)", value) if key == "cpu.kernel_args" else []
    return any(re.match(r"0\b", part) for cpus in lists for part in cpus.split(","))


def _txqueuelen(asked: Asked) -> Judgement:
    what, qdisc = "It bounds the queue of pfifo_fast only", asked.sysctl("net.core.default_qdisc")
    if qdisc is None:
        return "unknown", f"{what}; what net.core.default_qdisc is on this kernel is not known here."
    return None if qdisc in _FIFOS else ("inert", f"{what}, and net.core.default_qdisc is {qdisc}.")


def _cpus_without_queue(asked: Asked, value: str) -> Judgement:
    queues = asked.profile.nic.channels
    if not isinstance(queues, int) or value in ("all", "proxy", "others"):
        return None
    cpus = len(parse_list(value))
    why = f"In part: {cpus} CPUs, and nic.channels gives the card {queues} queues"
    return ("inert", f"{why}; {cpus - queues} of the CPUs have no queue's IRQ.") if cpus > queues else None


def nginx_finding(asked: Asked, key: str, value: str) -> Finding:
    """The judgement of one setting of nginx, whose name is `key`."""
    nginx = asked.profile.nginx
    assert nginx is not None
    judged: Judgement = None
    if key == "backlog":
        judged = _backlog(nginx.backlog, asked.sysctl("net.core.somaxconn"))
    elif key == "worker_connections" and nginx.worker_connections > nginx.worker_rlimit_nofile:
        judged = "inert", f"In part: a worker may open {nginx.worker_rlimit_nofile} files (worker_rlimit_nofile)."
    return _finding(f"nginx.{key}", value, judged)


def _backlog(length: int, somaxconn: str | None) -> Judgement:
    if somaxconn is not None and somaxconn.isdecimal() and length > int(somaxconn):
        return "inert", f"In part: net.core.somaxconn cuts the queue to {somaxconn}."
    if length > _LONG_QUEUE:
        why = "So long a queue hides overload as waiting time"
        return "harmful", f"{why}: {length / _CONNECTIONS_PER_S:.0f} s of it at {_CONNECTIONS_PER_S} connections/s."
    return None


def _finding(key: str, value: str, judged: Judgement) -> Finding:
    """With no objection: what the key does. A key that is not in _DOES has no rule either."""
    does, source = next((about for start, about in _DOES.items() if key.startswith(start)), ("", ""))
    verdict, reason = judged or (("ok", does) if does else ("unknown", "No rule judges this setting."))
    return Finding(key=key, value=value, verdict=verdict, reason=reason, source=source)
