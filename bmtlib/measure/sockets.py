"""What a host's TCP sockets say around a load: have all clients' connections ended, does the server still listen?"""

from __future__ import annotations

from bmtlib.errors import ParseError
from bmtlib.hosts.host import Host
from bmtlib.parsers import ss


def open_sockets(host: Host, front: str) -> int:
    """TCP sockets on `host` that belong to a client: not listening, not TIME_WAIT, not HAProxy's to its servers.

    `ss -s` would count the whole machine's.
    """
    peers = [] if host.role == "client" else ["dst", front]
    command = ["ss", "-Htan", "exclude", "listening", "exclude", "time-wait", "exclude", "closed", *peers]
    return len(host.run(command).stdout.splitlines())


def listens(files: dict[str, bytes], port: int) -> bool:
    """Whether a host listened on `port` after the load. A host whose probe is missing is judged by its load alone."""
    text = files.get("ss_listen.after.txt")
    if text is None:
        return True
    try:
        return any(row["port"] == port for row in ss.parse_listen(text.decode(errors="replace")))
    except ParseError:
        return True
