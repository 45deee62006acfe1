"""The certificate of the front in HTTPS, by the real openssl and both shells: made, kept, put back, not made twice."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from bmtlib.params.proxy_options import Tls
from bmtlib.setup.change import Change, Command
from bmtlib.setup.tls import certificate_changes, certificate_path, certificate_probe, tls_probe

VIP = "192.168.16.100"
PATH = f"/etc/bmt/tls/{VIP}.pem"

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")


@pytest.fixture(params=["dash", "bash"])
def shell(request: pytest.FixtureRequest) -> str:
    found = shutil.which(request.param)
    if found is None:
        pytest.skip(f"no {request.param} here")
    return found


@pytest.fixture
def keep(tmp_path: Path) -> Path:
    folder = tmp_path / "keep"
    folder.mkdir()
    return folder


def run(shell: str, it: Command, keep: Path, pem: Path) -> subprocess.CompletedProcess[str]:
    """The command with `pem` in the place of the file of ours."""
    _, _, script, *words = it.argv
    argv = [shell, "-c", script, *(str(pem) if word == PATH else word for word in words)]
    env = {**os.environ, "KEEP": str(keep)}
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=env, timeout=60)


def made(tls: Tls | None = None, present: str | None = None) -> Change:
    (change,) = certificate_changes("director", tls or Tls(), vip=VIP, present=present)
    return change


def openssl(*words: str) -> str:
    return subprocess.run(["openssl", *words], capture_output=True, text=True, check=True).stdout


def test_made_and_removed_with_its_folders(shell: str, tmp_path: Path, keep: Path) -> None:
    pem, change = tmp_path / "etc" / "bmt" / "tls" / "it's.pem", made(Tls(key_bits=3072))
    (tmp_path / "etc").mkdir()
    done = run(shell, change.do, keep, pem)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert change.check is not None
    assert " ".join(run(shell, change.check, keep, pem).stdout.split()) == change.expect
    assert stat.S_IMODE(pem.stat().st_mode) == 0o600
    assert list(pem.parent.iterdir()) == [pem]
    said = openssl("x509", "-in", str(pem), "-noout", "-text")
    assert f"Issuer: CN = {VIP}" in said
    assert f"Subject: CN = {VIP}" in said
    assert "Public-Key: (3072 bit)" in said
    assert openssl("verify", "-CAfile", str(pem), "-verify_ip", VIP, str(pem)).endswith(": OK\n")
    for _ in range(2):
        undone = run(shell, change.undo, keep, pem)
        assert (undone.returncode, undone.stderr) == (0, "")
        assert list((tmp_path / "etc").iterdir()) == []
        assert list(keep.iterdir()) == []


def test_what_was_there_comes_back(shell: str, tmp_path: Path, keep: Path) -> None:
    pem, change = tmp_path / "a.pem", made()
    pem.write_bytes(b"theirs \xff\n")
    pem.chmod(0o640)
    os.utime(pem, (1_000_000_000, 1_000_000_000))
    for _ in range(2):  # an apply that was broken off is repeated: what was kept first counts
        assert run(shell, change.do, keep, pem).returncode == 0
    assert b"theirs" not in pem.read_bytes()
    assert run(shell, change.undo, keep, pem).returncode == 0
    found = pem.stat()
    assert (pem.read_bytes(), stat.S_IMODE(found.st_mode), found.st_mtime) == (b"theirs \xff\n", 0o640, 1_000_000_000)
    assert list(keep.iterdir()) == []


def test_undo_alone_changes_nothing(shell: str, tmp_path: Path, keep: Path) -> None:
    pem = tmp_path / "a.pem"
    pem.write_text("theirs")
    assert run(shell, made().undo, keep, pem).returncode == 0
    assert pem.read_text() == "theirs"


@pytest.mark.parametrize("there", [None, "theirs"])
def test_an_openssl_that_fails_leaves_the_host_as_it_was(
    shell: str, tmp_path: Path, keep: Path, there: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs, pem = tmp_path / "bin", tmp_path / "tls" / "a.pem"
    programs.mkdir()
    (programs / "openssl").write_text("#!/bin/sh\necho 'no random bytes' >&2\nexit 1\n")
    (programs / "openssl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    if there is not None:
        pem.parent.mkdir()
        pem.write_text(there)
    failed = run(shell, made().do, keep, pem)
    assert (failed.returncode, failed.stderr) == (1, "no random bytes\n")
    assert list(keep.iterdir()) == []
    assert [path.read_text() for path in pem.parent.iterdir()] == [there] if there else not pem.parent.exists()


def test_a_folder_is_not_replaced(shell: str, tmp_path: Path, keep: Path) -> None:
    pem = tmp_path / "a.pem"
    pem.mkdir()
    failed = run(shell, made().do, keep, pem)
    assert (failed.returncode, failed.stderr) == (1, f"{pem} is a folder\n")
    assert list(pem.iterdir()) == list(keep.iterdir()) == []


def test_one_that_fits_is_not_made_again(shell: str, tmp_path: Path, keep: Path) -> None:
    pem = tmp_path / "a.pem"

    def present() -> str:
        return run(shell, certificate_probe(Tls(), VIP), keep, pem).stdout

    assert present() == "none\n"
    assert made(present=present()).before is None
    assert run(shell, made().do, keep, pem).returncode == 0
    assert certificate_changes("director", Tls(), vip=VIP, present=present()) == []
    assert certificate_changes("director", Tls(key_bits=4096), vip=VIP, present=present()) != []
    assert certificate_changes("director", Tls(), vip="192.168.16.10", present=present()) != []
    pem.chmod(0o644)
    assert made(present=present()).before == f"2048 bit IP Address:{VIP} mode 644"


def test_what_the_probe_says_of_others(shell: str, tmp_path: Path, keep: Path) -> None:
    pem, key, short = tmp_path / "a.pem", tmp_path / "a.pem.key", ("-days", "7")
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=a")

    def said() -> str:
        return run(shell, certificate_probe(Tls(), VIP), keep, pem).stdout

    pem.write_text("nothing of the kind")
    pem.chmod(0o600)
    assert said() == "no certificate\n"
    openssl(*new, *short, "-nodes", "-keyout", str(key), "-out", str(pem))
    assert said() == "256 bit\nnot valid for 30 days\nmode 600\n"
    key.rename(tmp_path / "elsewhere")
    assert said() == "256 bit\nwithout its key\nnot valid for 30 days\nmode 600\n"
    openssl(*new, "-days", "99", "-passout", "pass:secret", "-keyout", str(key), "-out", str(pem))
    assert said() == "256 bit\nwithout its key\nmode 600\n", "HAProxy in the background can ask nobody for a passphrase"


def test_one_of_the_users_own_is_left_alone() -> None:
    own = Tls(certificate="/etc/pki/server.pem")
    assert certificate_path(own, VIP) == "/etc/pki/server.pem"
    assert certificate_changes("director", own, vip=VIP, present="2048 bit\nmode 644\n") == []


def test_curl_is_told_nothing_of_this_user() -> None:
    words = tls_probe(VIP, 8443, "/preflight/dummy_file_1")
    assert words[:2] == ["curl", "-q"]
    assert words[-1] == "https://192.168.16.100:8443/preflight/dummy_file_1"
