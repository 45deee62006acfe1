"""What a host's TCP sockets say around a load: have all clients' connections ended, does the server still listen?"""

from __future__ import annotations

from collections import Counter

from bmtlib.errors import ParseError
from bmtlib.hosts.host import Host
from bmtlib.measure.looks import from_outside
from bmtlib.parsers import proc_net, ss


def open_sockets(host: Host, front: str) -> Counter[str]:
    """TCP sockets on `host` that belong to a client, by state: not listening, not TIME_WAIT, not HAProxy's to its
    servers.

    `ss -s` would count the whole machine's. Nothing listens on a lab's client, so there the kernel's own count will do.
    """
    if (lab_host := from_outside(host)) is not None:
        row = proc_net.parse_sockstat(lab_host.proc_net(["sockstat"]).decode())[0]
        return Counter({"open": row["tcp_open"]} if row["tcp_open"] else {})
    peers = [] if host.role == "client" else ["dst", front]
    command = ["ss", "-Htan", "exclude", "listening", "exclude", "time-wait", "exclude", "closed", *peers]
    return Counter(line.split()[0] for line in host.run(command).stdout.splitlines())


def listens(files: dict[str, bytes], port: int) -> bool:
    """Whether a host listened on `port` after the load. A host whose probe is missing is judged by its load alone."""
    text = files.get("ss_listen.after.txt")
    if text is None:
        return True
    try:
        return any(row["port"] == port for row in ss.parse_listen(text.decode(errors="replace")))
    except ParseError:
        return True
