"""Hosts from EnOSlib (PyPI enoslib): it reserves machines on Grid'5000, Vagrant ..., or takes a static list."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any

from bmtlib.errors import InputError, MachineError
from bmtlib.params.fleet import EnosLib, Provider
from bmtlib.testbeds.listing import Listing

_WHERE = "testbed ssh.enoslib"

# Our name -> EnOSlib's public names for the provider and its configuration, and the extra that brings what they need.
_PROVIDERS: dict[Provider, tuple[str, str, str]] = {
    "static": ("Static", "StaticConf", ""),
    "g5k": ("G5k", "G5kConf", ""),
    "vmong5k": ("VMonG5k", "VMonG5kConf", ""),
    "vagrant": ("Vagrant", "VagrantConf", "[vagrant]"),
    "openstack": ("OS", "OSConf", "[chameleon]"),
    "chameleon": ("CBM", "CBMConf", "[chameleon]"),
    "chameleonkvm": ("CKVM", "CKVMConf", "[chameleon]"),
    "fabric": ("Fabric", "FabricConf", "[fabric]"),
    "distem": ("Distem", "DistemConf", "[distem]"),
}


def read_enoslib(wish: EnosLib, *, tell: Callable[[str], None]) -> Listing:
    """The hosts of a provider, by EnOSlib's roles. What is not there yet is reserved and created: it may take minutes.

    Nothing is released here: EnOSlib finds the machines again by the configuration, and `destroy()` is the user's call.
    Raises MachineError when EnOSlib or the provider's own library is missing, or when the provider fails; InputError
    when the configuration is wrong.
    """
    try:
        enoslib = importlib.import_module("enoslib")
    except ImportError as error:
        todo = "pip install 'bmtlib[enoslib]'"
        raise MachineError(f"EnOSlib cannot be imported: {error}", where=_WHERE, todo=todo) from error
    provider_name, configuration_name, extra = _PROVIDERS[wish.provider]
    provider_class = getattr(enoslib, provider_name, None)
    configuration_class = getattr(enoslib, configuration_name, None)
    if provider_class is None or configuration_class is None:
        todo = f"pip install 'enoslib{extra}'"
        raise MachineError(f"EnOSlib's provider {wish.provider} lacks what it needs", where=_WHERE, todo=todo)
    try:
        configuration = configuration_class.from_dictionary(wish.config)
    except Exception as error:  # jsonschema's, KeyError, or whatever a provider makes of it
        raise InputError(
            f"EnOSlib does not take this configuration: {_said(error)}", where=f"{_WHERE}.config"
        ) from error
    if wish.provider != "static":
        tell(f"EnOSlib: asking {wish.provider} for its hosts; reserving and creating them may take minutes")
    try:
        roles, _ = provider_class(configuration).init()
    except Exception as error:  # of any library below, or of the site
        raise MachineError(f"EnOSlib got no hosts from {wish.provider}: {_said(error)}", where=_WHERE) from error
    groups: dict[str, list[str]] = {}
    variables: dict[str, dict[str, Any]] = {}
    for role, hosts in roles.items():
        groups[role] = sorted((host.alias for host in hosts), key=_natural)  # EnOSlib keeps sets
        variables |= {host.alias: _variables(host) for host in hosts}
    return Listing(source=f"EnOSlib ({wish.provider})", groups=groups, variables=variables)


def _variables(host: Any) -> dict[str, Any]:
    """What EnOSlib would tell Ansible of a host."""
    port = int(host.port) if host.port is not None else None
    own = {
        "ansible_host": host.address,
        "ansible_user": host.user,
        "ansible_port": port,
        "ansible_ssh_private_key_file": host.keyfile,
    }
    return {**host.extra, **{key: value for key, value in own.items() if value is not None}}


def _natural(name: str) -> list[tuple[int, str]]:
    """web2 before web10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _said(error: Exception) -> str:
    """One line of an error: jsonschema's has the whole configuration below the first."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in getattr(error, "absolute_path", ()))
    first = (str(error).strip().splitlines() or [""])[0][:300]
    return f"{path.removeprefix('.')}: {first}" if path else f"{type(error).__name__}: {first}"
