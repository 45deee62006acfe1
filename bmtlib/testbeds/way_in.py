"""The way to a virtual director's sshd: through the lab's sandbox, with keys that were made for this lab alone."""

from __future__ import annotations

import io
from dataclasses import dataclass

import paramiko
from fabric import Config, Connection
from paramiko.config import SSHConfig

from bmtlib.errors import MachineError
from bmtlib.hosts.netns import nsenter
from bmtlib.hosts.proxy import through

GUEST_ADDRESS = "169.254.77.2"
_SECONDS = 15


def new_key() -> str:
    """A private key as text (PEM)."""
    text = io.StringIO()
    paramiko.ECDSAKey.generate().write_private_key(text)
    return text.getvalue()


def public_key(private: str) -> str:
    """The line for authorized_keys that belongs to a private key."""
    key = _load(private)
    return f"{key.get_name()} {key.get_base64()}\n"


def _load(private: str) -> paramiko.ECDSAKey:
    return paramiko.ECDSAKey.from_private_key(io.StringIO(private))


@dataclass(frozen=True, kw_only=True)
class WayIn:
    """`sandbox_pid`: the sandbox's first process. Both keys are private ones, as text: the guest's, the visitor's."""

    sandbox_pid: int
    rootless: bool
    host_key: str
    login_key: str

    def open(self) -> Connection:
        """An open connection as the guest's root. MachineError when it does not answer."""
        way = [*nsenter(self.sandbox_pid, rootless=self.rootless), "socat", "-", f"TCP:{GUEST_ADDRESS}:22"]
        connection = Connection(
            GUEST_ADDRESS,
            user="root",
            # Nothing of the user's: neither ~/.ssh/config nor agent, keys or known hosts.
            config=Config(ssh_config=SSHConfig(), overrides={"load_ssh_configs": False}),
            connect_timeout=_SECONDS,
            connect_kwargs={
                "sock": through(way),
                "pkey": _load(self.login_key),
                "allow_agent": False,
                "look_for_keys": False,
                "banner_timeout": _SECONDS,
            },
        )
        host_key = _load(self.host_key)
        connection.client.get_host_keys().add(GUEST_ADDRESS, host_key.get_name(), host_key)
        connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        try:
            connection.open()
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise MachineError(f"the virtual director does not answer SSH: {error}") from error
        return connection
