"""What a proxy arm may have beyond the distribution's HAProxy: a front in HTTPS, and a build from source.

Each text becomes a word of a command line or of haproxy.cfg, and so has a strict form: no space, no quote, nothing that
a shell, make or HAProxy would take for more than a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from bmtlib.params.units import Duration, Params, rules_broken

_NAME = r"\.?[A-Za-z0-9_@+=-][A-Za-z0-9_.@+=-]{0,254}"  # of a file; never `.` or `..`
_PATH = re.compile(rf"(/{_NAME}){{1,20}}", re.ASCII)
_URL = re.compile(r"https?://[A-Za-z0-9][A-Za-z0-9.-]{0,252}(:[0-9]{1,5})?(/[A-Za-z0-9_.~@%+=-]+){1,20}", re.ASCII)
_SOURCE = re.compile(rf"{_URL.pattern}|{_PATH.pattern}", re.ASCII)
_CIPHERS = re.compile(r"[A-Za-z0-9@!_+-][A-Za-z0-9@!_+=:-]{0,999}", re.ASCII)
_HAPROXY = re.compile(r"[0-9]{1,2}\.[0-9]{1,3}(\.[0-9]{1,3}|-dev[0-9]{1,3})?", re.ASCII)
_LUA = re.compile(r"5\.[3-9]\.[0-9]{1,2}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


def _form(pattern: re.Pattern[str], what: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"{text!r} is not {what}")
        return text

    return check


def _schema(pattern: re.Pattern[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^({pattern.pattern})$"})


_A_PATH = "a path from / (letters, digits and . _ @ + = - in its names, no '..')"
Path = Annotated[str, AfterValidator(_form(_PATH, _A_PATH)), _schema(_PATH)]
Source = Annotated[
    str,
    AfterValidator(_form(_SOURCE, "the URL (https or http) of a tarball, or its path on this machine, from /")),
    _schema(_SOURCE),
]
Sha256 = Annotated[
    str,
    AfterValidator(_form(_SHA256, "a SHA-256: 64 digits of 0-9 and a-f, as sha256sum prints it")),
    _schema(_SHA256),
]
Ciphers = Annotated[
    str,
    AfterValidator(_form(_CIPHERS, "a list of ciphers such as 'ECDHE+AESGCM:!aNULL' (with ':', without spaces)")),
    _schema(_CIPHERS),
]


def _check_version(text: str) -> str:
    if not _HAPROXY.fullmatch(text):
        raise ValueError(f"{text!r} is not a version such as '2.2.25'")
    if int(text.partition(".")[0]) < 2:
        raise ValueError(f"HAProxy {text} has no `make TARGET=linux-glibc`: 2.0 is the first that can be built")
    return text


HaproxyVersion = Annotated[str, AfterValidator(_check_version), _schema(_HAPROXY)]
LuaVersion = Annotated[
    str, AfterValidator(_form(_LUA, "a version of Lua such as '5.3.5' (5.3.0 or newer)")), _schema(_LUA)
]


class Tls(Params):
    """A second front, in HTTPS, beside that of the testbed's port: the seed's `bind VIP:443 ssl crt server.pem`."""

    port: int = Field(default=443, ge=1, le=65_535, description="Port of the front in HTTPS.")
    certificate: Literal["self-signed"] | Path = Field(
        default="self-signed",
        description="self-signed: made on the director, for the VIP. Or the path, on the director, of a PEM file with "
        "certificate, its chain and key.",
    )
    key_bits: Literal[2048, 3072, 4096] = Field(
        default=2048, description="RSA key of the self-signed certificate, bits."
    )
    min_version: Literal["TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"] = Field(
        default="TLSv1.2", description="Oldest version that clients may speak (ssl-min-ver)."
    )
    ciphers: Ciphers | None = Field(
        default=None, description="ssl-default-bind-ciphers, up to TLS 1.2; null: as HAProxy was built."
    )
    ciphersuites: Ciphers | None = Field(
        default=None, description="ssl-default-bind-ciphersuites, for TLS 1.3; null: as HAProxy was built."
    )
    dh_bits: Literal[1024, 2048, 3072, 4096] = Field(default=2048, description="tune.ssl.default-dh-param, bits.")
    cache_size: int | None = Field(
        default=None, ge=0, le=2**31 - 1, description="tune.ssl.cachesize, sessions; 0: none; null: HAProxy's own."
    )
    lifetime: Duration | None = Field(
        default=None, description="tune.ssl.lifetime of a cached session; null: HAProxy's own (300 s)."
    )


class Lua(Params):
    """Lua, to be built into HAProxy. It is linked statically, and nothing else on the host sees it."""

    version: LuaVersion = Field(description="Lua's version, such as 5.3.5 (the seed's).")
    source: Source = Field(
        description="URL of the tarball, or its path on this machine; the seed's: "
        "https://www.lua.org/ftp/lua-5.3.5.tar.gz"
    )
    sha256: Sha256 = Field(description="SHA-256 of the tarball, checked before it is unpacked.")


class Build(Params):
    """HAProxy built from source on the director, under a prefix of its own: the distribution's stays as it is.

    The seed's is 2.2.25 with Lua 5.3.5, which wants OpenSSL 1.1, as RHEL 8 has it; 2.6 is the first for OpenSSL 3.
    """

    version: HaproxyVersion = Field(description="HAProxy's version, such as 2.2.25 (the seed's).")
    source: Source = Field(
        description="URL of the tarball, or its path on this machine; the seed's: "
        "http://www.haproxy.org/download/2.2/src/haproxy-2.2.25.tar.gz"
    )
    sha256: Sha256 = Field(description="SHA-256 of the tarball, checked before it is unpacked.")
    openssl: bool = Field(default=True, description="USE_OPENSSL: TLS.")
    zlib: bool = Field(default=True, description="USE_ZLIB: compression by zlib.")
    pcre: Literal["pcre", "pcre2"] | None = Field(default="pcre", description="USE_PCRE or USE_PCRE2; null: neither.")
    systemd: bool = Field(default=True, description="USE_SYSTEMD: tells systemd when it is ready.")
    lua: Lua | None = Field(default=None, description="USE_LUA, with this Lua; null: without. The seed has it.")
    prefix: Path | None = Field(
        default=None, description="Folder on the director, new or of the same build; null: /opt/bmt/haproxy-VERSION."
    )

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if self.prefix is not None and self.prefix.count("/") < 2:
            why = f"{self.prefix} is a folder of the system itself: one of HAProxy's own, such as /opt/haproxy"
            raise rules_broken([(("prefix",), why)])
        return self

    @property
    def folder(self) -> str:
        """Where it is installed."""
        return self.prefix or f"/opt/bmt/haproxy-{self.version}"

    @property
    def program(self) -> str:
        return f"{self.folder}/sbin/haproxy"
