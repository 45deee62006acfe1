"""What is known of kernel settings (kernel_keys.yml): where a key exists, its default, whom it belongs to."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BeforeValidator, Field, TypeAdapter

from bmtlib.errors import InputError
from bmtlib.params.units import Params

Kernel = tuple[int, int]

# Kernels whose defaults were looked up -> the distribution that has them.
CHECKED: dict[Kernel, str] = {(4, 18): "EL8", (5, 14): "EL9", (6, 1): "Debian 12"}
_OLDEST = min(CHECKED)
_VERSION = re.compile(r"(\d{1,3})\.(\d{1,3})(?:[.+~_-].*)?", re.ASCII | re.DOTALL)


def parse_kernel(text: str) -> Kernel:
    """Version of a kernel as `uname -r` prints it. InputError: none, or one that nothing is known of.

    >>> parse_kernel("6.1.0-18-amd64")
    (6, 1)
    """
    match = _VERSION.fullmatch(text)
    if match is None:
        raise InputError(f"{text[:80]!r} is not a kernel's version", todo="such as 4.18, 5.14 or 6.1.0-18-amd64")
    kernel = int(match[1]), int(match[2])
    if kernel < _OLDEST:
        raise InputError(f"nothing is known of a kernel {shown(kernel)}", todo=f"{shown(_OLDEST)} or newer")
    return kernel


def shown(kernel: Kernel) -> str:
    """As people write it: `5.14`."""
    return f"{kernel[0]}.{kernel[1]}"


def _version(text: object) -> object:
    if isinstance(text, str) and re.fullmatch(r"\d+(\.\d+)?", text):
        major, _, minor = text.partition(".")
        return int(major), int(minor or 0)
    return text


def _by_version(value: object) -> object:
    """A single value is that of all versions."""
    return value if isinstance(value, dict) else {"0": value}


_Version = Annotated[Kernel, BeforeValidator(_version)]
_Value = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
_Values = dict[_Version, _Value]


class ByMemory(Params):
    """A default of one for each `each` bytes of memory, `most` at the most; `doubling`: the next power of two."""

    each: int
    most: int | None = None
    doubling: bool = False

    def gib_above(self, value: int) -> float:
        """Memory in GiB above which the default is more than `value`, which is below `most`.

        The tables of TCP have twice as many slots, a power of two: 15,000 orphans are fewer than the default as soon
        as 16,384 / 2 * 256 KiB are exceeded.

        >>> ByMemory(each=262144, most=262144, doubling=True).gib_above(15000)
        2.0
        """
        count = (1 << value.bit_length()) // 2 if self.doubling else value
        return count * self.each / 2**30


class KernelKey(Params):
    """One key; the fields are explained at the head of kernel_keys.yml."""

    scope: Literal["netns", "netns-readonly", "host", "machine"]
    default: Annotated[_Values, BeforeValidator(_by_version)] = Field(default={})
    distribution: _Values = Field(default={})
    memory: ByMemory | None = None
    varies: str = ""
    since: _Version = (0, 0)
    until: _Version | None = None
    module: str = ""
    instead: str = ""
    choice: bool = False
    only_for: Literal["listening", "connecting", "keepalive", "sndbuf", "not-tcp", ""] = ""
    larger: bool = False
    does: str = Field(min_length=1)
    source: str = Field(min_length=1)

    def default_on(self, kernel: Kernel) -> str | None:
        """Its value on an untouched host; None where that is not known, or follows the memory."""
        if kernel in self.distribution:
            return self.distribution[kernel]
        since = [version for version in self.default if version <= kernel]
        return self.default[max(since)] if since else None


@cache
def known_keys() -> dict[str, KernelKey]:
    """All of kernel_keys.yml. A `*` in a key stands for one interface."""
    text = Path(__file__).with_name("kernel_keys.yml").read_text(encoding="utf-8")
    return TypeAdapter(dict[str, KernelKey]).validate_python(yaml.safe_load(text))


def find(key: str) -> KernelKey | None:
    """What is known of a key: `net.ipv4.conf.eth0.rp_filter` is found as `net.ipv4.conf.*.rp_filter`.

    >>> find("net.ipv4.conf.eth0.rp_filter").larger, find("net.no.such_key")
    (True, None)
    """
    if key in known_keys():
        return known_keys()[key]
    any_interface = re.sub(r"^(net\.ipv[46]\.(?:conf|neigh))\..+\.([^.]+)$", r"\1.*.\2", key)
    return known_keys().get(any_interface)
