"""Everything that bare machines of four distributions are given, role by role, as lists to be read: golden/roles.

One list for each machine and role, and for each package manager the scripts that the lists name. After a wished change:
`.venv/bin/python tests/setup/test_roles.py` writes them anew; then read the difference, line by line.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bmtlib.setup.change import Change, Command
from bmtlib.setup.roles import install_changes, lasting_changes, opening_changes
from bmtlib.setup.sysctl import NotApplied
from bmtlib.setup.system import System, UnitState, parse

GOLDEN = Path(__file__).parents[1] / "golden"
# The distribution, and the interfaces to clients and web hosts.
MACHINES = {
    "rocky8": ("ens192", "ens224"),
    "rocky9": ("eno1", "eno2"),
    "debian12": ("enp1s0", "enp2s0"),
    "ubuntu2404": ("ens18", "ens19"),
}
ROLES = ("client", "web", "director")
NEEDS = frozenset({"haproxy", "ipvs", "tls", "conntrack"})
SYSCTLS = {"net.core.somaxconn": "65535", "net.ipv4.ip_local_port_range": "1024 65535"}
ISOLATION = ("isolcpus=2-3", "nohz_full=2-3")
Found = tuple[list[Change], list[NotApplied]]


def bare(name: str) -> System:
    return parse(name, (GOLDEN / "system" / f"{name}.txt").read_text())


def wishes(role: str, system: System, interfaces: tuple[str, str], *, namespace: bool = False) -> Found:
    director = role == "director"
    parts = (
        install_changes("host", role, system, needs=NEEDS, namespace=namespace, ports=(80, 443)),
        lasting_changes(
            "host",
            role,
            system,
            sysctls=SYSCTLS,
            profile=f"recommended-{role}",
            kernel_args=ISOLATION if director else (),
            namespace=namespace,
            irqs=director,
        ),
        opening_changes(
            "host", role, system, port=80, tls_port=443 if director else None, work="/run/bmt", interfaces=interfaces
        ),
    )
    return [change for found in parts for change in found[0]], [item for found in parts for item in found[1]]


def _words(change: Change, part: str, command: Command, scripts: dict[str, str]) -> str:
    """The command as one types it; a script of several lines by its name."""
    words = list(command.argv)
    if words[:2] == ["sh", "-c"] and "\n" in words[2].strip():
        name = f"<{change.what.split()[0]} {part}>"
        assert scripts.setdefault(name, words[2]) == words[2], f"two scripts are called {name}"
        return " ".join(["sh", name, *map(shlex.quote, words[4:])])
    return shlex.join(words)


def listed(changes: list[Change], skipped: list[NotApplied], scripts: dict[str, str]) -> Iterator[str]:
    for change in changes:
        yield f"{change.what}: {change.before} -> {change.want}"
        more = [change.scope, *(["lasting"] if change.lasting else []), f"{change.seconds:g} s", change.profile]
        yield f"  ({', '.join(filter(None, more))}; {change.reason})"
        for part, command in (("do", change.do), ("undo", change.undo), ("check", change.check)):
            if command is not None:
                yield f"  {part:5} {_words(change, part, command, scripts)}"
                yield from (f"        | {line}" for line in command.stdin.splitlines())
        yield f"        = {change.expect}"
        yield ""
    for item in skipped:
        yield f"not applied: {item.key} = {item.want} (now {item.now}): {item.why}"


def goldens() -> dict[str, str]:
    """Name -> text of all files in golden/roles."""
    texts = {}
    scripts: dict[str, dict[str, str]] = {}
    for name, interfaces in MACHINES.items():
        system = bare(name)
        for role in ROLES:
            found = wishes(role, system, interfaces)
            lines = listed(*found, scripts.setdefault(system.manager, {}))
            texts[f"{name}-{role}"] = "\n".join(lines).rstrip() + "\n"
    for manager, named in scripts.items():
        texts[f"scripts-{manager}"] = "\n\n".join(f"{name}\n{text.strip()}" for name, text in named.items()) + "\n"
    return texts


@pytest.fixture(scope="module")
def found() -> dict[str, str]:
    return goldens()


def test_goldens(found: dict[str, str]) -> None:
    there = {path.stem: path.read_text() for path in (GOLDEN / "roles").glob("*.list")}
    assert sorted(there) == sorted(found)
    for name, text in there.items():
        assert found[name] == text, name


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("role", ROLES)
def test_names_are_unique_on_a_host(name: str, role: str) -> None:
    changes, _ = wishes(role, bare(name), MACHINES[name])
    names = [change.what for change in changes]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("role", ROLES)
def test_what_shares_a_kernel_is_given_nothing_of_the_machines(name: str, role: str) -> None:
    changes, skipped = wishes(role, bare(name), MACHINES[name], namespace=True)
    assert {change.scope for change in changes} <= {"host", "netns"}
    assert not {change.what.split()[0] for change in changes} & {"module", "kernel", "enabled"}
    if role == "director":
        assert {"kernel arguments", "module ip_vs"} <= {item.key for item in skipped}


def as_wished(system: System, changes: list[Change]) -> System:
    """The facts of a host that took all changes."""
    by_path = {change.what.removeprefix("file "): change.do.stdin for change in changes if change.what[:5] == "file "}
    return replace(
        system,
        programs=system.programs
        | {"ab", "curl", "arping", "nginx", "haproxy", "socat", "ipvsadm", "ethtool", "tar"}
        | {"openssl"},
        modules=dict.fromkeys(system.modules, "loaded"),
        cmdline=(*system.cmdline, *ISOLATION),
        units={**system.units, "irqbalance.service": UnitState(active="inactive", enabled="disabled")},
        files={**system.files, **by_path},
        zones={key: replace(zone, ports=frozenset({"80/tcp", "443/tcp"})) for key, zone in system.zones.items()},
        allowed=frozenset({"80/tcp", "443/tcp"}),
    )


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("role", ROLES)
def test_a_second_time_nothing_is_to_be_done(name: str, role: str) -> None:
    system = bare(name)
    changes, _ = wishes(role, system, MACHINES[name])
    again, skipped = wishes(role, as_wished(system, changes), MACHINES[name])
    assert ([change.what for change in again], skipped) == ([], [])


def test_the_distributions_own_services_make_way() -> None:
    """nginx of the distribution runs already on a web host, and HAProxy on the director."""
    units = {
        f"{name}.service": UnitState(active="active", enabled="enabled") for name in ("nginx", "haproxy", "irqbalance")
    }
    system = replace(bare("rocky9"), units=units)
    for role, unit in (("web", "unit nginx.service"), ("director", "unit haproxy.service")):
        changes, _ = wishes(role, system, MACHINES["rocky9"])
        assert unit in [change.what for change in changes]
    changes, _ = wishes("client", system, MACHINES["rocky9"])
    assert not [change.what for change in changes if change.what.startswith("unit ")]


if __name__ == "__main__":
    for golden, content in goldens().items():
        (GOLDEN / "roles" / f"{golden}.list").write_text(content)
