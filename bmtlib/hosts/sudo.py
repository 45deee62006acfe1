"""How a user who is not root becomes it on a host: whether sudo(8) lets him, and whether it wants a password."""

from __future__ import annotations

from typing import Literal

from bmtlib.errors import HostError, MachineError
from bmtlib.hosts.ssh import SshHost
from bmtlib.params.fleet import Become

Root = Literal["root", "free", "asks"]

_SECONDS = 60  # the name of the host may have to be looked up in a directory that is slow
# -k: whatever was typed there a moment ago does not count.
_LOOK = """\
uid=$(id -u); echo "$uid $(id -un)"; [ "$uid" != 0 ] || exit 0
command -v sudo >/dev/null || { echo none; exit 0; }
if said=$(sudo -k -n -- sh -c : 2>&1 </dev/null); then echo free; else echo "asks $said"; fi
"""


def look(host: SshHost, wish: Become) -> Root:
    """What stands between this login and root: nothing, sudo without a password, or sudo that asks for one.

    MachineError where there is no way, whatever the password.
    """
    first, _, rest = host.run(["sh", "-c", _LOOK], timeout_s=_SECONDS).stdout.partition("\n")
    uid, _, user = first.partition(" ")
    if uid == "0":
        return "root"
    if wish == "none":
        raise MachineError(
            f"{host.name}: {user} is not root, and the testbed says `become: none`",
            todo="user: root, or become: auto, which takes sudo",
        )
    kind, _, said = rest.strip().partition(" ")
    if kind == "none":
        raise MachineError(f"{host.name}: {user} is not root, and there is no sudo", todo="user: root, or install sudo")
    if kind == "asks" and "password" not in said:
        todo = f"in /etc/sudoers there: Defaults:{user} !requiretty" if "tty" in said else "visudo there, or user: root"
        raise MachineError(f"{host.name}: sudo refuses {user}: {' '.join(said.split())[-200:]}", todo=todo)
    return "free" if kind == "free" else "asks"


def accept(host: SshHost) -> None:
    """MachineError when sudo does not take the host's password, or does not let this user at all. Tried once."""
    try:
        if host.run(["id", "-u"], timeout_s=_SECONDS).stdout.strip() == "0":
            return
        said = "it made us another user than root"
    except HostError as error:
        said = " ".join(error.said.split())[-200:] or str(error.rc)
    raise MachineError(f"{host.name}: sudo refuses: {said}", todo="the right password; and a line in /etc/sudoers")
