"""Texts about a host that may become a word of a command line or the name of a folder: each has a strict form.

None begins like an option (`-oProxyCommand=...`); none but a path holds a space, a quote or a control character.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from bmtlib.cpus import parse_list, to_list
from bmtlib.params.host_range import expand

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
_ADDRESS = re.compile(r"[A-Za-z0-9:][A-Za-z0-9._:%-]{0,252}", re.ASCII)  # a name, IPv4, or IPv6 with its zone
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}", re.ASCII)
_PATH = re.compile(r"~?/[A-Za-z0-9_./@%+=~-]{0,1023}", re.ASCII)
_INVENTORY = re.compile(r"[^\x00-\x1f\x7f-][^\x00-\x1f\x7f]{0,1023}")
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}", re.ASCII)  # the kernel's names have 15 characters
_GROUP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,62}", re.ASCII)


def _form(pattern: re.Pattern[str], what: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"{text!r} is not {what}")
        return text

    return check


def _ranges(pattern: re.Pattern[str], what: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        for word in expand(text):
            _form(pattern, what)(word)
        return text

    return check


def _schema(pattern: re.Pattern[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern.pattern}$"})


def _check_cpus(text: str) -> str:
    if text == "auto":
        return text
    if not (cpus := parse_list(text)):
        raise ValueError("an empty list of CPUs: write 'auto', or CPUs such as '1' or '2-3'")
    return to_list(cpus)


def _one_cpu(value: object) -> object:
    """A single CPU is a number to YAML."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


CpuList = Annotated[
    str,
    BeforeValidator(_one_cpu),
    AfterValidator(_check_cpus),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": "^(auto|[0-9][0-9, -]*)$"}, {"type": "integer"}]}),
]
_HOSTS = "a host's name: letters, digits, '.', '_' and '-', 63 at most, a letter or digit first"
HostNames = Annotated[
    str,
    AfterValidator(_ranges(_NAME, _HOSTS)),
    WithJsonSchema({"type": "string", "pattern": r"^[A-Za-z0-9\[][A-Za-z0-9._:\[\]-]*$"}),
]
Addresses = Annotated[
    str,
    AfterValidator(_ranges(_ADDRESS, "an address or a name such as '10.0.0.9' or 'web01.example.org'")),
    WithJsonSchema({"type": "string", "pattern": r"^[A-Za-z0-9:\[][A-Za-z0-9._:%\[\]-]*$"}),
]
User = Annotated[str, AfterValidator(_form(_USER, "a user's name such as 'root'")), _schema(_USER)]
KeyFile = Annotated[
    str,
    AfterValidator(_form(_PATH, "the path of a key such as '~/.ssh/id_ed25519' (from / or ~, without spaces)")),
    _schema(_PATH),
]
Interface = Annotated[
    str,
    AfterValidator(_form(_INTERFACE, "an interface such as 'eth0' (an alias such as 'eth0:0' is none)")),
    _schema(_INTERFACE),
]
GroupName = Annotated[str, AfterValidator(_form(_GROUP, "the name of a group such as 'web'")), _schema(_GROUP)]
InventoryPath = Annotated[
    str,
    AfterValidator(_form(_INVENTORY, "the path of an inventory such as 'hosts.ini'")),
    WithJsonSchema({"type": "string", "minLength": 1}),
]
