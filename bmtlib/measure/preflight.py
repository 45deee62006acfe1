"""Proof before any load that an arm does what its name says: right bytes from all web hosts, one ARP answer, the path.

The requests go to /preflight/..., where nginx adds the name of the host that answered; the load asks for the same
file elsewhere, without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bmtlib.errors import CaseError
from bmtlib.hosts.host import Host
from bmtlib.parsers import arping, ip_link
from bmtlib.setup.nginx import file_name, file_sha256
from bmtlib.setup.tls import tls_probe

_MOST_BODY_BYTES = 64 * 1024**2
PROOF_BYTES = (
    65536  # large enough that the answer dwarfs handshakes and requests: which way it went shows in the counters
)
THROUGH = ("proxy", "nat")  # arms whose answers pass the director; all others' go past it

# The folder is made anew and never left behind: a body of another fetch would be taken for an answer.
_FETCH = """\
folder=$1; shift
rm -rf "$folder"; mkdir -p "$folder" && cd "$folder" || exit 90
"$@" && sha256sum body*
rc=$?; cd / && rm -rf "$folder"; exit $rc
"""
# arping(8) with -c 1 ends at the first answer, and with -w after whole seconds: so all that come within this time.
_ARP_S = 0.3


@dataclass(frozen=True, kw_only=True)
class Proof:
    """One thing shown before the load. `text` says what was seen."""

    name: str
    ok: bool
    text: str


def fetch(client: Host, folder: str, urls: Sequence[str]) -> list[tuple[str, str]]:
    """Ask each URL on a connection of its own: (web host that answered, SHA-256 of the body), in the order of `urls`.

    Raises CaseError when curl fails or an answer is not a 200.
    """
    # Neither the user's ~/.curlrc nor a proxy of the environment: a lab has no way out.
    curl = ["curl", "-q", "--noproxy", "*", "-sS", "--max-time", "20", "-H", "Connection: close", "-D", "-"]
    for number, url in enumerate(urls):
        curl += ["-o", f"body{number:04}", url]
    result = client.run(["sh", "-c", _FETCH, "sh", folder, *curl], timeout_s=30, check=False)
    if result.rc != 0:
        said = (result.stderr or result.stdout).strip()[-300:]
        raise CaseError(f"preflight: {client.name} got no right answer: {said}", where=urls[0])
    statuses = re.findall(r"^HTTP/\S+ (\d+)", result.stdout, re.MULTILINE)
    hosts = re.findall(r"^x-bmt-host: (\S+)\r?$", result.stdout, re.MULTILINE | re.IGNORECASE)
    sums = re.findall(r"^([0-9a-f]{64})  body\d+$", result.stdout, re.MULTILINE)
    if statuses != ["200"] * len(urls) or not len(hosts) == len(sums) == len(urls):
        raise CaseError(
            f"preflight: {client.name} asked {len(urls)} times and got {statuses.count('200')} right answers",
            where=urls[0],
        )
    return list(zip(hosts, sums, strict=True))


def prove_answers(
    clients: Sequence[Host], folder: str, *, base: str, webs: Sequence[str], size: int, by_client: bool = False
) -> Proof:
    """Through a balancer at `base` (http://VIP:port) every web host answers the right bytes.

    The clients ask in turn until each web host has answered, 40 times their number at the most. A balancer that picks
    by the client's address (`by_client`) shows no more than one web host to each client: then these are enough.
    """
    seen: set[str] = set()
    asked = 0
    # All bodies of a turn lie in the client's memory at one time.
    count = max(1, min(200, 4 * len(webs), _MOST_BODY_BYTES // size))
    turns = clients if by_client else [clients[0]] * max(1, 40 * len(webs) // count)
    for client in turns:
        answers = fetch(client, folder, [f"{base}/preflight/{file_name(size)}"] * count)
        asked += count
        _check_bytes(answers, size)
        seen |= {host for host, _ in answers}
        if seen.issuperset(webs):
            break
    missing = sorted(set(webs) - seen)
    text = f"{len(seen)} of {len(webs)} web hosts answered {size} right bytes in {asked} requests"
    if by_client:
        text += "; the balancer picks by the client's address"
    elif missing:
        raise CaseError(
            f"preflight: {text}; never: {', '.join(missing)}", todo="is that host up, and known to the balancer?"
        )
    return Proof(name="answers", ok=True, text=text)


def prove_direct_answers(client: Host, folder: str, *, bases: Mapping[str, str], size: int) -> Proof:
    """Each web host answers the right bytes at its own address. `bases` is name -> http://address:port."""
    answers = fetch(client, folder, [f"{base}/preflight/{file_name(size)}" for base in bases.values()])
    _check_bytes(answers, size)
    if (found := [host for host, _ in answers]) != list(bases):
        raise CaseError(f"preflight: asked {', '.join(bases)} in this order, and {', '.join(found)} answered")
    return Proof(name="answers", ok=True, text=f"{len(bases)} of {len(bases)} web hosts answered {size} right bytes")


def _check_bytes(answers: Sequence[tuple[str, str]], size: int) -> None:
    right = file_sha256(size)
    if wrong := sorted({host for host, digest in answers if digest != right}):
        raise CaseError(f"preflight: wrong bytes from {', '.join(wrong)}", where=file_name(size))


def prove_arp(client: Host, director: Host, vip: str) -> Proof:
    """One ARP question for the VIP to all, and the director alone answers it (arping(8), iputils)."""
    interface = client.interfaces["front"]
    arp = ["timeout", "--signal=INT", str(_ARP_S), "arping", "-b", "-I", interface, vip]
    result = client.run(arp, timeout_s=10, check=False)
    macs = sorted({row["mac"].lower() for row in arping.parse(result.stdout)})
    own = director.run(["cat", f"/sys/class/net/{director.interfaces['front']}/address"]).stdout.strip().lower()
    if macs != [own]:
        raise CaseError(
            f"preflight: ARP for {vip} is answered by {', '.join(macs) or 'nobody'}; only the director ({own}) may",
            where=f"arping on {client.name}",
            todo="the VIP belongs on lo of each web host, with arp_ignore=1 and arp_announce=2",
        )
    return Proof(name="arp", ok=True, text=f"ARP for {vip} is answered by the director alone ({own})")


def prove_tls(client: Host, vip: str, port: int, size: int) -> Proof:
    """The proxy answers in HTTPS, too. Whoever signed its certificate: a load does not ask either."""
    result = client.run(tls_probe(vip, port, f"/{file_name(size)}"), timeout_s=30, check=False)
    if result.stdout.strip() != "200":
        said = (result.stderr or result.stdout).strip()[-300:]
        raise CaseError(f"preflight: no right answer in HTTPS: {said}", where=f"https://{vip}:{port}")
    return Proof(name="tls", ok=True, text=f"https://{vip}:{port} answers")


def director_tx_bytes(director: Host) -> int:
    """Bytes the director has sent on its front and back interfaces so far."""
    wanted = set(director.interfaces.values())
    rows = ip_link.parse(director.run(["ip", "-s", "-j", "link"]).stdout)
    return sum(row["tx_bytes"] for row in rows if row["interface"] in wanted)


def prove_path(client: Host, director: Host, folder: str, *, kind: str, base: str, count: int) -> Proof:
    """Which way the answers take: bytes the director sends against bytes of answers, on `count` files of 64 KiB."""
    before = director_tx_bytes(director)
    fetch(client, folder, [f"{base}/preflight/{file_name(PROOF_BYTES)}"] * count)
    sent, answered = director_tx_bytes(director) - before, count * PROOF_BYTES
    share = sent / answered
    right = share > 0.9 if kind in THROUGH else share <= 0.2
    text = f"the director sent {sent} bytes for {answered} bytes of answers ({share:.2f})"
    if not right:
        raise CaseError(f"preflight: the answers take the wrong way for arm {kind}: {text}")
    return Proof(name="path", ok=True, text=text)
