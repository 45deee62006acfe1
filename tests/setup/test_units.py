"""Units of ours as systemd reads them; started, changed and taken back; units of the host that stop meanwhile.

The shell is real. systemctl is a stand-in: it knows which units are active, and writes down what it
is told. systemd-analyze, where there is one, reads the units.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bmtlib.setup.change import Change, Command
from bmtlib.setup.service import unit_service
from bmtlib.setup.units import Unit, haproxy_unit, nginx_unit, stop_unit

GOLDEN = Path(__file__).parents[1] / "golden" / "system"

SYSTEMCTL = """#!/bin/sh
quiet=; [ "$1" != -q ] || { quiet=yes; shift; }
echo "$*" >> "$SAYS/told"
[ ! -e "$SAYS/refuses-$1" ] || { echo "Job for $2 failed." >&2; exit 1; }
case $1 in
start|restart) : > "$SAYS/active-$2";;
stop) rm -f "$SAYS/active-$2";;
is-active) [ -e "$SAYS/active-$2" ];;
esac
"""


def units() -> list[Unit]:
    return [
        nginx_unit("web01", nofile=1_000_000, cpus={0, 1, 3}),
        haproxy_unit(
            "director",
            program="/opt/bmt/ha proxy/sbin/haproxy",
            config="/etc/haproxy/haproxy.cfg",
            pid_file="/run/bmt/haproxy.pid",
            nofile=20_000,
            cpus={2},
        ),
    ]


def test_what_stands_in_the_units() -> None:
    nginx, haproxy = units()
    assert (nginx.path, haproxy.name) == ("/etc/systemd/system/bmt-nginx.service", "bmt-haproxy.service")
    for line in ("LimitNOFILE=1000000", "CPUAffinity=0-1,3", "PIDFile=/run/nginx.pid", "ExecStart=/usr/sbin/nginx"):
        assert line in nginx.text.splitlines()
    for line in ('ExecStart="/opt/bmt/ha proxy/sbin/haproxy" -D -f /etc/haproxy/haproxy.cfg', "CPUAffinity=2"):
        assert line in haproxy.text.splitlines()
    plain = haproxy_unit("d", program="haproxy", config="/c", pid_file="/p", nofile=1, cpus={0})
    assert "ExecStart=/usr/sbin/haproxy -D -f /c" in plain.text.splitlines()
    for unit in (nginx, haproxy, plain):
        assert "[Install]" not in unit.text, "nothing starts them at boot"
        assert "Restart=no" in unit.text.splitlines()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
@pytest.mark.parametrize("number", [0, 1])
def test_systemd_reads_them(tmp_path: Path, number: int) -> None:
    """`verify` also looks whether the programs are there: true(1) is."""
    unit = units()[number]
    for program in ('"/opt/bmt/ha proxy/sbin/haproxy"', "/usr/sbin/nginx"):
        unit = replace(unit, text=unit.text.replace(f"ExecStart={program}", "ExecStart=/bin/true"))
    path = tmp_path / unit.name
    path.write_text(unit.text)
    command = ["systemd-analyze", "verify", "--man=no", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert [line for line in done.stderr.splitlines() if unit.name in line] == []
    path.write_text(unit.text.replace("CPUAffinity=", "CPUAffinity=x"))
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert unit.name in done.stderr, "it does read them"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("bin", "says", "keep", "units"):
        (tmp_path / name).mkdir()
    (tmp_path / "bin" / "systemctl").write_text(SYSTEMCTL)
    (tmp_path / "bin" / "systemctl").chmod(0o755)
    monkeypatch.setenv("SAYS", f"{tmp_path}/says")
    monkeypatch.setenv("KEEP", f"{tmp_path}/keep")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return tmp_path


def run(it: Command | None, host: Path, shell: str = "sh") -> subprocess.CompletedProcess[str]:
    assert it is not None
    argv = [shell, *(word.replace("/etc/systemd/system", f"{host}/units") for word in it.argv[1:])]
    argv[2] = argv[2].replace("/run/systemd/system", f"{host}/run").replace("/sys/fs/cgroup", f"{host}/cgroup")
    return subprocess.run(argv, input=it.stdin, capture_output=True, text=True, check=False, timeout=20)


def told(host: Path) -> list[str]:
    path = host / "says" / "told"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [line for line in lines if not line.startswith("is-active")]


def active(host: Path, unit: str) -> bool:
    return (host / "says" / f"active-{unit}").exists()


def started(**other: Any) -> Change:
    (change,) = unit_service("web01", units()[0], cpus={0}, pid_file="/run/nginx.pid", **other)
    return change


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize("present", [None, "[Unit]\nDescription=of an earlier run\n"])
def test_a_unit_comes_and_goes(host: Path, shell: str, present: str | None) -> None:
    file = host / "units" / "bmt-nginx.service"
    if present is not None:
        file.write_text(present)
        file.chmod(0o600)
        os.utime(file, (1, 1))
    change = started()
    assert (change.what, change.expect, change.lasting) == ("unit bmt-nginx.service", "running on 0", True)
    for _ in range(2):  # the second time as after an apply that was broken off
        assert run(change.do, host, shell).returncode == 0
        assert file.read_text() == units()[0].text
        assert file.stat().st_mode & 0o777 == 0o644
        assert told(host) == ["daemon-reload", "restart bmt-nginx.service"]
    for _ in range(2):
        done = run(change.undo, host, shell)
        assert (done.returncode, done.stderr) == (0, "")
        assert not active(host, "bmt-nginx.service")
    assert told(host) == ["stop bmt-nginx.service", "daemon-reload", "reset-failed bmt-nginx.service"]
    if present is None:
        assert list((host / "units").iterdir()) == []
    else:
        assert file.read_text() == present
        assert (file.stat().st_mode & 0o777, file.stat().st_mtime) == (0o600, 1)
    assert list((host / "keep").iterdir()) == []


def test_undo_of_what_was_never_done_stops_nothing(host: Path) -> None:
    """What runs by this name was left by another run."""
    (host / "says" / "active-bmt-nginx.service").touch()
    (host / "units" / "bmt-nginx.service").write_text("theirs")
    assert run(started().undo, host).returncode == 0
    assert active(host, "bmt-nginx.service")
    assert (host / "units" / "bmt-nginx.service").read_text() == "theirs"


def test_what_another_run_has_left_running_is_not_taken_over(host: Path) -> None:
    (host / "says" / "active-bmt-nginx.service").touch()
    done = run(started().do, host)
    assert done.returncode == 1
    assert "left by another run" in done.stderr
    assert list((host / "units").iterdir()) == []


def test_a_unit_that_does_not_start_leaves_nothing(host: Path) -> None:
    (host / "says" / "refuses-restart").touch()
    done = run(started().do, host)
    assert done.returncode == 1
    assert "Job for bmt-nginx.service failed." in done.stderr
    assert list((host / "units").iterdir()) == list((host / "keep").iterdir()) == []


@pytest.mark.parametrize("within", [False, True])
def test_cpus_that_were_set_aside_are_reached_through_their_slice(host: Path, within: bool) -> None:
    """CPU 1000 stands for one that a partition has taken from us."""
    (host / "cgroup" / "bmt.slice").mkdir(parents=True)
    (change,) = unit_service("h", units()[0], cpus={1000} if within else {0}, pid_file="/run/nginx.pid")
    beside = host / "run" / "bmt-nginx.service.d" / "bmt-slice.conf"
    assert run(change.do, host).returncode == 0
    assert beside.exists() == within
    if within:
        assert beside.read_text() == "[Service]\nSlice=bmt.slice\n"
    assert run(change.undo, host).returncode == 0
    assert not beside.parent.exists()


def test_nothing_to_do_where_it_runs_by_the_same_file() -> None:
    unit, words = units()[0], {"cpus": {0, 1}, "pid_file": "/run/nginx.pid"}
    assert unit_service("h", unit, **words, running="running on 0-1", present=unit.text) == []
    assert unit_service("h", unit, **words, running="running on 0", present=unit.text)
    assert unit_service("h", unit, **words, running="running on 0-1", present=unit.text + "#")
    assert unit_service("h", unit, **words, running="running on 0-1")
    assert unit_service("h", unit, **words, threads=["0", "1"], running="running on 0 1", present=unit.text) == []


def test_a_service_of_the_host_stops_and_starts(host: Path) -> None:
    change = stop_unit("h", "httpd.service", reason="why")
    (host / "says" / "active-httpd.service").touch()
    assert run(change.undo, host).returncode == 0
    assert told(host) == [], "never stopped, so not started"
    assert run(change.check, host).stdout == "active\n"
    run(change.do, host)
    assert run(change.check, host).stdout.strip() == change.expect == "stopped"
    for _ in range(2):
        assert run(change.undo, host).returncode == 0
    assert told(host) == ["stop httpd.service", "start httpd.service"]


def test_a_service_of_the_host_that_does_not_start_again_is_said(host: Path) -> None:
    change = stop_unit("h", "httpd.service", reason="why")
    run(change.do, host)
    (host / "says" / "refuses-start").touch()
    done = run(change.undo, host)
    assert done.returncode == 1
    assert "failed" in done.stderr
    (host / "says" / "refuses-start").unlink()
    assert run(change.undo, host).returncode == 0
    assert active(host, "httpd.service")
