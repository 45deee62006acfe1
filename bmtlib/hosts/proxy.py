"""A command whose standard input and output are the connection (ProxyCommand of ssh_config(5))."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence

from bmtlib.hosts.netns import environment


def through(command: Sequence[str]) -> socket.socket:
    """Our end of a connection that `command` carries. It ends when ours is closed.

    Not Paramiko's ProxyCommand, which waits 0.1 s for each packet (recv, until the buffer is full).
    """
    ours, theirs = socket.socketpair()
    with theirs:
        fd = theirs.fileno()
        subprocess.Popen(
            command, stdin=fd, stdout=fd, stderr=subprocess.DEVNULL, env=environment(), start_new_session=True
        )
    return ours
