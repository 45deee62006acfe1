"""Counters in `nft -j list ruleset`. Source: nftables 1.0.6, libnftables-json(5)."""

from __future__ import annotations

from typing import TypedDict

from bmtlib.parsers.reading import Json


class NftCounterRow(TypedDict):
    """One counter: inside a rule, or an object with a name.

    family, table: where it is ("netdev", "l2dsr")
    chain: the rule's; None for a counter with a name
    name: of the counter; None inside a rule
    handle: the kernel's number of the rule or counter, unique in its table for as long as the rule lives
    comment: of the rule or counter; None when it has none
    packets, bytes: since it was made; bytes of IP packets, in the netdev family too (no Ethernet header)
    """

    family: str
    table: str
    chain: str | None
    name: str | None
    handle: int
    comment: str | None
    packets: int
    bytes: int


def parse(text: str) -> list[NftCounterRow]:
    """One row per counter, in the order of the ruleset; none without counters.

    A rule that refers to a counter by name adds no row. Counters of single set elements are not read.

    >>> parse('{"nftables": [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}}]}')
    []
    """
    document = Json.load("nft", text)["nftables"]
    entries = document.items()
    if not entries or not entries[0].has("metainfo"):
        document.fail("does not begin with metainfo")
    if entries[0]["metainfo"]["json_schema_version"].value != 1:
        entries[0].fail("is not of schema version 1")
    rows: list[NftCounterRow] = []
    for entry in entries:
        if entry.has("counter"):
            counter = entry["counter"]
            rows.append(_row(counter, counter, chain=None, name=counter["name"].text()))
        elif entry.has("rule"):
            rule = entry["rule"]
            counters = [statement["counter"] for statement in rule["expr"].items() if statement.has("counter")]
            chain = rule["chain"].text()
            rows += [_row(rule, c, chain=chain, name=None) for c in counters if not isinstance(c.value, str)]
    return rows


def _row(place: Json, counter: Json, *, chain: str | None, name: str | None) -> NftCounterRow:
    return NftCounterRow(
        family=place["family"].text(),
        table=place["table"].text(),
        chain=chain,
        name=name,
        handle=place["handle"].count(),
        comment=place["comment"].text() if place.has("comment") else None,
        packets=counter["packets"].count(),
        bytes=counter["bytes"].count(),
    )
