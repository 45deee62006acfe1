"""A profile: the kernel and nginx settings of one role, each with its reason (params/profiles/<set>-<role>.yml)."""

from __future__ import annotations

import re
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from bmtlib.params.units import Duration, Params

_KEY = re.compile(r"(net|kernel|vm|fs)(\.[A-Za-z0-9_-]+)+", re.ASCII)
_VALUE = re.compile(r"[A-Za-z0-9_.,:/+-]+( [A-Za-z0-9_.,:/+-]+)*", re.ASCII)


def _check_key(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError("not a sysctl key such as 'net.core.somaxconn'")
    return key


def _number_as_text(value: object) -> object:
    """sysctl knows texts only; YAML makes a number of most of them."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _check_value(value: str) -> str:
    if not _VALUE.fullmatch(value):
        raise ValueError(f"{value!r} is not a sysctl value: words of letters and digits, one space between them")
    return value


SysctlKey = Annotated[str, AfterValidator(_check_key)]
SysctlValue = Annotated[
    str,
    BeforeValidator(_number_as_text),
    AfterValidator(_check_value),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string", "pattern": f"^{_VALUE.pattern}$"}]}),
]


class SysctlSetting(Params):
    """One kernel setting."""

    value: SysctlValue = Field(description="The value, as sysctl(8) takes it.")
    reason: str = Field(min_length=1, description="Why it is set, or why it does not hold.")
    source: str = Field(default="", description="Where this can be read.")
    holds: bool = Field(
        default=True,
        description="false: on today's kernels, in this role, it does not do what it was set for (unknown key, no "
        "effect, or harm). It stays in the profile only so that the study can be repeated.",
    )


class Nginx(Params):
    """nginx on a web host. nofile and connections are cut to what the host allows."""

    worker_processes: int = Field(default=2, ge=1, le=1024, description="Worker processes.")
    worker_connections: int = Field(
        default=16_384, ge=1, le=10_000_000, description="Connections per worker at one time."
    )
    worker_rlimit_nofile: int = Field(default=65_536, ge=1, le=2**30, description="Open files per worker.")
    backlog: int = Field(
        default=511, ge=1, le=2**31 - 1, description="Length of the listen queue; somaxconn bounds it."
    )
    access_log: bool = Field(default=False, description="Write a log line per request.")
    keepalive_timeout: Duration = Field(default="75s", description="How long an idle connection stays open.")
    keepalive_requests: int | None = Field(
        default=None, ge=1, le=2**31 - 1, description="Requests per connection; null: nginx's own default."
    )


class Profile(Params):
    """Settings of one role. Which of them a host can take is found out when they are applied."""

    title: str = Field(min_length=1, description="One line.")
    source: str = Field(min_length=1, description="Where the settings come from.")
    sysctl: dict[SysctlKey, SysctlSetting] = Field(default={}, description="Kernel settings: key -> value and reason.")
    nginx: Nginx | None = Field(default=None, description="nginx settings; only for the role web.")


Role = Literal["client", "director", "web"]
ROLES: tuple[Role, ...] = get_args(Role)
