"""Ways to machines that are not straight: agents, passphrases, drops, silence; real sshd, real ssh-agent."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ssh_lab import SshLab, ssh_lab

from bmtlib.errors import HostError, MachineError
from bmtlib.hosts import connect as module
from bmtlib.hosts.connect import VARIABLE, Roads, connect
from bmtlib.hosts.host import Host
from bmtlib.hosts.pulse import watch
from bmtlib.hosts.ssh import SshHost
from bmtlib.params.fleet import Login
from bmtlib.params.load_yaml import load_testbed
from bmtlib.testbeds.inventory import find_logins
from bmtlib.testbeds.segment import check_segment
from bmtlib.testbeds.ssh import Company, open_fleet

pytestmark = [pytest.mark.lab, pytest.mark.ssh]


def nobody(hosts: object) -> str:
    raise AssertionError(f"asked for a password of {hosts}")


@pytest.fixture
def web(machines: SshLab) -> Iterator[SshHost]:
    """web01, by a connection of its own."""
    logins = find_logins(load_testbed(machines.testbed), webs=2, clients=2)
    company = Company([login for login in logins if login.name == "web01"], nobody)
    assert not company.refused
    yield company.hosts["web01"]
    company.close()


# --- keys ----------------------------------------------------------------------------------------------------------


def new_key(folder: Path, name: str, passphrase: str = "") -> Path:
    path = folder / name
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f", str(path)], check=True, timeout=20
    )
    return path


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """A real ssh-agent; the fixture adds keys to it."""
    if shutil.which("ssh-agent") is None:
        pytest.skip("no ssh-agent here")
    place = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(place)], stdout=subprocess.DEVNULL)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(place))
    wait_until(place.exists)
    ask = tmp_path / "ask"
    ask.write_text("#!/bin/sh\necho secret words\n")
    ask.chmod(0o700)

    def add(*keys: Path) -> None:
        answers = {"SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
        words = ["ssh-add", "-q", *map(str, keys)]
        subprocess.run(words, check=True, env={**os.environ, **answers}, timeout=20, stdin=subprocess.DEVNULL)

    yield add
    process.terminate()
    process.wait(10)


@pytest.fixture
def only_locked(machines: SshLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A key with a passphrase, the only one that web01 accepts, and that ssh's configuration names."""
    path = new_key(tmp_path, "locked", "secret words")
    text = machines.config.read_text().replace(f"IdentityFile {machines.folder}/id\n", f"IdentityFile {path}\n")
    (tmp_path / "config").write_text(text)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "config"))
    public = path.with_name("locked.pub").read_text()
    machines.lab.hosts["web01"].run(["sh", "-c", 'echo "$1" > /root/.ssh/authorized_keys2', "sh", public])
    return path


WEB01 = Login(name="web01", role="web", target="web01")


def test_a_key_with_a_passphrase_is_the_agents_business(only_locked: Path, agent: Callable[..., None]) -> None:
    """IdentitiesOnly yes, as the lab's configuration has it: only such keys of the agent as a file names."""
    with pytest.raises(MachineError, match="web01 does not let us in as root: there is no key to log in") as caught:
        connect(WEB01, Roads())
    assert caught.value.todo.startswith(f"ssh-add {only_locked} ")
    agent(only_locked)
    connect(WEB01, Roads()).close()
    connect(replace(WEB01, key=str(only_locked)), Roads()).close()
    only_locked.unlink()  # the public half is enough
    only_locked.with_name("locked.pub").rename(only_locked)
    connect(WEB01, Roads()).close()


