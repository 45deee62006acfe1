"""The l2dsr arm on a kernel without ip_vs: nftables' netdev ingress hook rewrites the MAC addresses, as LVS would.

It is stateless hashing over client address and port, not round robin: every result names the engine.
"""

from __future__ import annotations

from collections.abc import Sequence

from bmtlib.setup.change import Change, command
from bmtlib.setup.made import made
from bmtlib.setup.template import render

_LOOK = """\
tables=$(nft list tables netdev) || return
printf '%s\\n' "$tables" | sed -n '/^table netdev bmt$/p'
"""


def nft_changes(
    host: str, *, macs: Sequence[str], back_mac: str, front: str, back: str, vip: str, port: int
) -> list[Change]:
    """One nftables table. `macs`: the web hosts'; `front`, `back`: the director's interfaces; `back_mac`: its own."""
    text = render(
        "l2dsr.nft", host=host, macs=list(macs), back_mac=back_mac, front=front, back=back, vip=vip, port=port
    )
    do, undo = made(
        "table netdev bmt", (), look=_LOOK, make="nft -f -", remove="nft delete table netdev bmt", stdin=text
    )
    return [
        Change(
            host=host,
            what="nftables table netdev bmt",
            before=None,
            want=f"{len(macs)} web hosts by hash",
            do=do,
            undo=undo,
            check=command("sh", "-c", "nft list table netdev bmt | grep -c 'jhash'"),
            expect="1",
            scope="netns",
            reason="Layer-2 Direct Server Return",
        )
    ]
