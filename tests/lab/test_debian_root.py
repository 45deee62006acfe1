"""What a role needs, really installed on a bare Debian and taken back: nothing else may be left than was found."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from debian_root import debian

from bmtlib.errors import HostError
from bmtlib.hosts.host import Host
from bmtlib.hosts.journal import apply_script
from bmtlib.hosts.netns import NetnsHost, environment
from bmtlib.hosts.rollback import rollback
from bmtlib.params.arms import ProxyArm
from bmtlib.params.profile import Nginx
from bmtlib.setup import system
from bmtlib.setup.change import Change
from bmtlib.setup.haproxy import CONFIG, haproxy_changes
from bmtlib.setup.nginx import nginx_changes
from bmtlib.setup.packages import package_change
from bmtlib.setup.roles import install_changes, lasting_changes, opening_changes
from bmtlib.setup.system import System, unsupported

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="debootstrap makes a root for root alone"),
]
WORK = "/run/bmt"

# Packages with their states, files with mode, owner and content, accounts, services. Not: the backups that useradd and
# its like make of the state before theirs, and the linker's cache.
_STATE = r"""
dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\n'
find /etc /usr/sbin/policy-rc.d /opt /usr/local /var/lib/nginx /var/lib/haproxy /var/www /var/log/nginx* \
  ! -name 'passwd-' ! -name 'group-' ! -name 'shadow-' ! -name 'gshadow-' ! -name ld.so.cache \
  -printf '%p %y %m %U:%G %l\n' 2>/dev/null | sort
find /etc -type f ! -name 'passwd-' ! -name 'group-' ! -name 'shadow-' ! -name 'gshadow-' ! -name ld.so.cache \
  -exec sha256sum {} + | sort
for process in /proc/[0-9]*/comm; do read -r name < "$process" && echo "process $name"; done | grep -E 'nginx|haproxy'
true
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[NetnsHost]:
    with debian(tmp_path) as found:
        yield found


def look(host: Host) -> System:
    return system.parse(host.name, host.run(system.PROBE.argv, stdin=system.PROBE.stdin).stdout)


def state(host: Host) -> list[str]:
    return host.run(["sh", "-c", _STATE]).stdout.splitlines()


def read(host: Host, path: str) -> str | None:
    done = host.run(["cat", path], check=False)
    return done.stdout if done.rc == 0 else None


def fetch(host: NetnsHost, url: str) -> str:
    """What a client in the host's own network gets; this machine's curl, as a web host has none."""
    command = [
        "nsenter",
        f"--target={host.pid}",
        "--net",
        "--",
        "curl",
        "-sS",
        "--noproxy",
        "*",
        "--max-time",
        "5",
        url,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment()).stdout


def web_changes(host: Host) -> list[Change]:
    """A web host's preparation, as its facts of now ask for."""
    facts = look(host)
    assert unsupported(facts) is None
    install, _ = install_changes(host.name, "web", facts, needs=frozenset(), namespace=True)
    lasting, _ = lasting_changes(
        host.name,
        "web",
        facts,
        sysctls={"net.core.somaxconn": "65535"},
        profile="recommended-web",
        kernel_args=(),
        namespace=True,
    )
    openings, _ = opening_changes(host.name, "web", facts, port=80, tls_port=None, work=WORK)
    nginx = nginx_changes(
        host.name,
        Nginx(),
        file_sizes=[5120],
        port=80,
        nofile=facts.nofile,
        work=WORK,
        user="root",
        cpus={0},
        config_before=read(host, "/etc/nginx/nginx.conf"),
        system=facts,
    )
    return [*install, *lasting, *openings, *nginx]


def test_a_web_host(host: NetnsHost) -> None:
    before = state(host)
    changes = web_changes(host)
    assert changes[0].what == "package iproute2 ethtool procps nginx"
    assert host.apply(changes) == []
    assert len(fetch(host, "http://127.0.0.1/dummy_file_5120")) == 5120
    assert "nginx" in look(host).running
    assert web_changes(host) == [], "a second apply does nothing"
    assert not any("nginx" in line for line in enabled(host)), "a service that came with a package is not enabled"
    host.undo(changes)
    assert state(host) == before


def enabled(host: Host) -> list[str]:
    links = "find /etc/systemd/system /etc/rc?.d -type l -name 'S*' -o -path '*.wants/*' 2>/dev/null; true"
    return host.run(["sh", "-c", links]).stdout.splitlines()


