"""With which keys we knock at a host: those of the agent and of files, in the order of ssh(1)."""

from __future__ import annotations

import os
import shlex
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.agent import AgentSSH

_AGENT_S = 60  # it may ask its user


class NotLetIn(paramiko.AuthenticationException):
    """No key opened the door, or none was there. `todo` says what would."""

    def __init__(self, what: str, todo: str = "") -> None:
        self.todo = todo
        super().__init__(what)


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A key, and the words by which a user knows it."""

    words: str
    key: paramiko.PKey


class Keys:
    """Keys for one user, as Paramiko's `auth_strategy`.

    First come those of the agent that are also in files, then its others, then those in files alone. `only_files`
    leaves out the agent's others (IdentitiesOnly). A file may hold the public half of a key of the agent.
    """

    def __init__(self, user: str, files: Sequence[Path], *, agent: str | None, only_files: bool) -> None:
        """`agent`: path of its socket, None for none."""
        self.user, self.files, self.agent, self.only_files = user, files, agent, only_files
        self.locked: dict[Path, None] = {}  # files with a passphrase, whose keys the agent does not have

    def authenticate(self, transport: paramiko.Transport) -> list[str]:
        """Log in, or raise NotLetIn; SSHException when the connection breaks before any key was refused."""
        agent = _Agent(self.agent)
        try:
            return self._knock(transport, agent.get_keys())
        finally:
            agent.close()

    def _knock(self, transport: paramiko.Transport, of_agent: Sequence[paramiko.PKey]) -> list[str]:
        try:
            return transport.auth_none(self.user)
        except paramiko.BadAuthenticationType as error:
            if "publickey" not in error.allowed_types:
                raise NotLetIn(f"it takes no keys, only {', '.join(error.allowed_types)}") from error
        except paramiko.AuthenticationException:
            pass
        refused: list[str] = []
        for offer in self._offers(of_agent):
            try:
                more = transport.auth_publickey(self.user, offer.key)
            except (paramiko.SSHException, ValueError) as error:  # ValueError: this key cannot sign
                if not transport.is_active():
                    raise self._broken(refused, error) from error
                refused.append(offer.words)
                continue
            if more:
                raise NotLetIn(f"it takes {offer.words}, and wants {', '.join(more)} as well")
            return more
        raise self._no_key(refused)

    def _broken(self, refused: Sequence[str], error: Exception) -> paramiko.SSHException:
        if not refused:
            return paramiko.SSHException(f"the connection broke while logging in: {error}")
        return NotLetIn(
            f"after {len(refused) + 1} keys it has enough, and none was right: {', '.join(refused)}",
            "`key` in the testbed, or IdentitiesOnly yes with IdentityFile in ~/.ssh/config",
        )

    def _no_key(self, refused: Sequence[str]) -> NotLetIn:
        todo = ""
        if self.locked:
            todo = f"ssh-add {shlex.join(map(str, self.locked))}   (a passphrase, and the agent does not have the key)"
        return NotLetIn(f"it refuses {', '.join(refused)}" if refused else "there is no key to log in with", todo)

    def _offers(self, of_agent: Sequence[paramiko.PKey]) -> Iterable[Offer]:
        held = {key.asbytes() for key in of_agent}
        halves = {path: _public(path) or self._half(path) for path in self.files}
        wanted = {half: path for path, half in halves.items() if half is not None}
        for key in of_agent:
            if path := wanted.get(key.asbytes()):
                yield Offer(words=f"{path} (agent)", key=key)
        for key in of_agent:
            if key.asbytes() not in wanted and not self.only_files:
                yield Offer(words=f"{getattr(key, 'comment', '') or key.fingerprint} (agent)", key=key)
        for path in self.files:
            certified = path.with_name(f"{path.name}-cert.pub").exists()
            if (halves[path] not in held or certified) and (loaded := self._private(path)) is not None:
                yield Offer(words=str(path), key=loaded)

    def _half(self, path: Path) -> bytes | None:
        key = self._private(path)
        return None if key is None else key.asbytes()

    def _private(self, path: Path) -> paramiko.PKey | None:
        try:
            return paramiko.PKey.from_path(path)
        except (TypeError, paramiko.PasswordRequiredException):  # TypeError: of the library below, for a passphrase
            self.locked[path] = None
        except Exception:  # no private key, or one of a kind that only ssh(1) knows
            pass
        return None


def _public(path: Path) -> bytes | None:
    """The public half of a key file: of what lies beside it, or of itself."""
    for place in (path.with_name(f"{path.name}.pub"), path):
        with suppress(OSError, ValueError, IndexError):
            kind, text = place.read_text().split()[:2]
            if kind.startswith(("ssh-", "ecdsa-", "sk-")):
                return paramiko.pkey.PublicBlob.from_string(f"{kind} {text}").key_blob
    return None


class _Agent(AgentSSH):
    """ssh-agent(1) at `place`; one that is not there, or does not answer, has no keys."""

    def __init__(self, place: str | None) -> None:
        super().__init__()
        self._socket = socket.socket(socket.AF_UNIX)
        if place:
            self._socket.settimeout(_AGENT_S)
            with suppress(OSError, paramiko.SSHException):
                self._socket.connect(place)
                self._connect(self._socket)  # type: ignore[attr-defined]

    def close(self) -> None:
        self._socket.close()


def agent_socket(option: str | None) -> str | None:
    """The agent's socket for an IdentityAgent of ssh_config(5), None where there is none.

    >>> agent_socket("none"), agent_socket("/run/agent")
    (None, '/run/agent')
    """
    if option is None or option == "SSH_AUTH_SOCK":
        return os.environ.get("SSH_AUTH_SOCK")
    if option == "none":
        return None
    return os.environ.get(option.strip("${}")) if option.startswith("$") else str(Path(option).expanduser())
