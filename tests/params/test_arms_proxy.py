"""What a proxy arm says of TLS and of a build from source, from the words of a YAML file to types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bmtlib.params.load_yaml import load_scenario
from bmtlib.params.proxy_options import Build, Lua, Tls
from bmtlib.params.scenario import ProxyArm

SUM = "0123456789abcdef" * 4
SCENARIO = f"""\
title: The seed's proxy
question: As it was built?
arms:
  proxy:
    threads: 4
    tls: {{}}
    build:
      version: 2.2.25
      source: http://www.haproxy.org/download/2.2/src/haproxy-2.2.25.tar.gz
      sha256: {SUM}
      lua: {{version: 5.3.5, source: https://www.lua.org/ftp/lua-5.3.5.tar.gz, sha256: {SUM}}}
load: {{concurrency: 100, requests: 1000}}
"""


def test_the_seeds_proxy(tmp_path: Path) -> None:
    path = tmp_path / "seed.yml"
    path.write_text(SCENARIO)
    arm = load_scenario(path).arms["proxy"]
    assert isinstance(arm, ProxyArm)
    assert arm.tls == Tls(port=443, certificate="self-signed", key_bits=2048, min_version="TLSv1.2", dh_bits=2048)
    build = arm.build
    assert build is not None
    assert (build.openssl, build.zlib, build.pcre, build.systemd) == (True, True, "pcre", True)
    assert build.lua == Lua(version="5.3.5", source="https://www.lua.org/ftp/lua-5.3.5.tar.gz", sha256=SUM)
    assert build.program == "/opt/bmt/haproxy-2.2.25/sbin/haproxy"


def build(**words: Any) -> Build:
    return Build.model_validate({"version": "3.0.5", "source": "/srv/haproxy.tar.gz", "sha256": SUM} | words)


def test_a_prefix_of_ones_own() -> None:
    assert build(prefix="/opt/haproxy@3").program == "/opt/haproxy@3/sbin/haproxy"


@pytest.mark.parametrize("version", ["2.0", "2.2.25", "3.3-dev12"])
def test_versions(version: str) -> None:
    assert build(version=version).version == version


@pytest.mark.parametrize(
    "source",
    ["/srv/a b.tar.gz", "~/a.tar.gz", "/srv/../a.tar.gz", "https://user@example.org/a", "https://h/a'b", "-o/x"],
)
def test_sources_that_are_more_than_a_word(source: str) -> None:
    with pytest.raises(ValidationError, match="is not the URL"):
        build(source=source)


@pytest.mark.parametrize("prefix", ["/", "/opt", "/usr", "opt/haproxy", "/opt/haproxy/", "/opt/$(reboot)", "/opt/a\nb"])
def test_prefixes_that_are_none(prefix: str) -> None:
    with pytest.raises(ValidationError):
        build(prefix=prefix)


@pytest.mark.parametrize("path", ["/etc/a.pem crt /etc/b.pem", '/etc/"a.pem', "/etc/a.pem#", "/etc/a\\ b", "/etc/$A"])
def test_nothing_gets_into_haproxys_configuration(path: str) -> None:
    with pytest.raises(ValidationError, match="is not a path"):
        Tls(certificate=path)
    with pytest.raises(ValidationError, match="is not a list of ciphers"):
        Tls(ciphers=path)
