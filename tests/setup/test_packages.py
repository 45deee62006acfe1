"""Which packages a role needs; and the scripts that install and remove them, on stand-ins of apt and dnf.

The stand-ins hold a list of what is installed, and print what the real ones print (apt 2.6, dnf 4.7). The real apt is
asked in tests/lab/test_debian_root.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bmtlib.setup.change import Change, Command
from bmtlib.setup.packages import missing_packages, package_change, programs_of
from bmtlib.setup.system import System, parse

GOLDEN = Path(__file__).parents[1] / "golden" / "system"


def bare(name: str) -> System:
    return parse(name, (GOLDEN / f"{name}.txt").read_text())


@pytest.mark.parametrize(
    ("name", "role", "needs", "missing"),
    [
        ("rocky8", "client", (), "httpd-tools"),
        ("rocky8", "web", (), "nginx"),
        ("rocky8", "director", ("haproxy", "ipvs", "nft", "tls"), "haproxy socat ipvsadm"),
        ("rocky9", "client", (), "tar httpd-tools"),
        ("debian12", "client", (), "ethtool apache2-utils curl iputils-arping"),
        ("debian12", "web", (), "ethtool nginx"),
        ("debian12", "director", ("haproxy", "ipvs"), "ethtool haproxy socat ipvsadm"),
        ("debian12", "director", ("nft", "tls"), "ethtool openssl"),
        ("debian12", "director", ("haproxy-build",), "ethtool socat curl"),
        ("ubuntu2404", "client", (), "apache2-utils iputils-arping"),
        ("ubuntu2404", "director", ("ipvs",), "ipvsadm"),
    ],
)
def test_only_what_the_role_lacks(name: str, role: str, needs: tuple[str, ...], missing: str) -> None:
    assert missing_packages(role, needs, bare(name)) == missing.split()


def test_needs_are_the_directors() -> None:
    assert programs_of("web", ["haproxy", "ipvs"]) == programs_of("web", [])
    assert "ipvsadm" not in programs_of("director", ["haproxy"])


def test_nothing_is_installed_twice() -> None:
    system = bare("debian12")
    assert package_change("web01", system, ["tar", "nftables"], "") == []
    (change,) = package_change("web01", system, ["tar", "nginx"], "the web server")
    assert (change.what, change.do.argv[4:], change.lasting) == ("package nginx", ("nginx",), True)


STAND_INS = Path(__file__).parent / "stand_ins"
PROGRAMS = {"rocky8": ("dnf", "rpm", "systemctl"), "debian12": ("apt-get", "dpkg-query", "dpkg", "systemctl")}
BEFORE = "bash\nopenssl\ntar\n"


class Machine:
    """A stand-in for a machine with packages."""

    def __init__(self, folder: Path, shell: str, name: str) -> None:
        self.state, self.keep, self.bin, self.policy = (
            folder / part for part in ("state", "keep", "bin", "policy-rc.d")
        )
        for path in (self.state, self.keep, self.bin):
            path.mkdir()
        for program in PROGRAMS[name]:
            shutil.copy(STAND_INS / program, self.bin)
        self.shell, self.system = shell, bare(name)
        self.write("installed", BEFORE)
        self.write("needs", "nginx nginx-modules\nwordpress nginx\n")
        self.write("units", "ssh.service openssl\nnginx.service nginx\n")
        self.write("disabled", "")

    def write(self, name: str, text: str) -> None:
        (self.state / name).write_text(text)

    def read(self, name: str) -> str:
        path = self.state / name
        return path.read_text() if path.exists() else ""

    def change(self, *names: str) -> Change:
        (change,) = package_change("web01", self.system, names, "the web server")
        return change

    def run(self, command: Command) -> subprocess.CompletedProcess[str]:
        script = command.argv[2].replace("policy=/usr/sbin/policy-rc.d", f"policy={self.policy}")
        path = f"{self.bin}:{os.environ['PATH']}"
        places = {"STATE": self.state, "KEEP": self.keep, "POLICY": self.policy, "STAND_INS": STAND_INS}
        environment = {"PATH": path, **{name: str(place) for name, place in places.items()}}
        words = [self.shell, "-c", script, *command.argv[3:]]
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=20, check=False)


@pytest.fixture(params=["dash", "bash"])
def shell(request: pytest.FixtureRequest) -> str:
    found = shutil.which(request.param)
    if found is None:
        pytest.skip(f"no {request.param} here")
    return found


@pytest.fixture(params=list(PROGRAMS))
def machine(request: pytest.FixtureRequest, tmp_path: Path, shell: str) -> Machine:
    return Machine(tmp_path, shell, request.param)


def test_installed_quietly_and_taken_back_whole(machine: Machine) -> None:
    change = machine.change("nginx")
    done = machine.run(change.do)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert machine.read("installed") == f"{BEFORE}nginx\nnginx-modules\n"
    assert machine.run(change.check or change.do).stdout.strip() == "installed"
    assert machine.read("disabled") == "nginx.service\n", "what came is off, what was there is left alone"
    assert machine.read("stopped") == "nginx.service\n"
    assert "started" not in machine.read("calls")
    for _ in range(2):
        undone = machine.run(change.undo)
        assert (undone.returncode, undone.stderr) == (0, "")
        assert machine.read("installed") == BEFORE
    assert list(machine.keep.iterdir()) == []
    assert not machine.policy.exists()


def test_undo_of_what_never_was_changes_nothing(machine: Machine) -> None:
    undone = machine.run(machine.change("nginx").undo)
    assert (undone.returncode, undone.stdout, undone.stderr) == (0, "", "")
    assert machine.read("installed") == BEFORE
    assert machine.read("calls") == ""


def test_done_again_after_it_was_broken_off(machine: Machine) -> None:
    """The first controller was killed after the installation; what was there before is still known."""
    change = machine.change("nginx")
    assert machine.run(change.do).returncode == 0
    for came in machine.keep.glob("*.came*"):
        came.unlink()
    assert machine.run(change.do).returncode == 0
    assert machine.read("installed") == f"{BEFORE}nginx\nnginx-modules\n"
    assert machine.run(change.undo).returncode == 0
    assert machine.read("installed") == BEFORE


def test_undo_of_half_an_installation(machine: Machine) -> None:
    """Killed in the middle: what was planned is known, what came is not."""
    change = machine.change("nginx")
    assert machine.run(change.do).returncode == 0
    for came in machine.keep.glob("*.came*"):
        came.unlink()
    machine.write("installed", f"{BEFORE}nginx-modules\nhtop\n")
    assert machine.run(change.undo).returncode == 0
    assert machine.read("installed") == f"{BEFORE}htop\n", "another's package stays"


def test_a_failed_installation_leaves_nothing(machine: Machine) -> None:
    machine.write("breaks", "nginx-modules")
    done = machine.run(machine.change("nginx").do)
    assert done.returncode != 0
    assert "rror" in done.stderr
    assert machine.read("installed") == BEFORE
    assert list(machine.keep.iterdir()) == []
    assert not machine.policy.exists()


def test_a_name_that_nobody_knows_is_named(machine: Machine) -> None:
    done = machine.run(machine.change("missing").do)
    assert done.returncode != 0
    assert "missing" in done.stderr
    assert machine.read("installed") == BEFORE


def test_no_upgrade_on_the_way(machine: Machine) -> None:
    machine.write("upgrades", "")
    done = machine.run(machine.change("nginx").do)
    assert done.returncode != 0
    assert "libssl3" in done.stderr or "openssl-libs" in done.stderr
    assert "upgrade first" in done.stderr
    assert machine.read("installed") == BEFORE


def test_what_others_need_by_now_is_not_removed(machine: Machine) -> None:
    change = machine.change("nginx")
    assert machine.run(change.do).returncode == 0
    machine.write("installed", f"{machine.read('installed')}wordpress\n")
    undone = machine.run(change.undo)
    assert undone.returncode != 0
    assert "wordpress" in undone.stderr
    assert machine.read("installed") == f"{BEFORE}nginx\nnginx-modules\nwordpress\n"
    machine.write("installed", machine.read("installed").replace("wordpress\n", ""))
    assert machine.run(change.undo).returncode == 0, "once they are gone it can be"
    assert machine.read("installed") == BEFORE


def test_two_installations_of_a_run_do_not_mix(machine: Machine) -> None:
    first, second = machine.change("nginx"), machine.change("gcc", "make")
    for change in (first, second):
        assert machine.run(change.do).returncode == 0
    assert machine.run(first.undo).returncode == 0
    assert machine.read("installed") == f"{BEFORE}gcc\nmake\n"
    assert machine.run(second.undo).returncode == 0
    assert machine.read("installed") == BEFORE


class TestDebian:
    @pytest.fixture
    def debian(self, tmp_path: Path, shell: str) -> Machine:
        return Machine(tmp_path, shell, "debian12")

    def test_the_administrators_policy_stays(self, debian: Machine) -> None:
        debian.policy.write_text("#!/bin/sh\nexit 104\n")
        change = debian.change("nginx")
        assert debian.run(change.do).returncode == 0
        assert debian.run(change.undo).returncode == 0
        assert debian.policy.read_text() == "#!/bin/sh\nexit 104\n"

    def test_a_policy_left_behind_says_yes(self, debian: Machine) -> None:
        """Killed while apt was at work: the shell that it names is gone."""
        debian.policy.write_text(
            "#!/bin/sh\n# made by bmt for the time of one installation\n[ ! -d /proc/999999999 ] || exit 101\n"
        )
        assert subprocess.run(["sh", str(debian.policy)], check=False).returncode == 0
        assert debian.run(debian.change("nginx").do).returncode == 0
        assert not debian.policy.exists()

    def test_configuration_left_from_before_is_not_purged(self, debian: Machine) -> None:
        debian.write("rc", "nginx\n")
        change = debian.change("nginx")
        assert debian.run(change.do).returncode == 0
        debian.write("rc", "")  # an installation takes it over
        assert debian.run(change.undo).returncode == 0
        assert debian.read("rc") == "nginx\n"

    def test_one_on_hold_is_there(self, debian: Machine) -> None:
        text = debian.bin.joinpath("dpkg-query").read_text().replace('"ii "', '"hi "')
        debian.bin.joinpath("dpkg-query").write_text(text)
        change = debian.change("nginx")
        assert debian.run(change.do).returncode == 0
        assert debian.run(change.check or change.do).stdout.strip() == "installed"


def test_a_manager_of_neither_kind_is_no_question() -> None:
    system = replace(bare("rocky8"), programs=frozenset(programs_of("web", ())), manager="")
    assert missing_packages("web", (), system) == []
