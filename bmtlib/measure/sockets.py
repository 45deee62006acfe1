"""What a host's TCP sockets say around a load: have all clients' connections ended, does the server still listen?"""

from __future__ import annotations

from collections import Counter
from collections.abc import MutableMapping
from ipaddress import ip_address, ip_network

from bmtlib.errors import ParseError
from bmtlib.hosts.host import Host
from bmtlib.hosts.netns import NetnsHost
from bmtlib.measure.looks import from_outside
from bmtlib.parsers import proc_net, ss


def open_sockets(host: Host, front: str, listeners: MutableMapping[str, int]) -> Counter[str]:
    """TCP sockets on `host` that belong to a client, by state: not listening, not TIME_WAIT, not HAProxy's to its
    servers.

    `ss -s` would count the whole machine's. Nothing listens on a lab's client, so there the kernel's own count will do.
    So it will on a lab's web host, once `listeners` says how many of its sockets only listen: what is asked here first
    is kept there, by host.
    """
    if (lab_host := from_outside(host)) is not None:
        count = _in_use(lab_host)
        return Counter({"open": count} if count else {})
    if host.role == "web" and isinstance(host, NetnsHost):
        if _in_use(host) != listeners.get(host.name):
            return _asked(host, front, listeners)
        return Counter()
    peers = [] if host.role == "client" else ["dst", front]
    command = ["ss", "-Htan", "exclude", "listening", "exclude", "time-wait", "exclude", "closed", *peers]
    return Counter(line.split()[0] for line in host.run(command).stdout.splitlines())


def _in_use(host: NetnsHost) -> int:
    """Sockets over IPv4 that are not in TIME_WAIT."""
    return proc_net.parse_sockstat(host.proc_net(["sockstat"]).decode())[0]["tcp_open"]


def _asked(host: Host, front: str, listeners: MutableMapping[str, int]) -> Counter[str]:
    network = ip_network(front)
    found: Counter[str] = Counter()
    listening = 0
    for line in host.run(["ss", "-Htan4", "exclude", "time-wait", "exclude", "closed"]).stdout.splitlines():
        state, _, _, _, peer = line.split()[:5]
        if state == "LISTEN":
            listening += 1
        elif ip_address(peer.rpartition(":")[0]) in network:
            found[state] += 1
    listeners[host.name] = listening
    return found


def listens(files: dict[str, bytes], port: int) -> bool:
    """Whether a host listened on `port` after the load. A host whose probe is missing is judged by its load alone."""
    text = files.get("ss_listen.after.txt")
    if text is None:
        return True
    try:
        return any(row["port"] == port for row in ss.parse_listen(text.decode(errors="replace")))
    except ParseError:
        return True
