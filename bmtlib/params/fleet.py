"""The user's own machines, reached over SSH (testbeds of kind ssh): which hosts, in which role, and how to log in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bmtlib.params.profile import Role

Become = Literal["auto", "sudo", "none"]


@dataclass(frozen=True, kw_only=True)
class Login:
    """One host of a fleet and the way to it. What is None is left to ~/.ssh/config and its defaults.

    `name` is the host's name in tables and folders; `target` what ssh(1) would be given: a name or an address. `front`
    and `back` are interfaces, None to find them by the testbed's networks; `cpus` a list or "auto" for all it has.
    """

    name: str
    role: Role
    target: str
    user: str | None = None
    port: int | None = None
    key: str | None = None
    become: Become = "auto"
    front: str | None = None
    back: str | None = None
    cpus: str = "auto"
