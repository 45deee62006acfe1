"""A command whose standard input and output are the connection (ProxyCommand of ssh_config(5))."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence
from typing import IO

from bmtlib.hosts.netns import environment


def through(command: Sequence[str], complaints: IO[bytes] | None = None) -> socket.socket:
    """Our end of a connection that `command` carries. It ends when ours is closed. Its errors go to `complaints`.

    Not Paramiko's ProxyCommand, which waits 0.1 s for each packet (recv, until the buffer is full). The command has a
    session of its own: Ctrl-C at the terminal does not end the connections, over which hosts are then rolled back.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        fd = theirs.fileno()
        errors = subprocess.DEVNULL if complaints is None else complaints
        subprocess.Popen(command, stdin=fd, stdout=fd, stderr=errors, env=environment(), start_new_session=True)
    return ours
