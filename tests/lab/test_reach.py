"""Reaching machines: real sshd, real Fabric; what goes wrong is told, and told once for all hosts."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest
import yaml
from ssh_lab import SshLab

from bmtlib.errors import BmtError, HostError, InputError, MachineError
from bmtlib.hosts.connect import VARIABLE, Roads, connect
from bmtlib.hosts.ssh import SshHost
from bmtlib.params.fleet import Login
from bmtlib.params.load_yaml import load_testbed
from bmtlib.testbeds.inventory import find_logins
from bmtlib.testbeds.segment import check_segment
from bmtlib.testbeds.ssh import Company, Fleet, open_fleet

pytestmark = [pytest.mark.lab, pytest.mark.ssh]


def nobody(hosts: object) -> str:
    raise AssertionError(f"asked for a password of {hosts}")


def open_lab(lab: SshLab, *settings: str) -> Fleet:
    return open_fleet(load_testbed(lab.testbed, settings), webs=2, clients=2, secret=nobody)


@pytest.fixture
def logins(machines: SshLab) -> list[Login]:
    return find_logins(load_testbed(machines.testbed), webs=2, clients=2)


@pytest.fixture
def web(machines: SshLab, logins: list[Login]) -> SshHost:
    """web01, by a connection of its own."""
    company = Company([login for login in logins if login.name == "web01"], nobody)
    assert not company.refused
    return company.hosts["web01"]


def config_with(machines: SshLab, monkeypatch: pytest.MonkeyPatch, path: Path, *changes: tuple[str, str]) -> None:
    """The lab's ssh configuration with some words put for others."""
    text = machines.config.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    monkeypatch.setenv(VARIABLE, str(path))


def test_hosts_have_their_places(machines: SshLab) -> None:
    with open_lab(machines) as fleet:
        assert list(fleet.hosts) == ["director", "web01", "web02", "client01", "client02"]
        director = fleet.director
        assert director.interfaces == {"front": "eth0", "back": "eth1"}
        assert director.addresses == {"front": "192.168.16.1", "back": "172.16.0.1"}
        assert fleet.hosts["web02"].interfaces == {"front": "eth0", "back": "eth0"}
        assert fleet.hosts["web02"].addresses == {"back": "172.16.0.102"}
        assert all(host.namespace for host in fleet.hosts.values()), "they share this machine's kernel"
        assert len({host.machine for host in fleet.hosts.values()}) == 1
        assert fleet.fidelity == "namespace"
        assert director.cpus == machines.lab.director.cpus
        assert fleet.rps == machines.lab.rps
        check_segment(fleet, fleet.network.vip)


def test_clocks_are_the_same_and_a_wrong_one_is_found(machines: SshLab) -> None:
    """All hosts have this machine's clock; one gets a `date` that is 80 ms ahead."""
    with open_lab(machines) as fleet:
        offsets = fleet.clocks()
        assert list(offsets) == list(fleet.hosts)
        assert all(abs(it["offset_ms"]) <= it["uncertainty_ms"] + 0.5 for it in offsets.values())
    ahead = machines.lab.hosts["client02"]
    script = """cat > /usr/local/bin/date <<'END'
#!/bin/sh
[ "$*" = +%s%N ] || exec /bin/date "$@"
echo $(( $(/bin/date +%s%N) + 80000000 ))
END
chmod +x /usr/local/bin/date; echo 'SetEnv PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' >> /etc/ssh/sshd_config"""
    ahead.run(["sh", "-c", script])
    try:
        with pytest.raises(MachineError, match=r"client02: \+[78]\d\.\d ms") as caught:
            open_lab(machines)
        assert "client01" not in str(caught.value)
        assert "clock_limit_ms" in str(caught.value)
        with open_lab(machines, "testbed.ssh.clock_limit_ms=null") as fleet:
            there = fleet.offsets["client02"]
            assert abs(there.offset_s - 0.080) <= there.uncertainty_s + 0.002
            assert fleet.hosts["client02"].on_its_clock(0) == round(there.offset_s * 1e9)
    finally:
        ahead.run(["sh", "-c", "rm /usr/local/bin/date; sed -i '/^SetEnv/d' /etc/ssh/sshd_config"])


def test_bytes_are_not_touched(web: SshHost) -> None:
    everything = bytes(range(256)) * 4096
    rc, out, err = web.run_bytes(
        ["sh", "-c", "cat; cat /dev/null >&2; printf '\\377\\000x' >&2; exit 7"], stdin=everything
    )
    assert (rc, out, err) == (7, everything, b"\xff\x00x")


