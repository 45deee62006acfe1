"""Why a host could not be reached: in words, with what to do, and whether to try again makes sense."""

from __future__ import annotations

import shlex
import socket
from dataclasses import dataclass

import paramiko

from bmtlib.hosts.keys import NotLetIn
from bmtlib.hosts.known_hosts import UnknownHostKey, WrongHostKey


@dataclass(frozen=True, kw_only=True)
class Reason:
    """`may_pass`: a host that reboots, a server with too many connections. The rest is for a person to change."""

    what: str
    todo: str
    may_pass: bool = False


def refusal(error: Exception, *, who: str, user: str, by_hand: str, place: str) -> Reason:
    """The reason behind an error of Paramiko or of the network.

    `who` names host and address; `by_hand` is the command that goes the same way; `place` is the name under which
    known_hosts has the host.
    """
    if isinstance(error, UnknownHostKey):
        signed = ", and only an authority vouches for it, which is not supported" if error.known.signed else ""
        return Reason(
            what=f"{who}: its host key is not known here{signed}: {error.key.get_name()} {error.key.fingerprint}",
            todo=f"if that is the host's: {by_hand}   and answer yes",
        )
    if isinstance(error, WrongHostKey):
        if error.key in error.known.revoked:
            return Reason(what=f"{who}: its host key {error.key.fingerprint} was revoked", todo="ask who revoked it")
        known = ", ".join(key.fingerprint for key in error.known.keys)
        return Reason(
            what=f"{who}: its host key has changed: it shows {error.key.fingerprint}, known is {known}. "
            "Another host, or somebody in between",
            todo=f"if you know why: ssh-keygen -R {shlex.quote(place)}   then {by_hand}",
        )
    if isinstance(error, NotLetIn):
        return Reason(
            what=f"{who} does not let us in as {user}: {error}", todo=error.todo or f"a key that it takes: {by_hand}"
        )
    if isinstance(error, paramiko.AuthenticationException):  # its own end of time: a host that is busy, or booting
        return Reason(what=f"{who} does not let us in as {user}: {error}", todo=f"try {by_hand}", may_pass=True)
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return Reason(what=f"{who}: no common way to encrypt: {error}", todo="a newer sshd there")
    if isinstance(error, socket.gaierror):
        return Reason(
            what=f"{who}: the name is not known: {error.strerror}",
            todo="its address in the testbed, or HostName in ~/.ssh/config",
        )
    said = str(error).removeprefix("[Errno None] ") or type(error).__name__
    return Reason(what=f"{who} cannot be reached: {said}", todo=f"is it up, with sshd? try {by_hand}", may_pass=True)
