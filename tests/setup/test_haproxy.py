"""The proxy: limits that fit the host, every option of the seed study, and a file that HAProxy itself accepts."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bmtlib.cpus import parse_list
from bmtlib.errors import InputError
from bmtlib.params.arms import ProxyArm, Timeouts
from bmtlib.params.proxy_options import Build, Tls
from bmtlib.setup.change import Change
from bmtlib.setup.haproxy import CONFIG, check_proxy, haproxy_changes, largest_maxconn
from bmtlib.setup.tls import certificate_changes

BUILD = Build(version="2.2.25", source="http://example.org/haproxy.tar.gz", sha256="0" * 64)
SERVERS = {f"web{i:02}": f"172.16.0.{100 + i}" for i in range(1, 26)}
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def changes(
    arm: ProxyArm, *, work: Path | str = "/run/bmt", cpus: frozenset[int] = frozenset(range(8))
) -> list[Change]:
    return haproxy_changes(
        "director",
        arm,
        servers=SERVERS,
        vip="192.168.16.100",
        port=80,
        cpus=cpus,
        maxconn=9000,
        nofile=20_000,
        work=str(work),
        config_before="theirs",
    )


def config(**options: Any) -> str:
    (text,) = [change.do.stdin for change in changes(ProxyArm(**options)) if change.what == f"file {CONFIG}"]
    return text


def section(text: str, head: str) -> list[str]:
    """Lines of one section, comments and blanks left out."""
    _, _, rest = f"\n{text}".partition(f"\n{head}\n")
    lines = rest.splitlines()
    end = next((i for i, line in enumerate(lines) if line and not line[0].isspace()), len(lines))
    return [line.strip() for line in lines[:end] if line.strip() and not line.strip().startswith("#")]


def test_every_option_of_the_seed_study() -> None:
    """Its haproxy.cfg, with its own values where they can be chosen. Ours: where the certificate lies, ssl-min-ver."""
    text = config(threads=4, log=True, rate_limit_sessions=120_000, checks=True, tls=Tls())
    assert section(text, "global") == [
        "daemon",
        "maxconn 9000",
        "ulimit-n 20000",
        "nbthread 4",
        "cpu-map auto:1/1-4 0-3",
        "tune.bufsize 16384",
        "tune.maxrewrite 1024",
        "tune.ssl.default-dh-param 2048",
        "ssl-default-bind-options ssl-min-ver TLSv1.2",
        "pidfile /run/bmt/haproxy.pid",
        "stats socket /run/bmt/haproxy.sock mode 600 level admin",
    ]
    assert section(text, "defaults") == [
        "backlog 15000",
        "maxconn 9000",
        "retries 3",
        "mode http",
        "option redispatch",
        "option dontlognull",
        "timeout connect 210s",
        "timeout client 200s",
        "timeout server 200s",
        "timeout http-request 180s",
        "timeout http-keep-alive 180s",
    ]
    assert section(text, "frontend haproxy_bmt") == [
        "bind 192.168.16.100:80",
        "bind 192.168.16.100:443 ssl crt /etc/bmt/tls/192.168.16.100.pem",
        "log 127.0.0.1:514 local1",
        "rate-limit sessions 120000",
        "default_backend web",
    ]
    servers = [f"server {name} {address}:80 check" for name, address in SERVERS.items()]
    assert section(text, "backend web") == ["balance roundrobin", *servers]


def test_options_that_are_off_leave_no_line() -> None:
    text = config(mode="tcp", redispatch=False, dontlognull=False)
    for word in (
        "option",
        "http-request",
        "http-keep-alive",
        "rate-limit",
        "log 127",
        " check",
        " ssl ",
        "bind-",
        ":443",
    ):
        assert word not in text, word
    assert "mode tcp" in text


def test_every_field_of_the_arm_reaches_the_file() -> None:
    own = Timeouts(connect="11s", client="12s", server="13s", http_request="14s", http_keep_alive="15s")
    text = config(balance="leastconn", backlog=16, retries=17, bufsize=20_000, maxrewrite=18, timeouts=own)
    for words in ("balance leastconn", "backlog 16", "retries 17", "tune.bufsize 20000", "tune.maxrewrite 18"):
        assert words in text
    assert re.findall(r"timeout \S+ (\d+)s", text) == ["11", "12", "13", "14", "15"]


def test_every_field_of_tls_reaches_the_file() -> None:
    own = Tls(
        port=8443,
        certificate="/root/haproxy/certs/server.pem",
        min_version="TLSv1.3",
        ciphers="ECDHE+AESGCM:!aNULL",
        ciphersuites="TLS_AES_128_GCM_SHA256",
        dh_bits=4096,
        cache_size=100_000,
        lifetime="600s",
    )
    text = config(tls=own)
    for line in (
        "tune.ssl.default-dh-param 4096",
        "ssl-default-bind-options ssl-min-ver TLSv1.3",
        "ssl-default-bind-ciphers ECDHE+AESGCM:!aNULL",
        "ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256",
        "tune.ssl.cachesize 100000",
        "tune.ssl.lifetime 600s",
    ):
        assert line in section(text, "global")
    assert "bind 192.168.16.100:8443 ssl crt /root/haproxy/certs/server.pem" in section(text, "frontend haproxy_bmt")


def test_a_build_without_openssl_knows_no_word_of_it() -> None:
    plain = Build(version="2.2.25", source="http://example.org/haproxy.tar.gz", sha256="0" * 64, openssl=False)
    assert "ssl" not in config(build=plain)


@pytest.mark.parametrize(
    ("threads", "cpus", "pinned"),
    [
        (1, {1}, {1}),
        (2, {6, 7}, {6, 7}),
        (2, {1, 2, 3}, {1, 2}),
        (3, {1, 5, 9}, {1, 5, 9}),
        (4, {0, 1, 2, 8}, {0, 1, 2, 8}),
    ],
)
def test_one_thread_has_one_cpu(threads: int, cpus: set[int], pinned: set[int]) -> None:
    text = changes(ProxyArm(threads=threads), cpus=frozenset(cpus))[0].do.stdin
    found = re.search(r"cpu-map auto:1/1-(\d+) (\S+)$", text, re.MULTILINE)
    assert found is not None
    assert int(found[1]) == threads == len(parse_list(found[2]))
    assert parse_list(found[2]) == pinned


def whats(changes: list[Change]) -> list[str]:
    return [change.what for change in changes]


def test_in_a_lab_a_file_and_a_process() -> None:
    file, process = changes(ProxyArm())
    assert (file.what, file.before) == ("file /etc/haproxy/haproxy.cfg", "6 bytes")
    assert process.what == "process haproxy"
    assert "/run/bmt/haproxy.pid" in process.undo.argv


def test_the_certificate_is_there_before_the_proxy_starts() -> None:
    assert whats(changes(ProxyArm(tls=Tls()))) == [
        "certificate /etc/bmt/tls/192.168.16.100.pem",
        "file /etc/haproxy/haproxy.cfg",
        "process haproxy",
    ]


def test_in_a_lab_the_build_stays_below_the_labs_own_folder() -> None:
    made = changes(ProxyArm(build=BUILD.model_copy(update={"prefix": "/opt/mine"})))
    assert whats(made)[:2] == ["source haproxy 2.2.25", "build /run/bmt/haproxy-2.2.25"]
    assert made[-1].do.argv[-4:] == ("/run/bmt/haproxy-2.2.25/sbin/haproxy", "-D", "-f", CONFIG)


def test_two_fronts_need_two_ports() -> None:
    with pytest.raises(InputError, match="port 80 is that of the front without TLS"):
        changes(ProxyArm(tls=Tls(port=80)))


@pytest.mark.parametrize("nofile", [1024, 4096, 20_000, 1_048_576])
@pytest.mark.parametrize("threads", [1, 4, 64])
@pytest.mark.parametrize("servers", [1, 4, 60])
def test_maxconn_fits_the_open_files(nofile: int, threads: int, servers: int) -> None:
    """HAProxy 2.6 wants two per connection, and was seen to start with some 80 files fewer to spare than are left."""
    most = largest_maxconn(nofile, threads=threads, servers=servers)
    assert 0 < 2 * most <= nofile - 100
    assert 2 * (most + 1) > nofile - 122 - 4 * threads - 2 * servers
    arm = ProxyArm(threads=threads)
    assert check_proxy(arm, cpus=frozenset(range(threads)), nofile=nofile, servers=servers) == most
    exact = ProxyArm(threads=threads, maxconn=most)
    assert check_proxy(exact, cpus=frozenset(range(threads)), nofile=nofile, servers=servers) == most
    more = ProxyArm(threads=threads, maxconn=most + 1)
    with pytest.raises(InputError, match=f"maxconn {most + 1}") as caught:
        check_proxy(more, cpus=frozenset(range(threads)), nofile=nofile, servers=servers)
    assert f"at most {most}" in caught.value.todo


def test_more_threads_than_cpus() -> None:
    with pytest.raises(InputError, match=r"3 HAProxy threads, and the director has 2 CPU\(s\): 1,3") as caught:
        check_proxy(ProxyArm(threads=3), cpus=frozenset({1, 3}), nofile=20_000, servers=4)
    assert "director_cpus" in caught.value.todo


@pytest.mark.skipif(shutil.which("haproxy", path=PATH) is None, reason="no HAProxy here")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"threads": 8, "maxconn": 500, "log": True, "rate_limit_sessions": 120_000, "checks": True},
        {"mode": "tcp", "balance": "leastconn", "redispatch": False, "dontlognull": False},
        {"balance": "source", "bufsize": 1024, "maxrewrite": 512},
        {"balance": "static-rr", "retries": 0},
        {"tls": Tls()},
        {"tls": Tls(min_version="TLSv1.3", ciphers="ECDHE+AESGCM:!aNULL", ciphersuites="TLS_AES_128_GCM_SHA256")},
        {"tls": Tls(cache_size=0, lifetime="600s", dh_bits=4096, key_bits=3072), "mode": "tcp"},
        {"balance": "random", "timeouts": Timeouts(connect="1ms", client="24h")},
    ],
)
def test_haproxy_accepts_it(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "haproxy.cfg"
    text = config(**options)
    if tls := options.get("tls"):
        (made,) = certificate_changes("director", tls, vip="192.168.16.100", present=None)
        pem = tmp_path / "server.pem"
        words = [str(pem) if word == "/etc/bmt/tls/192.168.16.100.pem" else word for word in made.do.argv]
        subprocess.run(words, check=True, env={"PATH": PATH, "KEEP": str(tmp_path)})
        text = text.replace("/etc/bmt/tls/192.168.16.100.pem", str(pem))
    path.write_text(text)
    command = ["haproxy", "-c", "-f", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": PATH})
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stdout + done.stderr
