"""Building from source, by real shells and make, on a stand-in for HAProxy's source whose make is done in a moment.

The real source is built in tests/lab/test_haproxy_build.py.
"""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import shutil
import signal
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from bmtlib.errors import InputError
from bmtlib.params.proxy_options import Build, Lua
from bmtlib.setup.change import Change, Command
from bmtlib.setup.haproxy_build import build_changes, build_mark, build_probe

# "Compiles" a program that says of itself, in the words of HAProxy 2.2, what make was told.
MAKEFILE = """\
FEATURES = $(foreach name,OPENSSL ZLIB PCRE PCRE2 SYSTEMD LUA,$(if $(USE_$(name)),+,-)$(name))
all: haproxy
haproxy:
	test "$(TARGET)" = linux-glibc
	$(if $(USE_LUA),test -e "$(LUA_LIB)/liblua.a" -a -e "$(LUA_INC)/lua.h" -a "$(LUA_LIB_NAME)" = lua)
	printf '%s\\n' '#!/bin/sh' 'echo "HA-Proxy version 2.2.25-34308a4 2022/07/28 - https://haproxy.org/"' \\
		'echo "Feature list : +EPOLL $(FEATURES)"' > haproxy
	chmod 755 haproxy
install-bin: haproxy
	install -d "$(DESTDIR)$(PREFIX)/sbin"
	install haproxy "$(DESTDIR)$(PREFIX)/sbin"
"""
LUA_MAKEFILE = """\
linux:
	touch liblua.a lua.h
install:
	install -d "$(INSTALL_TOP)/lib" "$(INSTALL_TOP)/include"
	install liblua.a "$(INSTALL_TOP)/lib"
	install lua.h "$(INSTALL_TOP)/include"
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None or shutil.which("cc") is None, reason="no make or cc here")


@pytest.fixture(params=["dash", "bash"])
def shell(request: pytest.FixtureRequest) -> str:
    found = shutil.which(request.param)
    if found is None:
        pytest.skip(f"no {request.param} here")
    return found


@pytest.fixture
def keep(tmp_path: Path) -> Path:
    folder = tmp_path / "keep of a run"
    folder.mkdir()
    return folder


def tarball(path: Path, makefile: str) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo(f"{path.name}-1.0/Makefile")
        info.size = len(makefile)
        tar.addfile(info, io.BytesIO(makefile.encode()))
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def source(tmp_path: Path, makefile: str = MAKEFILE, **options: object) -> Build:
    """2.2.25 from a tarball below `tmp_path`, which would go to opt/bmt/haproxy there."""
    path = tarball(tmp_path / "haproxy.tar.gz", makefile)
    words = {"version": "2.2.25", "source": str(path), "sha256": sha256(path), "prefix": f"{tmp_path}/opt/bmt/haproxy"}
    return Build.model_validate(words | options)


def lua(tmp_path: Path) -> Lua:
    path = tarball(tmp_path / "lua.tar.gz", LUA_MAKEFILE)
    return Lua(version="5.3.5", source=str(path), sha256=sha256(path))


def run(shell: str, it: Command, keep: Path) -> subprocess.CompletedProcess[str]:
    _, _, script, *words = it.argv
    env = {**os.environ, "KEEP": str(keep)}
    return subprocess.run(
        [shell, "-c", script, *words], input=it.stdin, capture_output=True, text=True, check=False, env=env, timeout=60
    )


def do(shell: str, changes: list[Change], keep: Path) -> None:
    for change in changes:
        done = run(shell, change.do, keep)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), change.what
        assert change.check is not None
        assert " ".join(run(shell, change.check, keep).stdout.split()) == change.expect


def undo(shell: str, changes: list[Change], keep: Path) -> None:
    for change in reversed(changes):
        undone = run(shell, change.undo, keep)
        assert (undone.returncode, undone.stderr) == (0, ""), change.what


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("options", "expect"),
    [
        ({}, "2.2.25 OPENSSL ZLIB PCRE SYSTEMD"),
        ({"pcre": "pcre2", "systemd": False}, "2.2.25 OPENSSL ZLIB PCRE2"),
        ({"openssl": False, "zlib": False, "pcre": None, "systemd": False}, "2.2.25"),
    ],
)
def test_built_and_removed(shell: str, tmp_path: Path, keep: Path, options: dict[str, object], expect: str) -> None:
    before = [*entries(tmp_path), "haproxy.tar.gz"]
    changes = build_changes("director", source(tmp_path, **options))
    assert [change.what for change in changes] == ["source haproxy 2.2.25", f"build {tmp_path}/opt/bmt/haproxy"]
    do(shell, changes, keep)
    assert changes[-1].expect == expect
    assert entries(tmp_path / "opt" / "bmt" / "haproxy") == [".bmt-build", "sbin"]
    assert entries(keep) == sorted([f"built-{tmp_path}/opt/bmt/haproxy".replace("/", "%"), "haproxy-2.2.25.tar"])
    do(shell, changes, keep)  # an apply that was broken off is repeated
    for _ in range(2):
        undo(shell, changes, keep)
        assert entries(tmp_path) == sorted(before)
        assert entries(keep) == []


def test_lua_is_built_first_and_is_what_haproxy_is_told(shell: str, tmp_path: Path, keep: Path) -> None:
    changes = build_changes("director", source(tmp_path, lua=lua(tmp_path)))
    assert [change.what.partition(" ")[0] for change in changes] == ["source", "source", "build"]
    do(shell, changes, keep)
    assert changes[-1].expect == "2.2.25 OPENSSL ZLIB PCRE SYSTEMD LUA"
    assert (tmp_path / "opt" / "bmt" / "haproxy" / "lua" / "lib" / "liblua.a").exists()


def test_a_second_plan_has_nothing_to_build(shell: str, tmp_path: Path, keep: Path) -> None:
    build = source(tmp_path)
    assert run(shell, build_probe(build), keep).stdout == "none\n"
    do(shell, build_changes("director", build, built="none\n"), keep)
    built = run(shell, build_probe(build), keep).stdout
    assert built == f"{build_mark(build)}\n"
    assert build_changes("director", build, built=built) == []
    with pytest.raises(InputError, match=r"is another build: 2\.2\.25 "):
        build_changes("director", build.model_copy(update={"zlib": False}), built=built)
    same_elsewhere = build.model_copy(update={"source": "https://example.org/haproxy-2.2.25.tar.gz"})
    assert build_changes("director", same_elsewhere, built=built) == [], "the checksum says what it is"


def test_a_prefix_of_others_is_not_touched(shell: str, tmp_path: Path, keep: Path) -> None:
    build = source(tmp_path)
    theirs = tmp_path / "opt" / "bmt" / "haproxy" / "theirs"
    theirs.parent.mkdir(parents=True)
    theirs.touch()
    built = run(shell, build_probe(build), keep).stdout
    assert built == "not built by bmtlib\n"
    with pytest.raises(InputError, match="is there already on director"):
        build_changes("director", build, built=built)
    changes = build_changes("director", build)  # it came after the plan
    assert run(shell, changes[0].do, keep).returncode == 0
    failed = run(shell, changes[1].do, keep)
    assert (failed.returncode, "choose another prefix" in failed.stderr) == (1, True)
    undo(shell, changes, keep)
    assert theirs.exists()


def test_undo_does_not_remove_what_took_the_builds_place(shell: str, tmp_path: Path, keep: Path) -> None:
    changes = build_changes("director", source(tmp_path))
    do(shell, changes, keep)
    (tmp_path / "opt" / "bmt" / "haproxy" / ".bmt-build").write_text("another\n")
    failed = run(shell, changes[-1].undo, keep)
    assert (failed.returncode, "it stays" in failed.stderr) == (1, True)
    assert (tmp_path / "opt" / "bmt" / "haproxy" / "sbin" / "haproxy").exists()


@pytest.mark.parametrize(
    ("makefile", "why"),
    [
        (MAKEFILE.replace("2.2.25-34308a4", "2.2.2"), "what was built is 2.2.2 OPENSSL ZLIB PCRE SYSTEMD, not 2.2.25"),
        (MAKEFILE.replace("$(if $(USE_$(name)),+,-)", "-"), "what was built is 2.2.25, not 2.2.25 OPENSSL"),
        (MAKEFILE.replace("#!/bin/sh", "#!/nowhere"), "what was built is does not run:"),
        (MAKEFILE.replace("\tchmod", "\t@echo cannot find -lssl; exit 1\n\tchmod"), "cannot find -lssl"),
        ("all:\n\ttrue\n", "install-bin"),
    ],
)
def test_a_broken_build_leaves_nothing(shell: str, tmp_path: Path, keep: Path, makefile: str, why: str) -> None:
    changes = build_changes("director", source(tmp_path, makefile))
    assert run(shell, changes[0].do, keep).returncode == 0
    failed = run(shell, changes[1].do, keep)
    assert (failed.returncode, why in failed.stderr) == (1, True), failed.stderr
    assert not (tmp_path / "opt").exists()
    assert entries(keep) == ["haproxy-2.2.25.tar"]


def test_killed_in_the_middle(shell: str, tmp_path: Path, keep: Path) -> None:
    """Undone by what lies in $KEEP; or repeated."""
    waits = MAKEFILE.replace(
        "\tchmod", f"\tif [ ! -e {tmp_path}/go ]; then touch {tmp_path}/here; sleep 60; fi\n\tchmod"
    )
    changes = build_changes("director", source(tmp_path, waits))
    assert run(shell, changes[0].do, keep).returncode == 0
    _, _, script, *words = changes[1].do.argv
    process = subprocess.Popen(
        [shell, "-c", script, *words], env={**os.environ, "KEEP": str(keep)}, start_new_session=True
    )
    deadline = time.monotonic() + 20
    while not (tmp_path / "here").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert len(entries(keep)) == 2
    (tmp_path / "go").touch()
    do(shell, changes[1:], keep)
    undo(shell, changes, keep)
    assert entries(keep) == []
    assert not (tmp_path / "opt").exists()


def test_undo_alone_changes_nothing(shell: str, tmp_path: Path, keep: Path) -> None:
    theirs = tmp_path / "opt" / "bmt" / "haproxy" / "theirs"
    theirs.parent.mkdir(parents=True)
    theirs.touch()
    undo(shell, build_changes("director", source(tmp_path, lua=lua(tmp_path))), keep)
    assert theirs.exists()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """What serves `tmp_path`, to this machine alone."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_tarball_of_the_web(
    shell: str, tmp_path: Path, keep: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    build = source(tmp_path)
    changes = build_changes("director", build.model_copy(update={"source": f"{url}/haproxy.tar.gz"}))
    do(shell, changes, keep)
    undo(shell, changes, keep)
    assert entries(keep) == []