def test_keys_of_the_agent_that_no_file_names(
    only_locked: Path, agent: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent(new_key(tmp_path, "stranger"), only_locked)
    only_locked.unlink()
    only_locked.with_name("locked.pub").unlink()
    with pytest.raises(MachineError, match="there is no key to log in with"):
        connect(WEB01, Roads())
    config = tmp_path / "config"
    config.write_text(config.read_text().replace("IdentitiesOnly yes", "IdentitiesOnly no"))
    connect(WEB01, Roads()).close()
    config.write_text(config.read_text().replace("Host web01\n", "Host web01\n  IdentityAgent none\n"))
    with pytest.raises(MachineError, match="there is no key to log in with"):
        connect(WEB01, Roads())
    monkeypatch.setenv("OTHER", os.environ.pop("SSH_AUTH_SOCK"))
    config.write_text(config.read_text().replace("IdentityAgent none", "IdentityAgent $OTHER"))
    connect(WEB01, Roads()).close()


def test_an_agent_with_more_keys_than_sshd_wants_to_see(
    only_locked: Path, agent: Callable[..., None], tmp_path: Path
) -> None:
    agent(*(new_key(tmp_path, f"stranger{i}") for i in range(8)))
    config = tmp_path / "config"
    config.write_text(config.read_text().replace("IdentitiesOnly yes", "IdentitiesOnly no"))
    started = time.monotonic()
    with pytest.raises(MachineError, match=r"after \d keys it has enough, and none was right: stranger0 ") as caught:
        connect(WEB01, Roads())
    assert "IdentitiesOnly" in caught.value.todo
    assert time.monotonic() - started < 3, "it is not tried again"
    agent(only_locked)
    connect(replace(WEB01, key=str(only_locked)), Roads()).close()


def test_a_certificate_beside_the_key(machines: SshLab, tmp_path: Path) -> None:
    authority, key = new_key(tmp_path, "authority"), new_key(tmp_path, "mine")
    sign = ["ssh-keygen", "-q", "-s", str(authority), "-I", "me", "-n", "root", f"{key}.pub"]
    subprocess.run(sign, check=True, timeout=20)
    line = f"cert-authority {(tmp_path / 'authority.pub').read_text()}"
    web = machines.lab.hosts["web01"]
    with pytest.raises(MachineError, match="it refuses"):
        connect(replace(WEB01, key=str(key)), Roads())
    web.run(["sh", "-c", 'echo "$1" > /root/.ssh/authorized_keys2', "sh", line])
    connect(replace(WEB01, key=str(key)), Roads()).close()


# --- drops ---------------------------------------------------------------------------------------------------------


def test_what_passes_is_tried_again(machines: SshLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first two connections are dropped, as by a server with too many of them."""
    way = tmp_path / "way"
    way.write_text(
        f"#!/bin/sh\necho >> {tmp_path}/tries\n[ $(wc -l < {tmp_path}/tries) -ge 3 ] || exit 1\n"
        f"exec {machines.folder}/way-web01\n"
    )
    way.chmod(0o755)
    (tmp_path / "config").write_text(machines.config.read_text().replace(f"{machines.folder}/way-web01", str(way)))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "config"))
    monkeypatch.setattr(module, "_PAUSE_S", 0.05)
    connect(WEB01, Roads()).close()
    assert (tmp_path / "tries").read_text() == "\n\n\n"


# Carries a connection ($2...) until the file $1 is there: then it is held open, and nothing passes any more.
_RELAY = """\
import os, select, subprocess, sys, time
way = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
ends = {0: way.stdin.fileno(), way.stdout.fileno(): 1}
while True:
    for end in select.select(list(ends), [], [], 0.1)[0]:
        data = os.read(end, 65536)
        while os.path.exists(sys.argv[1]):
            time.sleep(0.05)
        if not data:
            way.kill()
            sys.exit()
        os.write(ends[end], data)
"""


def test_a_host_that_falls_silent_is_noticed(machines: SshLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is closed, and nothing answers any more."""
    (tmp_path / "relay.py").write_text(_RELAY)
    silence, way = tmp_path / "silence", f"{machines.folder}/way-web01"
    relay = f"{sys.executable} {tmp_path}/relay.py {silence} {way}"
    (tmp_path / "config").write_text(machines.config.read_text().replace(way, relay))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "config"))
    company = Company([WEB01], nobody)
    web = company.hosts["web01"]
    watch(web.connection.transport, 0.2, give_up_s=1)
    time.sleep(1.5)
    assert web.lost() is None, "while it answers it is left alone"
    running = web.start(["sleep", "60"])
    silence.touch()
    started = time.monotonic()
    with pytest.raises(HostError, match="the SSH connection broke"):
        running.wait(60)
    assert time.monotonic() - started < 5
    silence.unlink()
    web.reconnect()
    assert web.run(["hostname"]).stdout == "web01\n"
    company.close()


def test_sshd_refuses_one_more_session(machines: SshLab, web: SshHost) -> None:
    back_door = machines.lab.hosts["web01"]
    back_door.run(["sed", "-i", "s/^MaxSessions.*/MaxSessions 2/", "/etc/ssh/sshd_config"])
    try:
        web.reconnect()
        running = [web.start(["sleep", "60"]) for _ in range(2)]
        with pytest.raises(HostError, match=r"sshd refuses one more session: .*MaxSessions"):
            web.run(["true"])
        running.pop().kill()
        running.pop().kill()
    finally:
        back_door.run(["sed", "-i", "s/^MaxSessions.*/MaxSessions 100/", "/etc/ssh/sshd_config"])


# --- commands ------------------------------------------------------------------------------------------------------


