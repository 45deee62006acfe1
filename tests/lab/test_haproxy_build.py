"""HAProxy built for real, on a lab's director, from Debian's source packages, with Lua; and a front in HTTPS."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bmtlib.errors import HostError
from bmtlib.hosts.host import WORK, Host
from bmtlib.measure.ready import check
from bmtlib.params.arms import ProxyArm
from bmtlib.params.profile import Nginx
from bmtlib.params.proxy_options import Build, Lua, Tls
from bmtlib.run import load
from bmtlib.setup.change import Command
from bmtlib.setup.haproxy import haproxy_changes
from bmtlib.setup.haproxy_build import build_changes, build_in_lab, build_probe
from bmtlib.setup.nginx import file_name, nginx_changes
from bmtlib.setup.tls import tls_probe
from bmtlib.testbeds.netns import Lab
from bmtlib.testbeds.placement import place

pytestmark = [pytest.mark.lab, pytest.mark.build]

_LIBRARIES = ("libssl-dev", "zlib1g-dev", "libpcre2-dev", "libsystemd-dev", "libreadline-dev")
_MIRROR = "deb-src http://deb.debian.org/debian bookworm main\n"


def missing() -> str:
    if shutil.which("apt-get") is None:
        return "the sources come by apt-get"
    if absent := [name for name in ("cc", "make", "openssl", "curl", "haproxy", "nginx") if shutil.which(name) is None]:
        return f"no {', '.join(absent)} here"
    found = subprocess.run(["dpkg-query", "-W", *_LIBRARIES], capture_output=True, text=True, check=False).stderr
    return f"apt-get install {' '.join(_LIBRARIES)}: {' '.join(found.split())}" if found else ""


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The tarballs of HAProxy's and Lua's authors, as Debian keeps them; nothing of apt's own state is touched."""
    if why := missing():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("sources")
    folder.chmod(0o755)
    (folder / "sources.list").write_text(_MIRROR)
    (folder / "lists" / "partial").mkdir(parents=True)
    (folder / "cache" / "archives" / "partial").mkdir(parents=True)
    options = {
        "Dir::Etc::sourcelist": "sources.list",
        "Dir::Etc::sourceparts": "none",
        "Dir::State::Lists": "lists",
        "Dir::Cache": "cache",
    }
    apt = ["apt-get", "-q", *(word for key, value in options.items() for word in ("-o", f"{key}={folder}/{value}"))]
    for words in (["update"], ["source", "--download-only", "haproxy", "lua5.3"]):
        done = subprocess.run([*apt, *words], cwd=folder, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, f"Debian's sources cannot be had: {done.stderr}"
    (haproxy,) = folder.glob("haproxy_*.orig.tar.gz")
    (lua,) = folder.glob("lua5.3_*.orig.tar.gz")
    return Build(
        version=version(haproxy),
        source=str(haproxy),
        sha256=sha256(haproxy),
        pcre="pcre2",
        lua=Lua(version=version(lua), source=str(lua), sha256=sha256(lua)),
    )


def version(path: Path) -> str:
    return path.name.partition("_")[2].removesuffix(".orig.tar.gz")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def lab(build: Build) -> Iterator[Lab]:
    plan = load("quick").plan
    with Lab(plan.testbed.network, webs=1, clients=1, placement=place("auto"), rootless=check(plan).rootless) as found:
        yield found


def test_a_wrong_checksum_stops_before_anything_is_unpacked(lab: Lab, build: Build) -> None:
    director = lab.hosts["director"]
    source, *others = build_changes("director", build_in_lab(build, WORK))
    (lua, *_) = others  # another tarball under HAProxy's checksum
    wrong = replace(source, do=Command(argv=source.do.argv, stdin=lua.do.stdin))
    with pytest.raises(HostError, match=f"not {build.sha256}: it was not unpacked"):
        director.apply([wrong, *others])
    assert look(director, build) == "none\n"
    assert kept(director) == []


def test_a_build_that_breaks_leaves_no_prefix(lab: Lab, build: Build) -> None:
    """Lua's source in the place of HAProxy's: it unpacks, has a Makefile, and makes no HAProxy."""
    director = lab.hosts["director"]
    assert build.lua is not None
    other = build.model_copy(update={"source": build.lua.source, "sha256": build.lua.sha256, "lua": None})
    changes = build_changes("director", build_in_lab(other, WORK))
    with pytest.raises(HostError, match="failed: make"):
        director.apply(changes)
    assert look(director, build) == "none\n"
    director.undo(changes)
    assert kept(director) == []


def test_it_is_built_and_answers_in_https(lab: Lab, build: Build) -> None:
    director, web, client = lab.hosts["director"], lab.hosts["web01"], lab.hosts["client01"]
    vip = director.addresses["front"]
    page = nginx_changes(
        "web01",
        Nginx(),
        file_sizes=[5120],
        port=80,
        nofile=1000,
        work=WORK,
        user="root",
        cpus=web.cpus,
        config_before=None,
    )
    proxy = haproxy_changes(
        "director",
        ProxyArm(tls=Tls(), build=build),
        servers={"web01": web.addresses["back"]},
        vip=vip,
        port=80,
        cpus=director.cpus,
        maxconn=100,
        nofile=1000,
        work=WORK,
        config_before=None,
    )
    web.apply(page)
    director.apply(proxy)  # the check of the build has read `haproxy -vv`
    try:
        (built,) = [change for change in proxy if change.what.startswith("build ")]
        assert built.expect == f"{build.version} OPENSSL ZLIB PCRE2 SYSTEMD LUA"
        exe = director.run(["sh", "-c", 'readlink "/proc/$(cat /run/bmt/haproxy.pid)/exe"']).stdout
        assert exe == f"{WORK}/haproxy-{build.version}/sbin/haproxy\n"
        assert client.run(tls_probe(vip, 443, f"/{file_name(5120)}")).stdout == "200\n"
        assert client.run(["curl", "-q", "-s", f"http://{vip}/{file_name(5120)}", "-o", "/dev/null"]).rc == 0
        old = [*tls_probe(vip, 443), "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"]
        assert client.run(old, check=False).rc != 0, "ssl-min-ver is TLS 1.2"
    finally:
        director.undo(proxy)
        web.undo(page)
    assert look(director, build) == "none\n"
    assert kept(director) == []
    assert director.run(["sh", "-c", "[ ! -e /etc/bmt ]"], check=False).rc == 0


def look(director: Host, build: Build) -> str:
    return director.run(build_probe(build_in_lab(build, WORK)).argv).stdout


def kept(director: Host) -> list[str]:
    return director.run(["find", f"{WORK}/keep", "-type", "f"]).stdout.split()