@pytest.mark.parametrize("name", ["haproxy.tar.gz", "missing.tar.gz"])
def test_what_is_not_what_was_asked_for_is_not_unpacked(
    shell: str, tmp_path: Path, keep: Path, url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    build = source(tmp_path)
    fetch = build_changes("director", build.model_copy(update={"source": f"{url}/{name}", "sha256": "0" * 64}))[0]
    failed = run(shell, fetch.do, keep)
    why = f"has the SHA-256 {build.sha256}, not {'0' * 64}: it was not unpacked" if name[0] == "h" else "did not come"
    assert (failed.returncode, why in failed.stderr) == (1, True), failed.stderr
    assert entries(keep) == []


def test_a_local_tarball_that_changed_after_the_plan(shell: str, tmp_path: Path, keep: Path) -> None:
    fetch = build_changes("director", source(tmp_path))[0]
    cut = Command(argv=fetch.do.argv, stdin=fetch.do.stdin.splitlines()[0])
    failed = run(shell, cut, keep)
    assert (failed.returncode, "the tarball has the SHA-256" in failed.stderr) == (1, True)
    assert entries(keep) == []


def test_a_local_tarball_is_read_before_anything_is_done(tmp_path: Path) -> None:
    build = source(tmp_path)
    with pytest.raises(InputError, match=f"has the SHA-256 {build.sha256}, not 000") as caught:
        build_changes("director", build.model_copy(update={"sha256": "0" * 64}))
    assert caught.value.where == build.source
    with pytest.raises(InputError, match="cannot be read: No such file"):
        build_changes("director", build.model_copy(update={"source": f"{tmp_path}/missing.tar.gz"}))
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        build_changes("director", build.model_copy(update={"source": str(tmp_path)}))
    with (tmp_path / "large").open("w") as file:
        file.truncate(64 * 1024**2 + 1)
    with pytest.raises(InputError, match="more than a tarball may have"):
        build_changes("director", build.model_copy(update={"source": f"{tmp_path}/large"}))
