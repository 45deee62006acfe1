"""The way to a host of the user's: what ssh(1) would do, through Fabric.

OpenSSH itself says what its configuration means for a host (`ssh -G`): Include, Match and defaults are its business. Of
that, bmtlib honours HostName, User, Port, IdentityFile, IdentitiesOnly, IdentityAgent none, ProxyJump, ProxyCommand,
ConnectTimeout, ForwardAgent, HostKeyAlias, StrictHostKeyChecking, UserKnownHostsFile and GlobalKnownHostsFile.
"""

from __future__ import annotations

import os
import shlex
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import paramiko
from fabric import Config, Connection
from paramiko.config import SSHConfig

from bmtlib.errors import InputError, MachineError
from bmtlib.hosts.proxy import through
from bmtlib.hosts.refusal import Refusal, RefuseUnknown, refusal
from bmtlib.params.fleet import Login
from bmtlib.programs import output, which

VARIABLE = "BMT_SSH_CONFIG"  # path of an ssh configuration that is read instead of ~/.ssh/config

_SECONDS = 15
_TRIES = 4
_PAUSE_S = 0.5  # before the second try, and twice as long before each further one
_KEEPALIVE_S = 10
_GIVE_UP_MS = 30_000  # TCP_USER_TIMEOUT: unanswered for so long, a connection is dead (tcp(7))
_JUMP = ("none", "")


@dataclass(kw_only=True)
class Roads:
    """Connections to jump hosts: one each, however many hosts lie behind it."""

    jumps: dict[str, Connection] = field(default_factory=dict)
    guard: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def close(self) -> None:
        for connection in self.jumps.values():
            with suppress(Exception):
                connection.close()


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
    rc, text = output([*words, "--", login.target], timeout_s=10)
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
    return ["-F", place] if place else []


def connect(login: Login, roads: Roads) -> Connection:
    """An open connection. What may pass is tried again; MachineError says what will not, and what to do."""
    found = options(login)
    pause = _PAUSE_S
    for attempt in range(1, _TRIES + 1):
        try:
            return _open(login, found, roads)
        except (paramiko.SSHException, OSError, EOFError, Refusal) as error:
            why = refusal(login, error, config=config_words(), port=int(_one(found, "port", "22")))
            if not why.may_pass or attempt == _TRIES:
                raise MachineError(why.what, todo=why.todo) from error
        time.sleep(pause)
        pause *= 2
    raise AssertionError("unreachable")


def _one(found: Mapping[str, list[str]], keyword: str, default: str = "") -> str:
    return found.get(keyword, [default])[0]


def _open(login: Login, found: Mapping[str, list[str]], roads: Roads) -> Connection:
    target, port, user = _one(found, "hostname", login.target), int(_one(found, "port", "22")), _one(found, "user")
    timeout = _one(found, "connecttimeout", "none")
    seconds = int(timeout) if timeout.isdecimal() and timeout != "0" else _SECONDS
    kwargs: dict[str, object] = {
        "key_filename": _keys(login, found),
        "allow_agent": _one(found, "identityagent") != "none" and _one(found, "identitiesonly") != "yes",
        "look_for_keys": False,
        "banner_timeout": seconds,
        "auth_timeout": seconds,
    }
    jump, command = _one(found, "proxyjump", "none"), _one(found, "proxycommand", "none")
    if jump in _JUMP and command not in _JUMP:
        kwargs["sock"] = through(["sh", "-c", f"exec {_expand(command, target, port, user, login.target)}"])
    connection = Connection(
        target,
        user=user,
        port=port,
        config=Config(ssh_config=SSHConfig(), overrides={"load_ssh_configs": False}),  # asked of OpenSSH already
        gateway=False if jump in _JUMP else _jump(jump, roads),
        connect_timeout=seconds,
        forward_agent=_one(found, "forwardagent") == "yes",
        connect_kwargs=kwargs,
    )
    _know_hosts(connection.client, found, target, port)
    try:
        connection.open()
    except paramiko.SSHException as error:
        raise _told_apart(error, connection.client) from error
    finally:
        if not connection.is_connected:
            connection.close()
    _watch(connection.transport)
    return connection


def _told_apart(error: paramiko.SSHException, client: paramiko.SSHClient) -> paramiko.SSHException:
    """Paramiko tries a key as every kind that it knows, and raises what went wrong with the last of them."""
    transport = client.get_transport()
    met = transport is not None and transport.is_active() and not transport.is_authenticated()
    if met and not isinstance(error, paramiko.BadHostKeyException | paramiko.PasswordRequiredException):
        return paramiko.AuthenticationException("none of the keys was accepted")
    return error


def _keys(login: Login, found: Mapping[str, list[str]]) -> list[str]:
    """Private keys to offer. One that the testbed names must be there; of ssh's own list only those that are."""
    if login.key is not None:
        path = Path(login.key).expanduser()
        if not path.is_file():
            raise InputError(f"{login.name}: there is no private key {login.key}", where="testbed ssh: key")
        return [str(path)]
    files = (Path(name).expanduser() for name in found.get("identityfile", []))
    return [str(path) for path in files if path.is_file()]


def _expand(command: str, host: str, port: int, user: str, name: str) -> str:
    """Tokens of a ProxyCommand (ssh_config(5)). They are words of one shell command, hence quoted.

    >>> _expand("nc -x 'a b' %h %p", "10.0.0.1", 22, "root", "web01")
    "nc -x 'a b' 10.0.0.1 22"
    """
    tokens = {"%h": shlex.quote(host), "%p": str(port), "%r": shlex.quote(user), "%n": shlex.quote(name), "%%": "%"}
    for token, value in tokens.items():
        command = command.replace(token, value)
    return command


def _jump(spec: str, roads: Roads) -> Connection:
    """The connection to the last of the jump hosts in `spec` (a,b: b is reached through a), opened once for all."""
    with roads.guard:
        connection = roads.jumps.get(spec)
        if connection is None or not connection.is_connected:
            user, _, rest = spec.rpartition(",")[2].rpartition("@")
            host, colon, port = rest.removeprefix("ssh://").partition(":")
            before = spec.rpartition(",")[0]
            login = Login(name=host, role="client", target=host, user=user or None, port=int(port) if colon else None)
            found = dict(options(login))
            if before:
                found["proxyjump"] = [before]
            connection = _open(login, found, roads)
            roads.jumps[spec] = connection
        return connection


def _know_hosts(client: paramiko.SSHClient, found: Mapping[str, list[str]], target: str, port: int) -> None:
    """The keys by which the host is known, and what to do with one that is not."""
    place = target if port == 22 else f"[{target}]:{port}"
    alias = _one(found, "hostkeyalias", "")
    for keyword in ("userknownhostsfile", "globalknownhostsfile"):
        for name in shlex.split(_one(found, keyword)):
            path = Path(name).expanduser()
            if not path.is_file():
                continue
            known = paramiko.HostKeys(str(path))
            entry = known.lookup(alias or place)
            for kind, key in (entry or {}).items():
                client.get_host_keys().add(place, kind, key)
    strict = _one(found, "stricthostkeychecking", "ask")
    accept = strict in ("no", "off", "false", "accept-new")
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy() if accept else RefuseUnknown())


def _watch(transport: paramiko.Transport) -> None:
    """A peer that is gone without a word is found out within a minute."""
    transport.set_keepalive(_KEEPALIVE_S)
    if isinstance(transport.sock, socket.socket) and transport.sock.family != socket.AF_UNIX:
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _GIVE_UP_MS)
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