def test_another_nginx_stands_aside_and_comes_back(host: NetnsHost) -> None:
    """One that was installed and started by hand, with a configuration of its own."""
    facts = look(host)
    host.apply(package_change(host.name, facts, ["nginx", "iproute2"], "by hand"))
    theirs = "events {}\nhttp { server { listen 80; return 200 theirs; } }\n"
    host.run(
        ["sh", "-c", 'cat > /etc/nginx/nginx.conf; nginx -c "$1" >&- 2>&-', "sh", "/etc/nginx/nginx.conf"], stdin=theirs
    )
    assert fetch(host, "http://127.0.0.1/") == "theirs"
    before = state(host)
    changes = web_changes(host)
    assert any(change.what.startswith("process nginx (") for change in changes)
    host.apply(changes)
    assert len(fetch(host, "http://127.0.0.1/dummy_file_5120")) == 5120
    host.undo(changes)
    deadline = time.monotonic() + 5
    while state(host) != before:
        assert time.monotonic() < deadline, set(state(host)) ^ set(before)
    assert fetch(host, "http://127.0.0.1/") == "theirs"


def test_a_director_with_haproxy(host: NetnsHost) -> None:
    before = state(host)
    facts = look(host)
    needs = frozenset({"haproxy", "ipvs", "nft", "tls"})
    changes, left = install_changes(host.name, "director", facts, needs=needs, namespace=True)
    assert [item.key for item in left] == ["module ip_vs"]
    host.apply(changes)
    arm = ProxyArm(kind="proxy", threads=1)
    proxy = haproxy_changes(
        host.name,
        arm,
        servers={"web01": "127.0.0.2"},
        vip="127.0.0.1",
        port=80,
        cpus=frozenset({0}),
        maxconn=100,
        nofile=1000,
        work=WORK,
        config_before=read(host, CONFIG),
    )
    host.apply(proxy)
    assert "503" in fetch(host, "http://127.0.0.1/")
    assert look(host).running["haproxy"].cpus == "running on 0"
    host.undo(proxy)
    host.undo(changes)
    assert state(host) == before


def test_rolled_back_from_the_journal_alone(host: NetnsHost) -> None:
    """As after the controller was killed: another one finds on the host what is to be undone."""
    before = state(host)
    host.apply(web_changes(host))
    another = replace(host, applied=[])
    assert rollback(another, host.run_id).left == []
    assert state(host) == before


def test_broken_off_in_the_middle_of_an_installation(host: NetnsHost) -> None:
    """As by a power failure when apt is at work: what had come by then goes again."""
    before = state(host)
    script = apply_script(package_change(host.name, look(host), ["nginx", "haproxy"], "why"), host.run_id, host.state)
    command = host.enter(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-s"])
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    apply = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, env=environment(), **quiet)
    assert apply.stdin is not None
    apply.stdin.write(script.encode())
    apply.stdin.close()
    host.run(["sh", "-c", "until [ -e /var/lib/dpkg/info/nginx.list ]; do sleep 0.01; done"])
    os.killpg(apply.pid, signal.SIGKILL)
    apply.wait()
    assert state(host) != before
    assert rollback(host, host.run_id).left == []
    assert state(host) == before


def test_what_was_removed_and_left_its_configuration_is_so_again(host: NetnsHost) -> None:
    host.apply(package_change(host.name, look(host), ["socat", "nginx"], "by hand"))
    host.run(["sh", "-c", "echo '# mine' >> /etc/nginx/nginx.conf && dpkg -r nginx nginx-common"])
    before = state(host)
    assert any(line.startswith("rc  nginx-common ") for line in before)
    changes = package_change(host.name, look(host), ["nginx"], "why")
    host.apply(changes)
    host.undo(changes)
    assert state(host) == before


def test_packages_that_others_need_by_now_stay(host: NetnsHost) -> None:
    changes = package_change(host.name, look(host), ["procps", "libnl-3-200"], "why")
    host.apply(changes)
    host.run(["sh", "-c", "apt-get install -y -q --no-install-recommends ipvsadm >&2"], timeout_s=120)
    with pytest.raises(HostError, match="these need it by now: ipvsadm"):
        host.undo(changes)
    assert {"procps", "ipvsadm"} <= look(host).installed


def test_an_installation_that_fails_leaves_nothing(host: NetnsHost) -> None:
    before = state(host)
    changes = package_change(host.name, look(host), ["nginx", "no-such-package"], "why")
    with pytest.raises(HostError, match="no-such-package"):
        host.apply(changes)
    assert state(host) == before
