"""The password that sudo asks for on the user's hosts: asked once, kept in memory, handed to our own processes only.

A run is measured in a process of its own (a notebook's kernel). It inherits the path of a file that has no name in any
file system (memfd_create(2)): nothing is written to a disk, and nobody but this user can open it.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bmtlib.errors import InputError, MachineError

VARIABLE = "BMT_SUDO_PASSWORD_FILE"


def sudo_password(hosts: Sequence[str]) -> str:
    """The password for `hosts`: of the file that BMT_SUDO_PASSWORD_FILE names, else asked on the terminal.

    MachineError where there is nobody to ask.
    """
    if place := os.environ.get(VARIABLE):
        try:
            return Path(place).read_text().removesuffix("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"the file with sudo's password cannot be read: {error}", where=f"{VARIABLE}={place}"
            ) from None
    some = f"{hosts[0]} and {len(hosts) - 1} more" if len(hosts) > 1 else hosts[0]
    if not sys.stdin.isatty():
        raise MachineError(
            f"sudo asks for a password on {some}, and there is no terminal to ask on",
            todo=f"NOPASSWD for this user there; or put the password into a file, and name that in {VARIABLE}",
        )
    password = getpass.getpass(f"sudo password on {some}: ")
    memory = os.memfd_create("bmt-sudo", 0)
    os.write(memory, password.encode())
    os.environ[VARIABLE] = f"/proc/{os.getpid()}/fd/{memory}"
    return password
