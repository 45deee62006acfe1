"""The way to a host as OpenSSH's configuration has it; and ends of it where there is no sshd."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from bmtlib.errors import InputError, MachineError
from bmtlib.hosts import connect as module
from bmtlib.hosts.connect import VARIABLE, Roads, Way, connect, options
from bmtlib.params.fleet import Login

if shutil.which("ssh") is None:
    pytest.skip("no ssh here", allow_module_level=True)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE_S", 0.02)


def login(target: str = "web01", **wishes: object) -> Login:
    return Login(name="web01", role="web", target=target, **wishes)  # type: ignore[arg-type]


def way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: str, who: Login | None = None) -> Way:
    (tmp_path / "config").write_text(config)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "config"))
    who = who or login()
    return Way(login=who, found=options(who))


def test_what_the_configuration_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "keys-web01").write_text("")
    (tmp_path / "id web01").write_text("")
    found = way(
        monkeypatch,
        tmp_path,
        f"""
Match host web*
  User bench
  Port 2222
  HostName %h.lab
  UserKnownHostsFile {tmp_path}/keys-%n {tmp_path}/absent
  IdentityFile "{tmp_path}/id %n"
  IdentityFile {tmp_path}/absent
  ProxyCommand nc -X '5%%' %h %p %r
""",
    )
    assert (found.user, found.host, found.port) == ("bench", "web01.lab", 2222)
    assert found.who == "web01 (web01.lab:2222)"
    assert found.names == ("[web01.lab]:2222", "web01.lab")
    assert found.command == "nc -X '5%' web01.lab 2222 bench"
    assert list(found.files("userknownhostsfile")) == [tmp_path / "keys-web01"]
    assert list(found.files("identityfile")) == [tmp_path / "id web01"]
    assert found.jump == ""


def test_what_the_testbed_says_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = "Host *\n  User bench\n  Port 2222\n"
    found = way(monkeypatch, tmp_path, config, login(user="root", port=22, key="/k"))
    assert (found.user, found.port, found.who) == ("root", 22, "web01")
    assert found.by_hand == f"ssh -F {tmp_path}/config -p 22 -i /k root@web01 true"


@pytest.mark.parametrize(
    ("target", "jump"), [("web01", "b,bench@bastion:2222"), ("bastion", "b,bench@bastion:2222"), ("gate", "")]
)
def test_a_jump_host_does_not_jump_through_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: str, jump: str
) -> None:
    config = "Host gate\n  HostName bastion\n  Port 2222\nHost *\n  ProxyJump b,bench@bastion:2222\n"
    assert way(monkeypatch, tmp_path, config, login(target)).jump == jump


def test_a_hostile_name_stays_one_word_of_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = "Host web01\n  HostName $(touch${f}x)\n  ProxyCommand nc %h %p\n"
    assert way(monkeypatch, tmp_path, config).command == "nc '$(touch${f}x)' 22"


def test_a_configuration_that_ssh_does_not_accept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"(?s)does not accept its configuration for web01: .*Bad configuration option"
    ):
        way(monkeypatch, tmp_path, "Prot 22\n")
    monkeypatch.setenv(VARIABLE, "/nowhere")
    with pytest.raises(InputError, match="BMT_SSH_CONFIG names no file: /nowhere"):
        options(login())


@contextmanager
def server(answer: bytes | None) -> Iterator[tuple[int, list[float]]]:
    """A port on this machine where each visitor is told `answer`; None: nothing, and the door stays open."""
    came: list[float] = []
    visitors: list[socket.socket] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                visitor = door.accept()[0]
                came.append(time.monotonic())
                visitors.append(visitor)
                if answer is not None:
                    with suppress(OSError):
                        visitor.sendall(answer)
                    visitor.close()

    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=serve, daemon=True).start()
        yield door.getsockname()[1], came
        with suppress(OSError):
            door.shutdown(socket.SHUT_RDWR)
    for visitor in visitors:
        visitor.close()


def refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: str, port: int | None = None) -> MachineError:
    (tmp_path / "config").write_text(config)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "config"))
    with pytest.raises(MachineError) as caught:
        connect(login("127.0.0.1", user="root", port=port), Roads())
    return caught.value


@pytest.mark.parametrize("answer", [b"", b"Exceeded MaxStartups\r\n", b"220 mail\r\n", b"\0\xff" * 500])
def test_who_is_no_sshd_is_asked_four_times(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: bytes) -> None:
    with server(answer) as (port, came):
        error = refused(monkeypatch, tmp_path, "", port)
    assert error.what.startswith(f"web01 (127.0.0.1:{port}) cannot be reached: ")
    assert f"-p {port} root@127.0.0.1 true" in error.todo
    assert len(came) == 4
    assert came[3] - came[2] > came[1] - came[0], "the pauses grow"


def test_who_does_not_speak_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started = time.monotonic()
    with server(None) as (port, came):
        error = refused(monkeypatch, tmp_path, "ConnectTimeout 1\n", port)
    assert "cannot be reached" in error.what
    assert len(came) == 4
    assert time.monotonic() - started < 12


def test_nobody_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    assert "cannot be reached" in refused(monkeypatch, tmp_path, "", port).what


def test_what_the_proxy_command_says_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    error = refused(monkeypatch, tmp_path, "ProxyCommand sh -c 'echo no way to %h >&2; exit 3'\n")
    assert "its ProxyCommand says: no way to 127.0.0.1" in error.what


def test_a_jump_host_out_of_reach_is_named_and_tried_once_for_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with server(b"") as (port, came):
        (tmp_path / "config").write_text(
            f"Host bastion\n  HostName 127.0.0.1\n  Port {port}\nHost web*\n  ProxyJump bastion\n"
        )
        monkeypatch.setenv(VARIABLE, str(tmp_path / "config"))
        roads = Roads()
        for name in ("web01", "web02", "web03"):
            with pytest.raises(MachineError, match=rf"{name} lies behind bastion \(127.0.0.1:{port}\) cannot be"):
                connect(Login(name=name, role="web", target=name), roads)
    assert len(came) == 4
