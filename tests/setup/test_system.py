"""What the system probe prints, as facts: bare machines (tests/golden/system), this one, and what must be refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from bmtlib.cpus import to_list
from bmtlib.doctor import lab_privilege
from bmtlib.errors import ParseError
from bmtlib.hosts.host import WORK, Host
from bmtlib.params.profile import Nginx
from bmtlib.params.testbed import Network
from bmtlib.setup.nginx import file_name, file_sha256, nginx_changes
from bmtlib.setup.packages import NAMES, PROGRAMS
from bmtlib.setup.system import PROBE, System, UnitState, Zone, parse, unsupported
from bmtlib.setup.system_script import MODULES
from bmtlib.testbeds.netns import Lab
from bmtlib.testbeds.placement import place

GOLDEN = Path(__file__).parents[1] / "golden" / "system"
BARE = ("rocky8", "rocky9", "debian12", "ubuntu2404")


def golden(name: str) -> str:
    return (GOLDEN / f"{name}.txt").read_text()


def as_json(system: System) -> dict[str, Any]:
    """As it is kept in the golden: sets in order, tuples as lists."""
    return json.loads(json.dumps(asdict(system), default=sorted))


@pytest.mark.parametrize("name", BARE)
def test_golden(name: str) -> None:
    assert as_json(parse(name, golden(name))) == json.loads((GOLDEN / f"{name}.json").read_text())


@pytest.mark.parametrize("name", BARE)
def test_a_text_that_was_cut_off_is_refused(name: str) -> None:
    lines = golden(name).splitlines(keepends=True)
    for end in range(len(lines)):
        with pytest.raises(ParseError):
            parse(name, "".join(lines[:end]))


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("arch x86_64", "arch x86_64\narch x86_64"),
        ("arch x86_64", "architecture x86_64"),
        ("uid 0", "uid root"),
        ("nofile 262144", "nofile"),
        ("memory_kib 7913284", "memory_kib 7913284 kB"),
        ("free_kib / 33865476", "free_kib /"),
        ("listen 0.0.0.0:22 1021", "listen 0.0.0.0:ssh 1021"),
        ("listen 0.0.0.0:22 1021", "listen 0.0.0.0:22"),
        ("unit Id=irqbalance.service", "unit Ids=irqbalance.service"),
        ("unit Id=irqbalance.service", "unit irqbalance.service"),
        ("module ip_vs available", "module ip_vs"),
        ("zone  services ssh", "zone  rules ssh"),
        ('os ID="rocky"', 'os ID="rocky'),
    ],
)
def test_a_line_that_the_probe_cannot_print_is_refused(line: str, instead: str) -> None:
    text = golden("rocky8")
    assert line in text
    with pytest.raises(ParseError):
        parse("rocky8", text.replace(line, instead, 1))


def test_bytes_that_are_no_base64_are_refused() -> None:
    with pytest.raises(ParseError):
        parse("rocky8", golden("rocky8").replace("\nend\n", "\nfile /etc/sysctl.d/90-bmt.conf not/base-64!\nend\n"))


def test_what_is_there_of_firewalld_and_units() -> None:
    system = parse("rocky8", golden("rocky8"))
    assert (system.firewall, system.default_zone) == ("firewalld", "public")
    services = frozenset({"cockpit", "dhcpv6-client", "ssh"})
    assert system.zones["public"] == Zone(interfaces=frozenset({"ens192", "ens224"}), services=services)
    assert system.units == {
        "irqbalance.service": UnitState(active="active", enabled="enabled"),
        "firewalld.service": UnitState(active="active", enabled="enabled"),
    }


def test_a_service_may_be_given_more_open_files_than_a_session() -> None:
    system = parse("rocky8", golden("rocky8"))
    assert (system.nofile, system.service_nofile) == (262_144, 1_048_576)
    assert replace(system, systemd=False).service_nofile == 262_144


def test_no_limit_is_the_kernels() -> None:
    text = golden("rocky8").replace("nofile 262144", "nofile unlimited")
    assert parse("rocky8", text).nofile == 1_048_576


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, None),
        ({"os": "almalinux", "version": "9.5"}, None),
        ({"os": "rhel", "version": "8.4"}, None),
        ({"os": "debian", "version": "12"}, None),
        ({"os": "ubuntu", "version": "24.04"}, None),
        ({"os": "ubuntu", "version": "24.10", "name": "Ubuntu 24.10"}, "Ubuntu 24.10 is not supported"),
        ({"version": "7.9", "name": "Rocky Linux 7.9"}, "Rocky Linux 7.9 is not supported"),
        ({"version": "80.1", "name": "Rocky Linux 80"}, "Rocky Linux 80 is not supported"),
        ({"os": "", "name": ""}, "an unknown system is not supported"),
        ({"manager": ""}, "Rocky Linux 8.10 (Green Obsidian) without its package manager is not supported"),
    ],
)
def test_which_systems_can_be_set_up(change: dict[str, str], why: str | None) -> None:
    assert unsupported(replace(parse("rocky8", golden("rocky8")), **change)) == why


@pytest.fixture(params=["dash", "bash"])
def shell(request: pytest.FixtureRequest) -> str:
    found = shutil.which(request.param)
    if found is None:
        pytest.skip(f"no {request.param} here")
    return found


def test_the_probe_on_this_machine(shell: str) -> None:
    """Compared with what the machine's own programs and files say."""
    done = subprocess.run([shell, "-s"], input=PROBE.stdin, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    system = parse("here", done.stdout)
    assert system.kernel == Path("/proc/sys/kernel/osrelease").read_text().strip()
    assert system.cmdline == tuple(Path("/proc/cmdline").read_text().split())
    assert f'PRETTY_NAME="{system.name}"' in Path("/etc/os-release").read_text()
    assert set(system.modules) == set(MODULES)
    assert {"ss", "taskset", "tar"} <= system.programs <= {*PROGRAMS, "semanage"}
    assert system.installed <= frozenset(NAMES[system.manager])
    assert system.systemd == Path("/run/systemd/system").is_dir()


@pytest.mark.lab
def test_the_probe_on_hosts_of_a_lab() -> None:
    """Without systemd; nginx by us, then by others: only ours is "running"."""
    rootless = lab_privilege() == "rootless"
    with Lab(Network(), webs=1, clients=1, placement=place("auto"), rootless=rootless) as lab:
        web, client = lab.hosts["web01"], lab.hosts["client01"]

        def look(host: Host) -> System:
            return parse(host.name, host.run(PROBE.argv, stdin=PROBE.stdin).stdout)

        bare = look(client)
        assert (bare.systemd, bare.units, bare.listeners, bare.running) == (False, {}, (), {})
        changes = nginx_changes(
            "web01",
            Nginx(worker_processes=1),
            file_sizes=[100],
            port=80,
            nofile=1024,
            work=WORK,
            user="root",
            cpus=web.cpus,
            config_before=None,
        )
        web.apply(changes)
        found = look(web)
        running = found.running["nginx"]
        assert running.cpus == f"running on {to_list(web.cpus)}"
        assert ("0.0.0.0", 80, running.pid) in found.listeners
        owner = found.processes[running.pid]
        assert (owner.name, owner.unit, owner.words[0]) == ("nginx", "", os.path.realpath(shutil.which("nginx") or ""))
        assert set(found.sums) == {file_name(100)}
        assert found.sums[file_name(100)] == file_sha256(100)
        web.undo(changes)
        (config,) = (change.do.stdin for change in changes if change.what == "file /etc/nginx/nginx.conf")
        others = config.partition("\n")[2].replace("listen 80 ", "listen 8080 ")
        web.run(["sh", "-c", "cat > /tmp/others.conf; nginx -c /tmp/others.conf >/dev/null 2>&1"], stdin=others)
        found = look(web)
        assert found.running == {}
        assert 8080 in {port for _, port, _ in found.listeners}
