"""Why a host could not be reached: in words, with what to do, and whether to try again makes sense."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import paramiko

from bmtlib.params.fleet import Login


@dataclass(frozen=True, kw_only=True)
class Reason:
    """`may_pass`: a host that reboots, a server with too many connections. The rest is for a person to change."""

    what: str
    todo: str
    may_pass: bool = False


class Refusal(Exception):
    """A host key that nobody has accepted yet."""

    def __init__(self, key: paramiko.PKey) -> None:
        self.key = key
        super().__init__("unknown host key")


class RefuseUnknown(paramiko.MissingHostKeyPolicy):
    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        raise Refusal(key)


def refusal(login: Login, error: Exception, *, config: Sequence[str], port: int) -> Reason:
    """The reason behind an error of Paramiko or of the network. `config`: words that name ssh's configuration."""
    who = f"{login.name} ({login.target}{f', user {login.user}' if login.user else ''})"
    by_hand = shlex.join(["ssh", *config, *(["-p", str(login.port)] if login.port else []), _target(login), "true"])
    if isinstance(error, Refusal):
        return Reason(
            what=f"{who}: its host key is not known here: {error.key.get_name()} {error.key.fingerprint}",
            todo=f"if that is the host's: {by_hand}   and answer yes",
        )
    if isinstance(error, paramiko.BadHostKeyException):
        place = login.target if port == 22 else f"[{login.target}]:{port}"
        return Reason(
            what=f"{who}: its host key has changed: it shows {error.key.fingerprint}, known is "
            f"{error.expected_key.fingerprint}. Another host, or somebody in between",
            todo=f"if you know why: ssh-keygen -R {shlex.quote(place)}   then {by_hand}",
        )
    if isinstance(error, paramiko.PasswordRequiredException):
        return Reason(what=f"{who}: the private key has a passphrase", todo="ssh-add it to your agent")
    if isinstance(error, paramiko.AuthenticationException):
        return Reason(what=f"{who} does not let us in: {error}", todo=f"a key that it accepts; try {by_hand}")
    if isinstance(error, socket.gaierror):
        return Reason(
            what=f"{who}: the name is not known: {error.strerror}",
            todo="its address in the testbed, or HostName in ~/.ssh/config",
        )
    said = str(error) or type(error).__name__
    return Reason(what=f"{who} cannot be reached: {said}", todo=f"is it up, with sshd? try {by_hand}", may_pass=True)


def _target(login: Login) -> str:
    return f"{login.user}@{login.target}" if login.user else login.target
