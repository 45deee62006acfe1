"""What lets clients in: which ports are opened where, what is named instead, and that a port that was open stays open.

The shell is real; firewall-cmd, ufw, semanage and chcon are stand-ins that keep their state in files and print as
those do.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bmtlib.setup.change import Change, Command
from bmtlib.setup.openings import label_changes, opening_changes
from bmtlib.setup.sysctl import NotApplied
from bmtlib.setup.system import System, Zone, parse

GOLDEN = Path(__file__).parents[1] / "golden" / "system"

STAND_INS = {
    "firewall-cmd": """#!/bin/sh
for word in "$@"; do
  case $word in
  --zone=*) zone=${word#*=};; --quiet) quiet=yes;;
  --state) [ ! -e "$SAYS/stopped" ]; exit;;
  --query-port=*) file=$SAYS/$zone-${word#*=}; file=${file%/tcp}
    if [ -e "$file" ]; then [ -n "$quiet" ] || echo yes; exit 0; else [ -n "$quiet" ] || echo no; exit 1; fi;;
  --add-port=*) file=$SAYS/$zone-${word#*=}; : > "${file%/tcp}";;
  --remove-port=*) file=$SAYS/$zone-${word#*=}; rm "${file%/tcp}";;
  *) exit 2;;
  esac
done
""",
    "ufw": """#!/bin/sh
case $1 in
allow) file=$SAYS/ufw-${2%/tcp}; if [ -e "$file" ]; then echo "Skipping adding existing rule"; else : > "$file"; fi;;
delete) rm "$SAYS/ufw-${3%/tcp}" && echo "Rule deleted";;
status) printf 'Status: active\\n\\n%-26s %-11s %s\\n%-26s %-11s %s\\n' To Action From -- ------ ----
  for file in "$SAYS"/ufw-*; do [ ! -e "$file" ] || printf '%-26s %-11s %s\\n' "${file##*-}/tcp" ALLOW Anywhere; done;;
esac
""",
    # A port of the policy's cannot be added, only modified; only what the host's owner did is listed with -lC.
    "semanage": """#!/bin/sh
shift
case $1 in
-a) if [ "$6" = 5000 ] || [ -e "$SAYS/port-$6" ]; then echo "ValueError: Port tcp/$6 already defined" >&2; exit 1; fi
  echo "$3" > "$SAYS/port-$6";;
-m) echo "$3" > "$SAYS/port-$6";;
-d) rm "$SAYS/port-$4";;
-lC) printf 'SELinux Port Type              Proto    Port Number\\n\\n'
  for type in $(cat "$SAYS"/port-* 2>/dev/null | sort -u); do list=
    for file in $(grep -lx "$type" "$SAYS"/port-*); do list="$list${list:+, }${file##*-}"; done
    printf '%-30s %-8s %s\\n' "$type" tcp "$list"
  done;;
