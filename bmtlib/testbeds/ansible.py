"""An Ansible inventory -> its groups, hosts and variables, read by Ansible itself (ansible-inventory)."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bmtlib.errors import InputError, MachineError
from bmtlib.hosts.netns import environment
from bmtlib.testbeds.listing import Listing

_PROGRAM = "ansible-inventory"
_TIMEOUT_S = 120  # a dynamic inventory asks a cloud

# Ansible refuses the locale C, goes on without an inventory that it cannot read, and may be told to leave variables in
# their groups (ansible-config(1)).
_SETTINGS = {
    "LC_ALL": "C.UTF-8",
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",
    "ANSIBLE_INVENTORY_EXPORT": "0",
}


def read_inventory(path: str, *, tell: Callable[[str], None], timeout_s: float = _TIMEOUT_S) -> Listing:
    """The inventory at `path`: INI, YAML, a program, or a folder of these. `tell` gets Ansible's warnings.

    Raises InputError when Ansible cannot read it, MachineError where there is no Ansible.
    """
    if not Path(path).exists():
        raise InputError(f"the inventory {path!r} does not exist", where="testbed ssh.inventory")
    if "," in path:
        raise InputError(f"Ansible takes {path!r} for a list of hosts", where="testbed ssh.inventory", todo="no comma")
    command = [_program(), "--list", "--inventory", path]
    rc, out, said = _run(command, timeout_s)
    again = f"see all that Ansible says:  {shlex.join([_PROGRAM, *command[1:]])}"
    lines = [line for line in said.splitlines() if line.strip()]
    if rc != 0:
        last = lines[-1] if lines else f"it ended with {rc} and said nothing"
        raise InputError(f"Ansible cannot read the inventory: {last.strip()[:300]}", where=path, todo=again)
    for line in lines:
        if "WARNING" in line:
            tell(f"ansible-inventory: {line.strip()[:300]}")
    try:
        data = json.loads(out)
        groups: dict[str, Mapping[str, Any]] = {name: group for name, group in data.items() if name != "_meta"}
        children = [child for group in groups.values() for child in group.get("children", [])]  # empty ones, too
        listed = {name: _hosts(groups, name, frozenset()) for name in [*groups, *children]}
        return Listing(source=path, groups=listed, variables=data["_meta"]["hostvars"])
    except (ValueError, KeyError, AttributeError, TypeError):
        raise InputError("ansible-inventory did not print an inventory", where=path, todo=again) from None


def _program() -> str:
    """That of the user, who may have plugins for it; else the one that was installed with us."""
    folders = f"{environment()['PATH']}:{Path(sys.executable).parent}"
    path = shutil.which(_PROGRAM, path=folders)
    if path is None:
        raise MachineError("Ansible is missing", where="testbed ssh.inventory", todo="pip install ansible-core")
    return path


def _run(command: list[str], timeout_s: float) -> tuple[int, str, str]:
    """Exit code, standard output, standard error. What is not ended in time is killed with all that it started."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
            env=environment() | _SETTINGS,
        )
    except OSError as error:
        raise MachineError(f"cannot start {command[0]}: {error.strerror}") from error
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise InputError(f"the inventory gave no answer within {timeout_s:g} s", where=command[-1]) from None
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return process.returncode, out, err


def _hosts(groups: Mapping[str, Mapping[str, Any]], name: str, above: frozenset[str]) -> list[str]:
    """The hosts of a group and of those below it, each once."""
    group = groups.get(name, {})  # a group without hosts is named by the one above alone
    found = [str(host) for host in group.get("hosts", [])]
    for child in group.get("children", []):
        if child not in above:
            found += _hosts(groups, child, above | {name})
    return list(dict.fromkeys(found))
