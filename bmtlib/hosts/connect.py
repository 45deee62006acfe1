"""The way to a host of the user's: what ssh(1) would do, through Fabric.

OpenSSH itself says what its configuration means for a host (`ssh -G`): Include, Match and defaults are its business. Of
that, bmtlib honours HostName, User, Port, IdentityFile, IdentitiesOnly, IdentityAgent, ProxyJump, ProxyCommand,
ConnectTimeout, ServerAliveInterval, ForwardAgent, HostKeyAlias, StrictHostKeyChecking, UserKnownHostsFile and
GlobalKnownHostsFile. It asks nothing: what wants an answer is told as an error, with the command that asks.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import paramiko
from fabric import Config, Connection
from paramiko.config import SSHConfig

from bmtlib.errors import InputError, MachineError
from bmtlib.hosts.keys import Keys, agent_socket
from bmtlib.hosts.known_hosts import Judge, UnknownHostKey, WrongHostKey, names_of, read_known, transport_for
from bmtlib.hosts.proxy import through
from bmtlib.hosts.pulse import watch
from bmtlib.hosts.refusal import refusal
from bmtlib.params.fleet import Login
from bmtlib.programs import output, which

VARIABLE = "BMT_SSH_CONFIG"  # path of an ssh configuration that is read instead of ~/.ssh/config

_SECONDS = 15
_TRIES = 4
_PAUSE_S = 0.5  # before the second try, and twice as long before each further one
_LIMIT_S = 40  # after which nothing is tried again
_ALIVE_S = 15  # so often a silent connection is asked for a sign of life
_STALE_S = 10  # for so long, a jump host that could not be reached is not tried again


@dataclass(kw_only=True)
class Roads:
    """Connections to jump hosts: one each, however many hosts lie behind it."""

    jumps: dict[str, Connection] = field(default_factory=dict)
    closed: dict[str, tuple[float, MachineError]] = field(default_factory=dict)
    guard: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def jump(self, spec: str) -> Connection:
        """The last of the jump hosts in `spec` (a,b: b is reached through a). MachineError when it is not to be had."""
        with self.guard:
            connection = self.jumps.get(spec)
            if connection is not None and connection.is_connected:
                return connection
            since, error = self.closed.get(spec, (0.0, None))
            if error is not None and time.monotonic() - since < _STALE_S:
                raise error
            before, _, hop = spec.rpartition(",")
            try:
                self.jumps[spec] = connect(_hop(hop), self, by_way_of=before)
            except MachineError as new:
                self.closed[spec] = (time.monotonic(), new)
                raise
            return self.jumps[spec]

    def close(self) -> None:
        for connection in self.jumps.values():
            with suppress(Exception):
                connection.close()


@dataclass(frozen=True, kw_only=True)
class Way:
    """A login, and what OpenSSH makes of it. `found`: keyword in small letters -> its values."""

    login: Login
    found: Mapping[str, list[str]]
    by_way_of: str = ""  # jump hosts that the way of a later one names; before those of the configuration

    def one(self, keyword: str, default: str = "") -> str:
        return self.found.get(keyword, [default])[0]

    @property
    def host(self) -> str:
        return self.one("hostname", self.login.target)

    @property
    def port(self) -> int:
        return int(self.one("port", "22"))

    @property
    def user(self) -> str:
        return self.one("user", self.login.user or "")

    @property
    def who(self) -> str:
        """Its name, and its address where that is another."""
        place = f"{self.host}:{self.port}" if self.port != 22 else self.host
        return self.login.name if place == self.login.name else f"{self.login.name} ({place})"

    @property
    def by_hand(self) -> str:
        """The command that goes the same way, and asks."""
        login = self.login
        words = ["ssh", *config_words(), *(["-p", str(login.port)] if login.port else [])]
        words += ["-i", login.key] if login.key else []
        words += ["-J", self.by_way_of] if self.by_way_of else []
        return shlex.join([*words, f"{login.user}@{login.target}" if login.user else login.target, "true"])

    @property
    def names(self) -> tuple[str, ...]:
        return names_of(self.host, self.port, self.one("hostkeyalias"))

    @property
    def jump(self) -> str:
        """Its jump hosts, "" without. A jump host that stands in `Host *` is not its own."""
        spec = self.by_way_of or self.one("proxyjump", "none")
        if spec == "none":
            return ""
        hop = _hop(spec.rpartition(",")[2])
        itself = hop.target in (self.login.target, self.host) and (hop.port or 22) == self.port
        return "" if itself else spec

    @property
    def command(self) -> str:
        """Its ProxyCommand, "" without. Its tokens are words of a shell command, hence quoted."""
        command = self.one("proxycommand", "none")
        return "" if command == "none" else expand(command, {k: shlex.quote(v) for k, v in self._tokens.items()})

    def files(self, keyword: str) -> Iterator[Path]:
        """Those files under a keyword that are there."""
        for line in self.found.get(keyword, []):
            names = [line] if keyword == "identityfile" else line.split()
            for name in names:
                path = Path(expand(name, self._tokens)).expanduser()
                if path.is_file():
                    yield path

    @property
    def _tokens(self) -> dict[str, str]:
        here = {"d": str(Path.home()), "u": Path.home().name, "i": str(os.getuid()), "l": socket.gethostname()}
        there = {"h": self.host, "n": self.login.target, "p": str(self.port), "r": self.user}
        return {**here, **there, "k": self.one("hostkeyalias") or self.host, "%": "%"}


def expand(text: str, tokens: Mapping[str, str]) -> str:
    """Tokens of ssh_config(5) in a text; one that is not known stays as it is.

    >>> expand("nc %h %p '100%%' %x", {"h": "10.0.0.1", "p": "22", "%": "%"})
    "nc 10.0.0.1 22 '100%' %x"
    """
    return re.sub("%(.)", lambda match: tokens.get(match[1], match[0]), text)


def _hop(spec: str) -> Login:
    """A jump host as ProxyJump names it.

    >>> [(it.user, it.target, it.port) for it in map(_hop, ("bastion", "root@[fe80::1]:2222", "ssh://a@b:22"))]
    [(None, 'bastion', None), ('root', 'fe80::1', 2222), ('a', 'b', 22)]
    """
    user, _, place = spec.removeprefix("ssh://").rstrip("/").rpartition("@")
    match = re.fullmatch(r"\[([^]]+)\](?::(\d+))?|([^:]+)(?::(\d+))?", place)
    host, port = (match[1] or match[3], match[2] or match[4]) if match else (place, None)
    return Login(name=host, role="client", target=host, user=user or None, port=int(port) if port else None)


def options(login: Login) -> dict[str, list[str]]:
    """OpenSSH's resolved options for a login: keyword in small letters -> its values (ssh(1), -G)."""
    ssh = which("ssh")
    if ssh is None:
        raise MachineError(
            "the OpenSSH client is missing (ssh)", todo="apt-get install openssh-client, or dnf install openssh-clients"
        )
    words = [ssh, "-G", *config_words()]
    words += ["-l", login.user] if login.user else []
    words += ["-p", str(login.port)] if login.port else []
    rc, text = output([*words, "--", login.target], timeout_s=20)
    if rc != 0:
        raise InputError(
            f"ssh does not accept its configuration for {login.target}: {text.strip()[-300:]}", where="ssh -G"
        )
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        keyword, _, value = line.partition(" ")
        found.setdefault(keyword, []).append(value)
    return found


