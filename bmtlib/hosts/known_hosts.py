"""By which keys a host is known: OpenSSH's known_hosts files (sshd(8)); and what becomes of a key that is not in them.

Paramiko's own reader knows neither patterns (*.lab) nor marks (@revoked), and gives up at a line of another form.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import paramiko


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the files say of one host. `signed`: an authority vouches for its key, which Paramiko cannot check."""

    keys: tuple[paramiko.PKey, ...] = ()
    revoked: tuple[paramiko.PKey, ...] = ()
    signed: bool = False


class UnknownHostKey(Exception):
    """A host shows a key, and is in no file."""

    def __init__(self, key: paramiko.PKey, known: Known) -> None:
        self.key, self.known = key, known
        super().__init__("unknown host key")


class WrongHostKey(Exception):
    """A host shows another key than the files say, or one that was revoked."""

    def __init__(self, key: paramiko.PKey, known: Known) -> None:
        self.key, self.known = key, known
        super().__init__("wrong host key")


def names_of(host: str, port: int, alias: str = "") -> tuple[str, ...]:
    """The names under which a host may stand in the files, as OpenSSH looks it up.

    >>> names_of("web01", 22), names_of("Web01", 2222), names_of("10.0.0.1", 2222, "web01")
    (('web01',), ('[web01]:2222', 'web01'), ('web01',))
    """
    if alias:
        return (alias.lower(),)
    plain = host.lower()
    return (plain,) if port == 22 else (f"[{plain}]:{port}", plain)


def read_known(texts: Iterable[str], names: Sequence[str]) -> Known:
    """What `texts`, contents of known_hosts files, say of the host with these names. Other lines are left out.

    The first of `names` that has a key counts: a key for `[web01]:2222` and none for `web01` on any port.
    """
    lines = [line.split() for text in texts for line in text.splitlines() if not line.lstrip().startswith("#")]
    revoked: list[paramiko.PKey] = []
    signed = False
    keys: dict[str, list[paramiko.PKey]] = {name: [] for name in names}
    for words in lines:
        mark = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3:
            continue
        for name in names:
            if not _stands_for(words[0], name):
                continue
            if mark == "@cert-authority":
                signed = True
            elif (key := _key(words[1], words[2])) is not None:
                (revoked if mark == "@revoked" else keys[name]).append(key)
    found = next((them for them in keys.values() if them), [])
    return Known(keys=tuple(found), revoked=tuple(revoked), signed=signed)


def _stands_for(patterns: str, name: str) -> bool:
    """Whether the first field of a line stands for a name: names with * and ?, !names, or one that was hashed.

    >>> [_stands_for(field, "web01.lab") for field in ("web01.lab,10.0.0.1", "*.lab,!web01.*", "web0?.lab", "web01")]
    [True, False, True, False]
    """
    if patterns.startswith("|1|"):
        try:
            _, _, salt, digest = patterns.split("|")
            made = hmac.new(base64.b64decode(salt), name.encode(), hashlib.sha1).digest()
            return hmac.compare_digest(made, base64.b64decode(digest))
        except ValueError:
            return False
    found = False
    for pattern in patterns.lower().split(","):
        text = re.escape(pattern.removeprefix("!")).replace(r"\*", ".*").replace(r"\?", ".")
        if re.fullmatch(text, name):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _key(kind: str, text: str) -> paramiko.PKey | None:
    """None for a key of a kind that Paramiko has no class for, and for what is none."""
    try:
        return paramiko.PKey.from_type_string(kind, base64.b64decode(text))
    except Exception:  # each class of keys, and the library below, has errors of its own
        return None


class Judge(paramiko.MissingHostKeyPolicy):
    """Decides on the key that a host shows. `accept` takes one of a host that is in no file, and writes it nowhere."""

    def __init__(self, known: Known, *, accept: bool) -> None:
        self.known, self.accept = known, accept

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        if key in self.known.revoked:
            raise WrongHostKey(key, self.known)
        if key in self.known.keys:
            return
        if self.known.keys:
            raise WrongHostKey(key, self.known)
        if not self.accept:
            raise UnknownHostKey(key, self.known)


def transport_for(known: Known) -> Callable[..., paramiko.Transport]:
    """Makes transports that ask for host keys of the known kinds first: a host has several, and shows one."""
    kinds = {key.get_name() for key in known.keys}

    def make(sock: Any, **options: Any) -> paramiko.Transport:
        transport = paramiko.Transport(sock, **options)
        security = transport.get_security_options()
        security.key_types = sorted(security.key_types, key=lambda name: _plain(name) not in kinds)
        return transport

    return make


def _plain(algorithm: str) -> str:
    """The kind of key behind an algorithm of signing: an RSA key signs by several."""
    return "ssh-rsa" if algorithm.startswith("rsa-sha2-") else algorithm