def test_a_command_that_is_killed_at_once_leaves_nothing(web: SshHost, machines: SshLab) -> None:
    """Whether or not its process number is known here by then."""
    for turn in range(20):
        running = web.start(["sleep", "781"])
        time.sleep(0.0005 * turn)
        running.kill()
    web.run(["sleep", "0.5"])  # one that was not ended has begun by now
    assert count(machines.lab.hosts["web01"], "sleep 781") == 0


def test_a_command_that_a_signal_ends_is_no_broken_connection(web: SshHost) -> None:
    rc, out, _ = web.run_bytes(["sh", "-c", "echo said; kill -KILL $$"])
    assert (rc, out) == (-1, b"said\n")
    assert web.lost() is None


def test_every_loss_in_mid_command_is_an_error(machines: SshLab, web: SshHost) -> None:
    """Also one that comes while the command writes: half of its output is never taken for the whole."""
    back_door = machines.lab.hosts["web01"]
    for turn in range(6):
        running = web.start(["sh", "-c", "while echo line; do :; done"])
        time.sleep(0.05 * turn)
        kill_sshd(back_door)
        with pytest.raises(HostError, match="the SSH connection broke"):
            running.wait(20)
        web.reconnect()


def test_a_terminal_that_sudo_wants(machines: SshLab) -> None:
    if shutil.which("sudo") is None:
        pytest.fail("sudo is missing (Debian: apt-get install sudo)")
    write = (
        'printf "%s\\n" "Defaults requiretty" "bench ALL=(ALL) NOPASSWD: ALL" > /etc/sudoers; chmod 440 /etc/sudoers'
    )
    machines.lab.hosts["web01"].run(["sh", "-c", write])
    company = Company([replace(WEB01, user="bench")], nobody)
    company.close()
    (error,) = company.refused.values()
    assert isinstance(error, MachineError)
    assert "web01: sudo refuses bench: " in error.what
    assert "Defaults:bench !requiretty" in error.todo


# --- the fleet -----------------------------------------------------------------------------------------------------


def test_another_machine_answers_for_a_web_host(machines: SshLab) -> None:
    """As a router does by proxy ARP, or a cloud's network; and a host whose cable is out."""
    director, web = machines.lab.director, machines.lab.hosts["web01"]
    director.run(["ip", "neigh", "replace", "172.16.0.102", "lladdr", "02:00:00:00:00:99", "dev", "eth1"])
    director.run(["ip", "neigh", "flush", "to", "172.16.0.101", "dev", "eth1"])
    web.run(["ip", "link", "set", "eth0", "arp", "off"])
    try:
        with (
            open_fleet(load_testbed(machines.testbed), webs=2, clients=2, secret=nobody) as fleet,
            pytest.raises(MachineError) as caught,
        ):
            check_segment(fleet, "192.168.16.100")
    finally:
        web.run(["ip", "link", "set", "eth0", "arp", "on"])
        director.run(["ip", "neigh", "flush", "dev", "eth1"])
    said = caught.value.what
    assert "web02 (172.16.0.102), asked by ARP on eth1 of director, is 02:00:00:00:00:99, which is none of" in said
    assert "web01 (172.16.0.101), asked by ARP on eth1 of director, does not answer" in said


def test_thirty_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """How long it takes is printed and no matter of this test: the machine may be busy."""
    with ssh_lab(tmp_path, webs=9, clients=20) as lab:
        for key, value in lab.env.items():
            monkeypatch.setenv(key, value)
        started = time.monotonic()
        with open_fleet(load_testbed(lab.testbed), webs=9, clients=20, secret=nobody) as fleet:
            opened = time.monotonic() - started
            assert len(fleet.hosts) == 30
            started = time.monotonic()
            for _ in range(20):
                fleet.director.run(["true"])
            trip = (time.monotonic() - started) / 20
            worst = max(abs(it.offset_s) for it in fleet.offsets.values())
    with capsys.disabled():
        print(f"\n30 hosts in {opened:.1f} s, a command in {trip * 1e3:.1f} ms, clocks to within {worst * 1e3:.2f} ms")


def kill_sshd(host: Host) -> None:
    script = (
        'for p in /proc/[0-9]*; do read -r c < "$p/comm" && [ "$c" = sshd ] && kill -KILL "${p#/proc/}"; done; true'
    )
    host.run(["sh", "-c", script])


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def count(host: Host, command_line: str) -> int:
    """Processes of a host with this command line."""
    script = 'for p in /proc/[0-9]*/cmdline; do [ "$(tr "\\0" " " 2>/dev/null < "$p")" != "$1 " ] || echo it; done'
    return len(host.run(["sh", "-c", script, "sh", command_line]).stdout.split())