def config_words() -> list[str]:
    """Words for ssh(1) that name the configuration to be read, where it is not the user's usual one."""
    place = os.environ.get(VARIABLE)
    if place and not Path(place).is_file():
        raise InputError(f"{VARIABLE} names no file: {place}")
    return ["-F", str(Path(place).absolute())] if place else []


def connect(login: Login, roads: Roads, *, by_way_of: str = "") -> Connection:
    """An open connection. What may pass is tried again; MachineError says what will not, and what to do.

    `by_way_of`: jump hosts in place of those that the configuration names.
    """
    way = Way(login=login, found=options(login), by_way_of=by_way_of)
    pause, until = _PAUSE_S, time.monotonic() + _LIMIT_S
    for attempt in range(1, _TRIES + 1):
        try:
            return _open(way, roads)
        except (paramiko.SSHException, OSError, EOFError, UnknownHostKey, WrongHostKey) as error:
            why = refusal(error, who=way.who, user=way.user, by_hand=way.by_hand, place=way.names[0])
            if not why.may_pass or attempt == _TRIES or time.monotonic() > until:
                raise MachineError(why.what, todo=why.todo) from error
        time.sleep(pause)
        pause *= 2
    raise AssertionError("unreachable")


def _open(way: Way, roads: Roads) -> Connection:
    timeout = way.one("connecttimeout", "none")
    seconds = int(timeout) if timeout.isdecimal() and timeout != "0" else _SECONDS
    known = read_known(
        (
            path.read_text(errors="replace")
            for kind in ("user", "global")
            for path in way.files(f"{kind}knownhostsfile")
        ),
        way.names,
    )
    with tempfile.TemporaryFile() as complaints:
        kwargs: dict[str, Any] = {
            "auth_strategy": _keys(way),
            "transport_factory": transport_for(known),
            "banner_timeout": seconds,
            "auth_timeout": seconds,
        }
        if (sock := _sock(way, roads, seconds, complaints)) is not None:
            kwargs["sock"] = sock
        connection = Connection(
            way.host,
            user=way.user,
            port=way.port,
            config=Config(ssh_config=SSHConfig(), overrides={"load_ssh_configs": False}),  # asked of OpenSSH already
            gateway=False,
            connect_timeout=seconds,
            forward_agent=way.one("forwardagent") not in ("no", ""),
            connect_kwargs=kwargs,
        )
        accept = way.one("stricthostkeychecking", "ask") in ("no", "off", "false", "accept-new")
        connection.client.set_missing_host_key_policy(Judge(known, accept=accept))
        try:
            connection.open()
        except (paramiko.SSHException, OSError, EOFError) as error:
            complaints.seek(0)
            said = complaints.read()[-500:].decode(errors="replace").split()
            if not said or isinstance(error, paramiko.AuthenticationException):
                raise
            raise paramiko.SSHException(f"{error}; its ProxyCommand says: {' '.join(said)}") from error
        finally:
            if not connection.is_connected:
                connection.close()
    watch(connection.transport, int(way.one("serveraliveinterval", "0")) or _ALIVE_S)
    return connection


def _sock(way: Way, roads: Roads, seconds: float, complaints: IO[bytes]) -> socket.socket | paramiko.Channel | None:
    """What the connection runs over: a jump host, a command, or None for TCP of its own."""
    if way.jump:
        try:
            jump = roads.jump(way.jump)
        except MachineError as error:
            raise MachineError(f"{way.who} lies behind {error.what}", todo=error.todo) from error
        return jump.transport.open_channel("direct-tcpip", (way.host, way.port), ("", 0), timeout=seconds)
    if way.command:
        return through(["sh", "-c", f"exec {way.command}"], complaints)
    return None


def _keys(way: Way) -> Keys:
    """A key that the testbed names is the only one, and must be there; of ssh's own list it is those that are."""
    agent = way.one("identityagent") or None
    if way.login.key is None:
        files = list(way.files("identityfile"))
        return Keys(way.user, files, agent=agent_socket(agent), only_files=way.one("identitiesonly") == "yes")
    path = Path(way.login.key).expanduser()
    if not path.is_file():
        raise InputError(f"{way.login.name}: there is no private key {way.login.key}", where="testbed ssh: key")
    return Keys(way.user, [path], agent=agent_socket(agent), only_files=True)
