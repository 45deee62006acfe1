"""The web host: static files with known bytes, and an nginx.conf that nginx itself accepts."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bmtlib.params.profile import Nginx
from bmtlib.setup.change import Change, Command
from bmtlib.setup.nginx import file_name, file_sha256, nginx_changes

SIZES = (1, 2, 90, 91, 92, 1024, 5120, 65_536, 512 * 1024)


def changes(work: Path, **wish: Any) -> list[Change]:
    """For a web host whose hard limit is 20,000 open files."""
    return nginx_changes(
        "web01",
        Nginx(**wish),
        file_sizes=[5120, 65_536, 5120],
        port=8080,
        nofile=20_000,
        work=str(work),
        user="root",
        cpus={0},
        config_before=None,
    )


def config(work: Path, **wish: Any) -> str:
    (text,) = [change.do.stdin for change in changes(work, **wish) if change.what == "file /etc/nginx/nginx.conf"]
    return text


def run(it: Command) -> str:
    return subprocess.run(it.argv, input=it.stdin, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("size", SIZES)
def test_a_static_file_is_what_its_hash_says(tmp_path: Path, size: int) -> None:
    work = tmp_path / "it's a folder"
    made = nginx_changes(
        "web01",
        Nginx(),
        file_sizes=[size],
        port=80,
        nofile=9,
        work=str(work),
        user="root",
        cpus={0},
        config_before=None,
    )[0]
    run(made.do)
    content = (work / "www" / file_name(size)).read_bytes()
    assert len(content) == size
    assert hashlib.sha256(content).hexdigest() == file_sha256(size)
    assert made.check is not None
    assert " ".join(run(made.check).split()) == made.expect
    run(made.undo)
    assert list((work / "www").iterdir()) == []


def test_a_hash_by_hand() -> None:
    """`yes "$line" | head -c 100 | sha256sum`, typed in a shell."""
    line = b"bmtlib dummy file: the same bytes on every web host, so that a wrong answer shows at once.\n"
    assert file_sha256(1) == hashlib.sha256(b"b").hexdigest()
    assert file_sha256(len(line) + 3) == hashlib.sha256(line + b"bmt").hexdigest()
    assert len({file_sha256(size) for size in SIZES}) == len(SIZES)


def test_order_files_then_configuration_then_process(tmp_path: Path) -> None:
    assert [change.what for change in changes(tmp_path)] == [
        f"file {tmp_path}/www/dummy_file_5120",
        f"file {tmp_path}/www/dummy_file_65536",
        "file /etc/nginx/nginx.conf",
        "process nginx",
    ]


def test_the_configuration_that_was_there_comes_back() -> None:
    made = nginx_changes(
        "web01",
        Nginx(),
        file_sizes=[1],
        port=80,
        nofile=9,
        work="/run/bmt",
        user="root",
        cpus={0},
        config_before="theirs",
    )
    assert made[1].undo.stdin == "theirs"


@pytest.mark.parametrize(
    ("files", "connections", "expected"),
    [(1_000_000, 300_000, (20_000, 20_000)), (20_001, 512, (20_000, 512)), (20_000, 1, (20_000, 1)), (9, 9, (9, 9))],
)
def test_limits_are_cut_to_the_hosts(tmp_path: Path, files: int, connections: int, expected: tuple[int, int]) -> None:
    text = config(tmp_path, worker_rlimit_nofile=files, worker_connections=connections)
    found = re.search(r"worker_rlimit_nofile (\d+);.*worker_connections (\d+);", text, re.DOTALL)
    assert found is not None
    assert (int(found[1]), int(found[2])) == expected


def test_wishes_stand_in_the_configuration(tmp_path: Path) -> None:
    text = config(
        tmp_path,
        worker_processes=3,
        backlog=300_000,
        access_log=True,
        keepalive_timeout="7s",
        keepalive_requests=12,
    )
    for line in ("worker_processes 3;", "keepalive_timeout 7s;", "keepalive_requests 12;", "access_log /var/log/"):
        assert line in text
    assert "listen 8080 default_server backlog=300000;" in text
    plain = config(tmp_path)
    assert "access_log off;" in plain
    assert "keepalive_requests" not in plain


@pytest.mark.skipif(shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin") is None, reason="no nginx here")
@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"access_log": True, "keepalive_requests": 1000},
        {"worker_processes": 2, "worker_connections": 300_000, "worker_rlimit_nofile": 1_000_000, "backlog": 300_000},
        {"keepalive_timeout": "100ms"},
    ],
)
def test_nginx_accepts_it(tmp_path: Path, wish: dict[str, Any]) -> None:
    """`nginx -t` makes logs, pid file and temporary folders: they are moved below the test's own folder."""
    (tmp_path / "www").mkdir()
    text = config(tmp_path, **wish).replace("/var/log/", f"{tmp_path}/").replace("/run/nginx.pid", f"{tmp_path}/pid")
    text = text.replace("listen 8080", "listen 127.0.0.1:18480")  # it binds, for a moment
    (tmp_path / "nginx.conf").write_text(text)
    command = ["nginx", "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "[emerg]" in line or "[alert]" in line]
    assert not said
