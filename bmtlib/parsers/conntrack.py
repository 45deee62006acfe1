"""`sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max`: how full the connection table is.

The keys exist only where the nf_conntrack module is loaded; elsewhere sysctl fails and there is nothing to parse.
"""

from __future__ import annotations

from typing import TypedDict

from bmtlib.parsers.reading import COUNT, Lines


class ConntrackRow(TypedDict):
    """The table now.

    count: entries of this network namespace
    max: the most there may be; one limit, applied to each namespace
    """

    count: int
    max: int


def parse(text: str) -> list[ConntrackRow]:
    """One row; both keys must be there, in this order.

    >>> parse("net.netfilter.nf_conntrack_count = 7\\nnet.netfilter.nf_conntrack_max = 262144\\n")
    [{'count': 7, 'max': 262144}]
    """
    lines = Lines("conntrack", text)
    count = lines.take(rf"net\.netfilter\.nf_conntrack_count = (?P<n>{COUNT})", "nf_conntrack_count")
    limit = lines.take(rf"net\.netfilter\.nf_conntrack_max = (?P<n>{COUNT})", "nf_conntrack_max")
    lines.end()
    return [ConntrackRow(count=int(count["n"]), max=int(limit["n"]))]
