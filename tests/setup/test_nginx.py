"""The web host: static files with known bytes, and an nginx.conf that nginx itself accepts."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bmtlib.params.profile import Nginx
from bmtlib.setup.change import Change, Command
from bmtlib.setup.nginx import file_name, file_sha256, nginx_changes
from bmtlib.setup.system import Process, Running, parse

GOLDEN = Path(__file__).parents[1] / "golden" / "system"

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


def of_a_fleet(name: str, *, config: str | None = None, **facts: Any) -> list[Change]:
    """For a bare machine of tests/golden/system, with other `facts` where they are given."""
    system = replace(parse(name, (GOLDEN / f"{name}.txt").read_text()), **facts)
    return nginx_changes(
        "web01",
        Nginx(),
        file_sizes=[5120],
        port=80,
        nofile=1024,
        work="/run/bmt",
        user="root",
        cpus={0, 1},
        config_before=config,
        system=system,
    )


def whats(changes: list[Change]) -> list[str]:
    return [change.what for change in changes]


FILES, LABEL, LOGS = "file /run/bmt/www/dummy_file_5120", "label /run/bmt/www", "file /var/log/nginx-*.log"
CONF, UNIT = "file /etc/nginx/nginx.conf", "unit bmt-nginx.service"


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("rocky8", [FILES, LABEL, LOGS, CONF, UNIT]),
        ("rocky9", [FILES, LABEL, LOGS, CONF, UNIT]),
        ("debian12", [FILES, LOGS, CONF, UNIT]),
        ("ubuntu2404", [FILES, LOGS, CONF, UNIT]),
    ],
)
def test_on_hosts_of_the_users_own(name: str, order: list[str]) -> None:
    """A unit, with more open files than a session has; workers as the package's user; SELinux where it is."""
    changes = of_a_fleet(name)
    assert whats(changes) == order
    config, unit = changes[-2].do.stdin, changes[-1].do.stdin
    assert config.splitlines()[1] == ("user www-data;" if LABEL not in order else "user nginx;")
    limits = [re.search(pattern, text) for pattern, text in ((r"rlimit_nofile (\d+)", config), (r"NOFILE=(\d+)", unit))]
    assert {found[1] for found in limits if found} == {str(Nginx().worker_rlimit_nofile)}
    assert Nginx().worker_rlimit_nofile > 1024


def test_without_systemd_it_is_a_process(tmp_path: Path) -> None:
    changes = of_a_fleet("debian12", systemd=False, nofile=2048)
    assert whats(changes)[-1] == "process nginx"
    assert "worker_rlimit_nofile 2048;" in changes[-2].do.stdin


def as_wished(changes: list[Change]) -> dict[str, Any]:
    """Facts of a host after these changes."""
    path = "/etc/systemd/system/bmt-nginx.service"
    units = [change.do.stdin for change in changes if change.what == UNIT]
    return {
        "config": next(change.do.stdin for change in changes if change.what == CONF),
        "files": dict.fromkeys([path] if units else [], "".join(units)),
        "sums": {file_name(5120): file_sha256(5120)},
        "labels": {"/run/bmt/www": "httpd_sys_content_t"},
        "running": {"nginx": Running(pid=7, cpus="running on 0-1")},
        "processes": {
            7: Process(pid=7, parent=1, name="nginx", unit="bmt-nginx.service" if units else "", program="/n", line="")
        },
    }


@pytest.mark.parametrize("systemd", [True, False])
@pytest.mark.parametrize("name", ["rocky8", "ubuntu2404"])
def test_a_second_time_there_is_nothing_to_do(name: str, systemd: bool) -> None:
    assert of_a_fleet(name, systemd=systemd, **as_wished(of_a_fleet(name, systemd=systemd))) == []


@pytest.mark.parametrize(
    ("differs", "expected"),
    [
        ({"sums": {file_name(5120): file_sha256(5121)}}, [FILES, LABEL]),
        ({"labels": {"/run/bmt/www": "var_run_t"}}, [LABEL]),
        ({"config": "theirs"}, [UNIT, LOGS, CONF, UNIT]),
        ({"running": {}}, [LOGS, UNIT]),
        ({"running": {"nginx": Running(pid=7, cpus="running on 0")}}, [UNIT, LOGS, UNIT]),
        ({"files": {}}, [UNIT, LOGS, UNIT]),
    ],
)
def test_only_what_differs_changes(differs: dict[str, Any], expected: list[str]) -> None:
    """One that runs is stopped before its configuration changes, so that an undo starts it after that is back."""
    assert whats(of_a_fleet("rocky9", **{**as_wished(of_a_fleet("rocky9")), **differs})) == expected


def test_logs_of_the_host_stay_and_ours_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (logs,) = [change for change in of_a_fleet("debian12") if change.what == LOGS]
    (tmp_path / "keep").mkdir()
    monkeypatch.setenv("KEEP", f"{tmp_path}/keep")
    theirs, ours = tmp_path / "nginx-access.log", tmp_path / "nginx-error.log"
    theirs.write_text("theirs")
    do, undo = (
        replace(it, argv=tuple(word.replace("/var/log", f"{tmp_path}") for word in it.argv))
        for it in (logs.do, logs.undo)
    )
    run(undo)
    assert theirs.exists()
    for _ in range(2):
        run(do)
        ours.write_text("what nginx says")
    for _ in range(2):
        run(undo)
        assert (theirs.read_text(), ours.exists()) == ("theirs", False)


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
