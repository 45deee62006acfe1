"""Whether the other end of an SSH connection is still there."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

import paramiko

_GIVE_UP_S = 30  # unanswered for so long, a connection is dead


def watch(transport: paramiko.Transport, interval_s: float, *, give_up_s: float = _GIVE_UP_S) -> None:
    """Close the connection when its peer is gone without a word, whatever it runs over: TCP, a command, a jump host.

    It is asked every `interval_s` seconds, as by ServerAliveInterval of ssh(1): Paramiko's own keepalive does not wait
    for the answer.
    """
    if isinstance(transport.sock, socket.socket) and transport.sock.family != socket.AF_UNIX:
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=_pulse, args=(transport, interval_s, give_up_s), daemon=True).start()


def _pulse(transport: paramiko.Transport, interval_s: float, give_up_s: float) -> None:
    while transport.is_active():
        transport.join(interval_s)  # a transport is a thread: it ends when the connection does
        if not transport.is_active():
            return
        late = threading.Timer(give_up_s, transport.close)
        late.daemon = True
        late.start()
        with suppress(Exception):  # of a connection that breaks in this moment
            transport.global_request("keepalive@openssh.com", wait=True)
        late.cancel()