def test_words_reach_the_command_as_they_are(web: SshHost) -> None:
    words = ["a b", "$HOME", "`id`", "'\"", "*", "", "-n", "größe", "a\nb", "\\"]
    assert web.run(["printf", "%s|", *words]).stdout == "|".join(words) + "|"


def test_kill_ends_the_command_and_what_it_started(web: SshHost, machines: SshLab) -> None:
    running = web.start(["sh", "-c", "sleep 777 & sleep 778"])
    back_door = machines.lab.hosts["web01"]
    wait_until(lambda: count(back_door, "sleep 77[78]") >= 2)
    running.kill()
    wait_until(lambda: count(back_door, "sleep 77[78]") == 0)


def test_standard_input_stays_open_until_the_end(web: SshHost, machines: SshLab) -> None:
    running = web.start(["sh", "-c", "cat; echo over"], stdin=None)
    wait_until(lambda: count(machines.lab.hosts["web01"], "cat; echo over") > 0)
    running.kill()
    wait_until(lambda: count(machines.lab.hosts["web01"], "cat; echo over") == 0)


def test_a_host_that_is_cut_off_in_mid_command(machines: SshLab, web: SshHost) -> None:
    running = web.start(["sleep", "60"])
    machines.cut("web01")
    try:
        with pytest.raises(HostError, match="the SSH connection broke"):
            running.wait(30)
        with pytest.raises(HostError, match="web01"):
            web.run(["true"])
        started = time.monotonic()
        with pytest.raises(MachineError, match=r"web01 cannot be reached"):
            web.reconnect()
        assert time.monotonic() - started < 30
    finally:
        machines.restore("web01")
    web.reconnect()
    assert web.run(["hostname"]).stdout == "web01\n"


def test_an_unknown_host_key_is_refused_with_the_command_that_accepts_it(
    machines: SshLab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, logins: list[Login]
) -> None:
    config_with(machines, monkeypatch, tmp_path / "config", ("/known_hosts", "/none"))
    with pytest.raises(MachineError, match=r"web01: its host key is not known here: ssh-ed25519 SHA256:") as caught:
        connect(logins[1], Roads())
    assert f"ssh -F {tmp_path}/config web01 true" in caught.value.todo
    # It is the fingerprint that ssh-keygen shows for the host's key.
    key = machines.lab.hosts["web01"].read("/etc/ssh/ssh_host_ed25519_key.pub")
    shown = subprocess.run(["ssh-keygen", "-lf", "-"], input=key, capture_output=True, text=True, check=True).stdout
    assert shown.split()[1] in caught.value.what
    config_with(
        machines, monkeypatch, tmp_path / "config", ("/known_hosts", "/none"), ("Checking yes", "Checking accept-new")
    )
    connect(logins[1], Roads()).close()


def test_a_changed_host_key_is_never_accepted(
    machines: SshLab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, logins: list[Login]
) -> None:
    other = paramiko.ECDSAKey.generate()
    ed = (machines.folder / "known_hosts").read_text().splitlines()
    wrong = tmp_path / "known"
    wrong.write_text("web01 " + next(line for line in ed if line.startswith("web02")).partition(" ")[2] + "\n")
    changes = ((f"{machines.folder}/known_hosts", str(wrong)), ("Checking yes", "Checking no"))
    config_with(machines, monkeypatch, tmp_path / "config", *changes)
    with pytest.raises(MachineError, match=r"its host key has changed") as caught:
        connect(logins[1], Roads())
    assert "ssh-keygen -R web01" in caught.value.todo
    assert other.get_name()


