"""What a rule of the bottleneck diagnosis says: how far a resource was used in a case, and what proves it."""

from __future__ import annotations

from dataclasses import dataclass

from bmtlib.texts import msg

# Limits by name, in words; said with `translated`.
LIMITS: dict[str, str] = {
    "ports": msg("local ports"),
    "conntrack": msg("the connection table (conntrack)"),
    "link": msg("the link"),
    "director-softirq": msg("the director's CPUs, with packets (softirq)"),
    "director-cpu": msg("the director's CPUs, with programs (user and system)"),
    "director-one-cpu": msg("one CPU of the director, while others idled"),
    "director-queue": msg("a receive queue of the director (NIC or RPS)"),
    "client-cpu": msg("the clients' CPUs"),
    "web-cpu": msg("the web hosts' CPUs"),
    "client-web-cpu": msg("the CPUs that clients and web hosts share"),
    "all-cpu": msg("the CPUs that all hosts share"),
    "foreign-work": msg("other work on the hosts' CPUs"),
    "maxconn": msg("HAProxy's maxconn"),
    "rate-limit": msg("HAProxy's rate limit"),
    "accept-queue": msg("a listen queue (accept)"),
    "syn-queue": msg("a listen queue (SYN)"),
    "low-load": msg("nothing: the load was too low"),
    "unknown": msg("unknown: nothing was measured"),
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
