"""What a rule of the bottleneck diagnosis says: how far a resource was used in a case, and what proves it."""

from __future__ import annotations

from dataclasses import dataclass

# Limits by name, in words.
LIMITS: dict[str, str] = {
    "ports": "local ports",
    "conntrack": "the connection table (conntrack)",
    "link": "the link",
    "director-softirq": "the director's CPUs, with packets (softirq)",
    "director-cpu": "the director's CPUs, with programs (user and system)",
    "director-one-cpu": "one CPU of the director, while others idled",
    "director-queue": "a receive queue of the director (NIC or RPS)",
    "client-cpu": "the clients' CPUs",
    "web-cpu": "the web hosts' CPUs",
    "client-web-cpu": "the CPUs that clients and web hosts share",
    "all-cpu": "the CPUs that all hosts share",
    "foreign-work": "other work on the hosts' CPUs",
    "maxconn": "HAProxy's maxconn",
    "rate-limit": "HAProxy's rate limit",
    "accept-queue": "a listen queue (accept)",
    "syn-queue": "a listen queue (SYN)",
    "low-load": "nothing: the load was too low",
    "unknown": "unknown: nothing was measured",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One resource in one case. `limit`: a name of LIMITS.

    `pressure`: how far it was used, against the share at which it counts as the limit: 1 and above is the limit, 0.5
    half of it. `evidence`: the counters with their values.
    """

    case: str
    limit: str
    pressure: float
    evidence: str