def test_a_key_that_nobody_accepts(machines: SshLab, logins: list[Login], tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    paramiko.ECDSAKey.generate().write_private_key_file(str(stranger))
    started = time.monotonic()
    with pytest.raises(MachineError, match=r"web01 does not let us in"):
        connect(replace(logins[1], key=str(stranger)), Roads())
    assert time.monotonic() - started < 3, "what will not pass is not tried again"
    with pytest.raises(InputError, match="no private key"):
        connect(replace(logins[1], key=str(tmp_path / "nowhere")), Roads())


def test_every_host_that_cannot_be_had_is_named_at_once(machines: SshLab) -> None:
    for name in ("web01", "client02"):
        machines.cut(name)
    try:
        with pytest.raises(MachineError, match="2 of 5 hosts") as caught:
            open_lab(machines)
    finally:
        for name in ("web01", "client02"):
            machines.restore(name)
    assert "web01" in str(caught.value)
    assert "client02" in str(caught.value)


def test_a_name_that_is_not_known_is_not_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "config"))
    started = time.monotonic()
    with pytest.raises(MachineError, match="no-such-host"):
        connect(Login(name="web01", role="web", target="no-such-host.invalid"), Roads())
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("testbed.ssh.director.front=eth7", "director: it has no interface eth7, but"),
        ("testbed.network.back=10.9.0.0/24", r"web01: no interface has an address in the back network 10.9.0.0/24"),
        ("testbed.ssh.director.cpus=77", "director: it has no CPU 77"),
    ],
)
def test_hosts_that_are_not_as_the_testbed_says(machines: SshLab, setting: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        open_lab(machines, setting)


def test_one_host_under_two_names(machines: SshLab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config_with(machines, monkeypatch, tmp_path / "config", ("Host web01", "Host web01 again\n  HostKeyAlias web01"))
    text = yaml.safe_load(machines.testbed.read_text())
    text["ssh"]["web"]["hosts"] = ["web01", "again"]
    bed = tmp_path / "twice.yml"
    bed.write_text(yaml.safe_dump(text))
    with pytest.raises(InputError, match="again and web01 are one and the same host"):
        open_fleet(load_testbed(bed), webs=2, clients=2, secret=nobody)


def test_web_hosts_on_another_segment_and_a_vip_that_is_taken(machines: SshLab) -> None:
    director, web = machines.lab.director, machines.lab.hosts["web02"]
    director.run(["ip", "route", "add", "172.16.0.102/32", "via", "172.16.0.101"])
    web.run(["ip", "address", "add", "192.168.16.100/32", "dev", "eth0"])
    web.run(["ip", "route", "add", "192.168.16.2/32", "via", "172.16.0.1"])
    try:
        with open_lab(machines) as fleet, pytest.raises(MachineError) as caught:
            check_segment(fleet, "192.168.16.100")
        with open_lab(machines) as fleet, pytest.raises(MachineError) as fewer:
            check_segment(fleet, "192.168.16.100", kinds=["proxy"])
    finally:
        director.run(["ip", "route", "del", "172.16.0.102/32"])
        web.run(["ip", "address", "del", "192.168.16.100/32", "dev", "eth0"])
        web.run(["ip", "route", "del", "192.168.16.2/32"])
    said = str(caught.value)
    assert "web02 (172.16.0.102) is on another Layer-2 segment" in said
    assert "the VIP 192.168.16.100 is in use already" in said
    assert "another Layer-2 segment" not in str(fewer.value), "a proxy reaches web hosts anywhere"
    assert "web02 sends its answers to client01 by way of 172.16.0.1, the director" in said


# --- sudo ----------------------------------------------------------------------------------------------------------

PASSWORD = "open sesame"


def sudoers(machines: SshLab, line: str) -> None:
    for host in machines.lab.hosts.values():
        host.run(["sh", "-c", 'echo "$1" > /etc/sudoers; chmod 440 /etc/sudoers', "sh", line])


@pytest.fixture
def as_bench(machines: SshLab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, logins: list[Login]) -> list[Login]:
    """web01 and web02, with an ordinary user at the door."""
    if shutil.which("sudo") is None:
        pytest.fail("sudo is missing (Debian: apt-get install sudo)")
    config_with(machines, monkeypatch, tmp_path / "config", ("User root", "User bench"))
    return logins[1:3]


def test_sudo_without_a_password(machines: SshLab, as_bench: list[Login]) -> None:
    sudoers(machines, "bench ALL=(ALL) NOPASSWD: ALL")
    company = Company(as_bench, nobody)
    assert not company.refused
    web = company.hosts["web01"]
    assert web.run(["id", "-u"]).stdout == "0\n"
    assert web.run(["cat"], stdin="not a password\n").stdout == "not a password\n"
    company.close()


@pytest.mark.parametrize("more", ["", "\nDefaults use_pty", "\nDefaults lecture=always", "\nDefaults !use_pty"])
def test_sudo_with_a_password_that_is_asked_once(machines: SshLab, as_bench: list[Login], more: str) -> None:
    sudoers(machines, f"bench ALL=(ALL) ALL{more}")
    asked: list[list[str]] = []

    def secret(hosts: list[str]) -> str:
        asked.append(list(hosts))
        return PASSWORD

    company = Company(as_bench, secret)  # type: ignore[arg-type]
    try:
        assert asked == [["web01", "web02"]]
        assert not company.refused
        web = company.hosts["web01"]
        everything = bytes(range(256)) * 64
        rc, out, _ = web.run_bytes(["sh", "-c", "id -u; cat"], stdin=everything)
        assert (rc, out) == (0, b"0\n" + everything)
        assert PASSWORD not in repr(web)
        with pytest.raises(BmtError) as caught:
            web.run(["sh", "-c", "echo oh no >&2; exit 3"])
        assert PASSWORD not in str(caught.value)
        back_door = machines.lab.hosts["web01"]
        running = web.start(["sh", "-c", "sleep 779 & sleep 780"])
        wait_until(lambda: count(back_door, "sleep 7(79|80)") >= 2)
        lines = back_door.run(["sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' '\\n'"]).stdout
        assert PASSWORD not in lines
        running.kill()
        wait_until(lambda: count(back_door, "sleep 7(79|80)") == 0)
    finally:
        company.close()


def test_a_wrong_password_and_a_user_without_rights(machines: SshLab, as_bench: list[Login]) -> None:
    sudoers(machines, "bench ALL=(ALL) ALL")
    machines.lab.hosts["web02"].run(["sh", "-c", "echo 'root ALL=(ALL) ALL' > /etc/sudoers"])
    company = Company(as_bench, lambda hosts: "wrong" if "web01" in hosts else PASSWORD)
    company.close()
    assert set(company.refused) == {"web01", "web02"}
    assert all("sudo refuses" in str(why) for why in company.refused.values())
    company = Company([replace(as_bench[0], become="none")], nobody)
    company.close()
    assert "bench is not root, and the testbed says `become: none`" in str(company.refused["web01"])


def test_the_password_reaches_processes_of_ours_and_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from bmtlib.hosts import secret

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt: PASSWORD)
    monkeypatch.delenv(secret.VARIABLE, raising=False)
    assert secret.sudo_password(["web01", "web02"]) == PASSWORD
    place = os.environ[secret.VARIABLE]
    try:
        assert stat.S_ISREG(os.stat(place).st_mode)
        assert os.readlink(place).startswith("/memfd:"), "in no file system"
        read = subprocess.run(["cat", place], capture_output=True, text=True, check=True)
        assert read.stdout == PASSWORD
        monkeypatch.setattr("getpass.getpass", lambda prompt: pytest.fail("asked twice"))
        assert secret.sudo_password(["web03"]) == PASSWORD
    finally:
        os.environ.pop(secret.VARIABLE)


# --- ways ----------------------------------------------------------------------------------------------------------


def test_a_jump_host_is_opened_once_for_all_behind_it(
    machines: SshLab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, logins: list[Login]
) -> None:
    """web01 and web02 by way of the director, which reaches their sshd over the lab's network."""
    config = tmp_path / "config"
    text = machines.config.read_text()
    config.write_text(
        "Host web01\n  HostName 172.16.0.101\n  HostKeyAlias web01\n  ProxyJump director\n  ProxyCommand none\n"
        "Host web02\n  HostName 172.16.0.102\n  HostKeyAlias web02\n  ProxyJump director\n  ProxyCommand none\n" + text
    )
    monkeypatch.setenv(VARIABLE, str(config))
    webs = [machines.lab.hosts[name] for name in ("web01", "web02")]
    listening = [web.start(["/usr/sbin/sshd", "-D", "-f", "/etc/ssh/sshd_config"]) for web in webs]
    try:
        for web in webs:
            wait_until(lambda web=web: ":22 " in web.run(["ss", "-Hltn"]).stdout)  # type: ignore[misc]
        company = Company(logins[1:3], nobody)
        try:
            assert not company.refused, company.refused
            assert len(company.roads.jumps) == 1
            names = [host.run(["hostname"]).stdout.strip() for host in company.hosts.values()]
            assert names == ["web01", "web02"]
        finally:
            company.close()
    finally:
        for process in listening:
            process.kill()


def wait_until(condition: object, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def count(host: object, pattern: str) -> int:
    """Processes of a host whose command line has the pattern."""
    script = 'for p in /proc/[0-9]*/cmdline; do tr "\\0" " " < "$p" 2>/dev/null | grep -cE -- "$1"; done | grep -c 1'
    return int(host.run(["sh", "-c", script, "sh", f"^(sh -c )?{pattern}"], check=False).stdout)  # type: ignore[attr-defined]
