"""`ip -s -j link` of iproute2: the interfaces of one network namespace. Source: ip/ipaddress.c, ip-link(8)."""

from __future__ import annotations

from typing import TypedDict

from bmtlib.parsers.reading import Json


class LinkRow(TypedDict):
    """One interface; counts since it was made.

    interface: name
    state: operational state (UP, DOWN, UNKNOWN, LOWERLAYERDOWN ...)
    address: MAC address, lower case; None for an interface without one
    mtu_bytes: largest packet
    txqlen_packets: length of the send queue; None where there is none
    rx_bytes, rx_packets, rx_errors, rx_dropped, rx_over_errors, rx_multicast
    tx_bytes, tx_packets, tx_errors, tx_dropped, tx_carrier_errors, tx_collisions
        bytes with Ethernet header and without checksum; rx_over_errors: overruns of the card's ring
    """

    interface: str
    state: str
    address: str | None
    mtu_bytes: int
    txqlen_packets: int | None
    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    rx_over_errors: int
    rx_multicast: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int
    tx_carrier_errors: int
    tx_collisions: int


def parse(text: str) -> list[LinkRow]:
    """One row per interface, in the order of their indexes. Other keys of the JSON are not read."""
    links = Json.load("ip_link", text)
    rows = [_row(link) for link in links.items()]
    if not rows:
        links.fail("is empty: there is always a loopback interface")
    return rows


def _row(link: Json) -> LinkRow:
    rx, tx = link["stats64"]["rx"], link["stats64"]["tx"]
    return LinkRow(
        interface=link["ifname"].text(),
        state=link["operstate"].text(),
        address=link["address"].text() if link.has("address") else None,
        mtu_bytes=link["mtu"].count(),
        txqlen_packets=link["txqlen"].count() if link.has("txqlen") else None,
        rx_bytes=rx["bytes"].count(),
        rx_packets=rx["packets"].count(),
        rx_errors=rx["errors"].count(),
        rx_dropped=rx["dropped"].count(),
        rx_over_errors=rx["over_errors"].count(),
        rx_multicast=rx["multicast"].count(),
        tx_bytes=tx["bytes"].count(),
        tx_packets=tx["packets"].count(),
        tx_errors=tx["errors"].count(),
        tx_dropped=tx["dropped"].count(),
        tx_carrier_errors=tx["carrier_errors"].count(),
        tx_collisions=tx["collisions"].count(),
    )
