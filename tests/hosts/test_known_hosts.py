"""Host keys in known_hosts files: read as OpenSSH reads them, with ssh-keygen(1) as the judge."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import paramiko
import pytest

from bmtlib.hosts.known_hosts import Judge, Known, UnknownHostKey, WrongHostKey, names_of, read_known, transport_for

FIRST, SECOND = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate(bits=384)
RSA = paramiko.RSAKey.generate(2048)


def line(names: str, key: paramiko.PKey = FIRST) -> str:
    return f"{names} {key.get_name()} {key.get_base64()} somebody@somewhere\n"


def found_by_openssh(file: Path, name: str) -> bool:
    done = subprocess.run(["ssh-keygen", "-F", name, "-f", str(file)], capture_output=True, text=True, check=False)
    return any(not it.startswith("#") for it in done.stdout.splitlines())


@pytest.mark.parametrize("hashed", [False, True])
@pytest.mark.parametrize(
    "field",
    [
        "web01",
        "web01,10.0.0.1",
        "web*",
        "web0?,!web02",
        "!web01,web*",
        "[web01]:2222",
        "10.0.0.*",
        "WEB01",
        "*.lab",
        "web",
    ],
)
def test_as_openssh_finds_it(tmp_path: Path, field: str, hashed: bool) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("no ssh-keygen here")
    file = tmp_path / "known"
    file.write_text(line(field))
    if hashed:
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True)
    for name in ("web01", "web02", "10.0.0.1", "[web01]:2222", "a.lab"):
        known = read_known([file.read_text()], [name])
        assert (known.keys == (FIRST,)) == found_by_openssh(file, name), name


def test_a_port_of_its_own_comes_before_the_host() -> None:
    text = line("web01") + line("[web01]:2222", SECOND)
    assert read_known([text], names_of("web01", 2222)).keys == (SECOND,)
    assert read_known([line("web01")], names_of("web01", 2222)).keys == (FIRST,)
    assert read_known([text], names_of("10.0.0.1", 2222, "web01")).keys == (FIRST,)


def test_marks() -> None:
    text = line("@revoked * ", SECOND) + line("@cert-authority *.lab") + line("web01.lab")
    known = read_known([text], ["web01.lab"])
    assert (known.keys, known.revoked, known.signed) == ((FIRST,), (SECOND,), True)
    assert not read_known([text], ["web01"]).signed


@pytest.mark.parametrize(
    "strange",
    ["", "# web01", "web01", "web01 ssh-ed25519", "web01 ssh-ed25519 !!!", "web01 ssh-new AAAA", "|1|a|b ssh-rsa AAAA",
     "|1|% ssh-rsa AAAA", "@cert-authority", "web01 ssh-rsa AAAAB3NzaC1yc2E=", "web01 2048 65537 1234"],
)  # fmt: skip
def test_a_line_that_is_none_hides_no_other(strange: str) -> None:
    assert read_known([f"{strange}\n{line('web01')}"], ["web01"]).keys == (FIRST,)


def judge(key: paramiko.PKey, known: Known, *, accept: bool = False) -> None:
    Judge(known, accept=accept).missing_host_key(paramiko.SSHClient(), "web01", key)


def test_what_becomes_of_a_key() -> None:
    known = Known(keys=(FIRST,), revoked=(RSA,))
    judge(FIRST, known)
    judge(SECOND, Known(), accept=True)
    with pytest.raises(UnknownHostKey):
        judge(SECOND, Known())
    for accept in (False, True):
        with pytest.raises(WrongHostKey):
            judge(SECOND, known, accept=accept)
        with pytest.raises(WrongHostKey):
            judge(RSA, Known(revoked=(RSA,)), accept=accept)


def test_the_kinds_that_are_known_are_asked_for_first() -> None:
    import socket

    ours, theirs = socket.socketpair()
    with ours, theirs:
        order = transport_for(Known(keys=(RSA, SECOND)))(ours).get_security_options().key_types
        usual = paramiko.Transport(theirs).get_security_options().key_types
    assert set(order[:3]) == {"rsa-sha2-512", "rsa-sha2-256", "ecdsa-sha2-nistp384"}
    assert set(order) == set(usual)
