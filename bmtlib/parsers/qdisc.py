"""`tc -s -j qdisc show` of iproute2: what waits to be sent, and what was dropped or held back. Source: tc-tbf(8)."""

from __future__ import annotations

from typing import TypedDict

from bmtlib.parsers.reading import Json


class QdiscRow(TypedDict):
    """One queueing discipline; counts since it was made.

    interface; kind: noqueue, pfifo_fast, fq_codel, mq, tbf ...; handle
    bytes, packets: sent; drops; overlimits: times that it held packets back; backlog_bytes: waiting now
    rate_bytes_per_s: what a shaper (tbf) lets through; None for all others
    """

    interface: str
    kind: str
    handle: str
    bytes: int
    packets: int
    drops: int
    overlimits: int
    backlog_bytes: int
    rate_bytes_per_s: int | None


def parse(text: str) -> list[QdiscRow]:
    """One row per discipline.

    >>> parse('[{"kind":"noqueue","handle":"0:","dev":"eth0","options":{},"bytes":0,"packets":0,"drops":0,'
    ...       '"overlimits":0,"requeues":0,"backlog":0,"qlen":0}]')[0]["kind"]
    'noqueue'
    """
    return [_row(item) for item in Json.load("qdisc", text).items()]


def _row(item: Json) -> QdiscRow:
    kind, options = item["kind"].text(), item["options"]
    return QdiscRow(
        interface=item["dev"].text(),
        kind=kind,
        handle=item["handle"].text(),
        bytes=item["bytes"].count(),
        packets=item["packets"].count(),
        drops=item["drops"].count(),
        overlimits=item["overlimits"].count(),
        backlog_bytes=item["backlog"].count(),
        rate_bytes_per_s=options["rate"].count() if kind == "tbf" else None,
    )
