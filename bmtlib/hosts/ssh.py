"""A host over SSH: Fabric opens the connection, and every command is a channel of it.

Commands go through Paramiko's channels and not through Fabric's `run`, which decodes what it reads (an archive is
bytes) and feeds standard input character by character (a script of changes has some 100 KB).

Who is not root there becomes it by sudo(8). A password is the first line of its standard input, and of no command line,
environment or log; `-k` makes sudo read it each time, so that it never reaches the command instead.
"""

from __future__ import annotations

import logging
import shlex
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import paramiko
from fabric import Connection

from bmtlib.cpus import to_list
from bmtlib.errors import HostError, MachineError
from bmtlib.hosts.host import Host

# What goes wrong is told by our own errors; Paramiko would print its traceback as well.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)

_CHUNK = 1 << 16
_CHANNEL_S = 15
BROKE = "the SSH connection broke"
_MARK_S = 5  # for a command that was just started to tell its process number
_POLL_S = 0.25  # how often a waiting command looks whether its host has died
_MARK = b"bmt-pid "  # begins the line with a command's process number, behind whatever sudo had to say
_SETUP = 'echo "bmt-pid $$" >&2; export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"; exec '
_SUDO = ("sudo", "-n", "--")
_SUDO_PASSWORD = ("sudo", "-k", "-S", "-p", "", "--")
# A command's processes are a group: sudo with `use_pty` gives them one of their own.
_KILL = 'group=$(sed "s/.*) //" "/proc/$1/stat" | cut -d " " -f 3) && kill -s KILL -- "-$group"'


def _nothing() -> str | None:
    return None


def _no_other_way() -> Connection:
    raise MachineError("this connection cannot be opened anew")


class _Remote:
    """A command on its way. A line of its standard error tells the number of its process, and is stripped.

    sshd makes it the leader of a session, so one signal to its group ends it and what it started.
    """

    def __init__(self, host: SshHost, words: Sequence[str], stdin: bytes | None) -> None:
        self._host = host
        self._channel = host.channel()
        self._out, self._err = bytearray(), bytearray()
        self._channel.exec_command(host.line(words))
        self._threads = [
            threading.Thread(target=work, args=args, daemon=True)
            for work, args in (
                (self._feed, (stdin,)),
                (self._drain, (self._channel.recv, self._out)),
                (self._drain, (self._channel.recv_stderr, self._err)),
            )
        ]
        for thread in self._threads:
            thread.start()

    def _feed(self, stdin: bytes | None) -> None:
        with suppress(OSError):  # the command has ended, or closed its standard input
            if self._host.password is not None:
                self._channel.sendall(self._host.password.encode() + b"\n")
            if stdin is not None:
                self._channel.sendall(stdin)
                self._channel.shutdown_write()

    def _drain(self, receive: Callable[[int], bytes], into: bytearray) -> None:
        with suppress(OSError):
            while data := receive(_CHUNK):
                into.extend(data)

    def wait(self, timeout_s: float) -> tuple[int, bytes, bytes]:
        deadline = time.monotonic() + timeout_s
        try:
            while not self._channel.status_event.wait(_POLL_S):
                if (why := self._host.lost()) is not None:
                    raise HostError(self._host.name, ["ssh"], None, why)
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no end after {timeout_s:g} s")
        except BaseException:
            self.kill()
            raise
        for thread in self._threads:
            thread.join(max(0.5, deadline - time.monotonic()))
        rc, ended = self._channel.recv_exit_status(), self._channel.eof_received
        self._channel.close()
        # Without an exit code a signal has ended the command; or the connection broke, which a transport knows only
        # after its channels do.
        if rc == -1 and (not ended or self._host.lost() is not None):
            raise HostError(self._host.name, ["ssh"], None, self._host.lost() or BROKE)
        before, mark, after = bytes(self._err).partition(_MARK)
        if not mark and self._host.become and rc != 0:
            raise HostError(self._host.name, ["sudo"], rc, before.decode(errors="replace"))
        return rc, bytes(self._out), after.partition(b"\n")[2] if mark else before

    def _number(self) -> str:
        """Of the command's process; "" when that has ended or is out of reach. One just started tells it soon."""
        deadline = time.monotonic() + _MARK_S
        while not self._channel.status_event.is_set() and self._host.lost() is None:
            number, end, _ = bytes(self._err).partition(_MARK)[2].partition(b"\n")
            if end and number.isdigit():
                return number.decode()
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
        return ""

    def kill(self) -> None:
        with suppress(HostError, OSError, paramiko.SSHException):
            if number := self._number():
                killer = self._host.channel()
                killer.exec_command(self._host.line(["sh", "-c", _KILL, "sh", number]))
                if self._host.password is not None:
                    killer.sendall(self._host.password.encode() + b"\n")
                killer.status_event.wait(5)
                killer.close()
        self._channel.close()


@dataclass(kw_only=True)
class SshHost(Host):
    """A host behind an open `connection`. `died` says why it cannot answer any more, None while it can.

    `become`: commands run by sudo; `password`: that of sudo, None where it asks for none. `open_again` makes another
    connection of the same kind.
    """

    connection: Connection
    died: Callable[[], str | None] = field(default=_nothing)
    open_again: Callable[[], Connection] = field(default=_no_other_way)
    become: bool = False
    password: str | None = field(default=None, repr=False)

    def line(self, words: Sequence[str]) -> str:
        """What the host's shell is given to run a command: as root, and telling its process number."""
        if not self.become:
            return _SETUP + shlex.join(words)
        sudo = _SUDO if self.password is None else _SUDO_PASSWORD
        return shlex.join([*sudo, "sh", "-c", _SETUP + '"$@"', "sh", *words])

    def reconnect(self) -> None:
        """A new connection in place of one that broke. Raises MachineError when the host stays away."""
        with suppress(Exception):
            self.connection.close()
        self.connection = self.open_again()

    def lost(self) -> str | None:
        """Why no answer can come any more, None while one can."""
        transport = self.connection.transport
        connected = transport is not None and transport.is_active()
        return self.died() or (None if connected else BROKE)

    def channel(self) -> paramiko.Channel:
        """A new channel. HostError when the connection is gone."""
        if (why := self.died()) is not None:
            raise HostError(self.name, ["ssh"], None, why)
        try:
            channel: paramiko.Channel = self.connection.transport.open_session(timeout=_CHANNEL_S)
            if self.connection.forward_agent:
                paramiko.agent.AgentRequestHandler(channel)
            return channel
        except paramiko.ChannelException as error:
            why = f"sshd refuses one more session: {error.text} (MaxSessions in its sshd_config)"
            raise HostError(self.name, ["ssh"], None, why) from error
        except (paramiko.SSHException, OSError, EOFError, AttributeError) as error:
            why = self.died() or f"{BROKE}: {error}"
            raise HostError(self.name, ["ssh"], None, why) from error

    def start(
        self, command: Sequence[str], *, stdin: bytes | None = b"", cpus: frozenset[int] | None = None
    ) -> _Remote:
        words = ["taskset", "-c", to_list(cpus), *command] if cpus else list(command)
        return _Remote(self, words, stdin)