esac
""",
}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("bin", "says", "keep"):
        (tmp_path / name).mkdir()
    for name, text in STAND_INS.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("SAYS", f"{tmp_path}/says")
    monkeypatch.setenv("KEEP", f"{tmp_path}/keep")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return tmp_path


def run(it: Command | None, shell: str = "sh") -> subprocess.CompletedProcess[str]:
    assert it is not None
    return subprocess.run([shell, *it.argv[1:]], capture_output=True, text=True, check=False, timeout=20)


def facts(name: str, **other: Any) -> System:
    return replace(parse(name, (GOLDEN / f"{name}.txt").read_text()), **other)


def opened(system: System, **other: Any) -> tuple[list[Change], list[NotApplied]]:
    words: dict[str, Any] = {"role": "web", "port": 80, "tls_port": None, "work": "/run/bmt", **other}
    return opening_changes("h", words.pop("role"), system, **words)


def whats(found: tuple[list[Change], list[NotApplied]]) -> list[str]:
    assert found[1] == []
    return [change.what for change in found[0]]


def of(system: System, **other: Any) -> Change:
    (change,), skipped = opened(system, **other)
    assert skipped == []
    return change


@pytest.mark.parametrize("name", ["rocky8", "rocky9"])
def test_firewalld_in_the_zones_of_the_interfaces(name: str) -> None:
    system = facts(name, default_zone="public", zones={"public": Zone(), "work": Zone(interfaces=frozenset({"eno2"}))})
    assert whats(opened(system)) == ["firewalld 80/tcp in public"]
    assert whats(opened(system, interfaces=["eno1", "eno2"])) == [
        "firewalld 80/tcp in public",
        "firewalld 80/tcp in work",
    ]
    assert whats(opened(system, interfaces=["eno2"], tls_port=443)) == [
        "firewalld 80/tcp in work",
        "firewalld 443/tcp in work",
    ]


def test_a_client_needs_nothing_open() -> None:
    for name in ("rocky9", "ubuntu2404"):
        assert opened(facts(name, firewall="ufw"), role="client") == ([], [])


@pytest.mark.parametrize(
    ("zone", "open_"),
    [
        (Zone(ports=frozenset({"80/tcp"})), True),
        (Zone(ports=frozenset({"22/tcp", "79-81/tcp"})), True),
        (Zone(services=frozenset({"ssh", "http"})), True),
        (Zone(ports=frozenset({"80/udp", "8080/tcp"}), services=frozenset({"https"})), False),
    ],
)
def test_what_firewalld_lets_in_already(zone: Zone, open_: bool) -> None:
    assert (whats(opened(facts("rocky9", default_zone="z", zones={"z": zone}))) == []) == open_


def test_what_ufw_lets_in_already() -> None:
    ufw = facts("ubuntu2404", firewall="ufw", allowed=frozenset({"22/tcp"}))
    assert whats(opened(ufw, tls_port=443)) == ["ufw 80/tcp", "ufw 443/tcp"]
    for rule in ("80", "80/tcp"):
        assert whats(opened(replace(ufw, allowed=frozenset({rule})))) == []


@pytest.mark.parametrize("kind", ["nftables", "iptables"])
def test_rules_that_cannot_be_judged_are_named(kind: str) -> None:
    changes, (named,) = opened(facts("debian12", firewall=kind))
    assert changes == []
    assert (named.key, named.want) == (f"{kind} 80/tcp", "open")
    assert "see that TCP port 80 is let in" in named.why


def test_no_firewall() -> None:
    assert opened(facts("debian12", firewall="")) == ([], [])


CASES = {
    "firewalld": (facts("rocky9", default_zone="public", zones={"public": Zone()}, selinux=""), {}, "public-80"),
    "ufw": (facts("ubuntu2404", firewall="ufw", allowed=frozenset()), {}, "ufw-80"),
    "selinux": (facts("rocky9", firewall=""), {"port": 7777}, "port-7777"),
    "selinux, a port of another type": (facts("rocky9", firewall=""), {"port": 5000}, "port-5000"),
}


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize("case", CASES)
def test_opened_and_closed_again(host: Path, case: str, shell: str) -> None:
    system, words, mark = CASES[case]
    change, file = of(system, **words), host / "says" / mark
    assert run(change.check, shell).stdout.strip() != change.expect
    for _ in range(2):  # the second time as after an apply that was broken off
        assert run(change.do, shell).returncode == 0
        assert file.exists()
        assert run(change.check, shell).stdout.strip() == change.expect
    (host / "says" / "ufw-8080").touch()
    (host / "says" / "port-17777").write_text("http_port_t\n")
    for _ in range(2):
        done = run(change.undo, shell)
        assert (done.returncode, done.stderr) == (0, "")
        assert not file.exists()
    assert {path.name for path in (host / "says").iterdir()} == {"ufw-8080", "port-17777"}
    assert list((host / "keep").iterdir()) == []


@pytest.mark.parametrize("case", CASES)
def test_undo_of_what_was_never_done_leaves_it_open(host: Path, case: str) -> None:
    """Somebody else has opened it since the facts were read."""
    system, words, mark = CASES[case]
    (host / "says" / mark).touch()
    assert run(of(system, **words).undo).returncode == 0
    assert (host / "says" / mark).exists()


def test_a_type_that_the_owner_gave_a_port_comes_back(host: Path) -> None:
    (host / "says" / "port-7777").write_text("ssh_port_t\n")
    change = of(facts("rocky9", firewall="", ports={"7777": "ssh_port_t"}), port=7777)
    assert change.before == "ssh_port_t"
    run(change.do)
    assert run(change.check).stdout.strip() == "http_port_t"
    for _ in range(2):
        assert run(change.undo).returncode == 0
        assert (host / "says" / "port-7777").read_text() == "ssh_port_t\n"


def test_a_port_that_firewalld_opened_meanwhile_stays_open(host: Path) -> None:
    system, words, mark = CASES["firewalld"]
    (host / "says" / mark).touch()
    change = of(system, **words)
    run(change.do)
    run(change.undo)
    assert (host / "says" / mark).exists()


def test_firewalld_that_was_restarted_or_stopped_has_forgotten_the_port(host: Path) -> None:
    system, words, mark = CASES["firewalld"]
    change = of(system, **words)
    run(change.do)
    (host / "says" / mark).unlink()
    (host / "says" / "stopped").touch()
    assert run(change.undo).returncode == 0


@pytest.mark.parametrize(
    ("port", "types", "expected"),
    [
        (80, {}, []),
        (8080, {}, []),
        (10_005, {}, []),
        (7777, {}, ["selinux 7777/tcp"]),
        (7777, {"7777": "http_port_t"}, []),
        (7777, {"7000-8000": "http_cache_port_t"}, []),
        (80, {"80": "ssh_port_t"}, ["selinux 80/tcp"]),
    ],
)
def test_ports_that_selinux_knows(port: int, types: dict[str, str], expected: list[str]) -> None:
    assert whats(opened(facts("rocky9", firewall="", ports=types), port=port)) == expected
    for lenient in ("permissive", ""):
        assert opened(facts("rocky9", firewall="", ports=types, selinux=lenient), port=port) == ([], [])


def test_without_semanage_its_words_are_named() -> None:
    system = facts("rocky8", firewall="")
    changes, (named,) = opened(replace(system, programs=system.programs - {"semanage"}), port=7777)
    assert changes == []
    assert "semanage port -a -t http_port_t -p tcp 7777" in named.why


def test_labels_where_selinux_is_enforcing() -> None:
    rocky = facts("rocky9")
    (change,) = label_changes("h", "/run/bmt/www", rocky, anew=True)
    assert (change.what, change.want) == ("label /run/bmt/www", "httpd_sys_content_t")
    labelled = replace(rocky, labels={"/run/bmt/www": "httpd_sys_content_t"})
    assert label_changes("h", "/run/bmt/www", labelled, anew=False) == []
    assert label_changes("h", "/run/bmt/www", labelled, anew=True), "new files have their folder's parent's"
    for lenient in ("permissive", ""):
        assert label_changes("h", "/run/bmt/www", replace(rocky, selinux=lenient), anew=True) == []


def test_a_label_given_and_taken_back(host: Path, tmp_path: Path) -> None:
    """chcon needs SELinux: what it is told is what counts."""
    (host / "bin" / "chcon").write_text('#!/bin/sh\necho "$*" >> "$SAYS/told"\n')
    (host / "bin" / "chcon").chmod(0o755)
    folder = tmp_path / "work" / "www"
    (change,) = label_changes("h", str(folder), facts("rocky9"), anew=True)
    run(change.undo)
    assert not (host / "says" / "told").exists()
    run(change.do)
    assert folder.is_dir()
    run(change.undo)
    told = (host / "says" / "told").read_text().splitlines()
    assert told == [f"-R -t httpd_sys_content_t {folder}", f"-R --reference={folder.parent} {folder}"]
