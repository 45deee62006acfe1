"""What goes into a guest: its programs with their libraries, its modules without signatures, its own files."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pytest

from bmtlib.errors import MachineError
from bmtlib.testbeds import guest
from bmtlib.testbeds.archive import Archive
from bmtlib.testbeds.kernel import Kernel


def test_a_program_comes_with_all_of_its_libraries() -> None:
    shell = shutil.which("bash") or ""
    libraries = guest._libraries([shell])
    said = subprocess.run(["ldd", shell], capture_output=True, text=True, check=True).stdout
    wanted = {word for word in said.split() if word.startswith("/")}
    assert wanted
    assert wanted <= set(libraries)
    to = io.BytesIO()
    archive = Archive(to)
    for path in [shell, *libraries]:
        archive.copy(path)  # each is a file or a link to one


def test_a_signature_is_cut_off_a_module() -> None:
    code, signature = b"\x7fELF" + bytes(100), b"s" * 300
    info = bytes(8) + len(signature).to_bytes(4, "big")
    assert guest._unsigned(code + signature + info + b"~Module signature appended~\n") == code
    assert guest._unsigned(code) == code


def test_network_of_the_guest() -> None:
    text = guest.network_script({"eth0": ["192.168.16.1/24"], "eth1": ["172.16.0.1/24"]})
    assert "'address add 192.168.16.1/24 dev eth0' 'link set eth0 up'" in text
    assert text.rstrip().endswith("ip -batch -")


def test_kernel_without_the_needed_modules_is_refused(tmp_path: Path) -> None:
    kernel = Kernel(version="6.1.0-none", image=tmp_path / "vmlinuz", modules=tmp_path)
    with pytest.raises(MachineError, match=r"kernel \S+ has no module virtio_pci"):
        guest._module_files(kernel)


def test_missing_programs_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "environment", lambda: {"PATH": "/nowhere"})
    with pytest.raises(MachineError, match=r"lacks: sh, cat.*sshd"):
        guest._programs()
