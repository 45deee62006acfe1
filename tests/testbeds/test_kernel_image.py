"""The bare kernel in a bzImage."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest

from bmtlib.testbeds.kernel import Kernel
from bmtlib.testbeds.kernel_image import bootable_image

PVH = b"\x04\0\0\0\x08\0\0\0\x12\0\0\0Xen\0" + bytes(8)
VMLINUX = b"\x7fELF" + bytes(2000) + PVH + bytes(2000)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "bmtlib"


def kernel(folder: Path, packed: bytes) -> Kernel:
    image = folder / "vmlinuz"
    image.write_bytes(b"MZ setup code, and a false start \x1f\x8b\x08" + bytes(50) + packed + b"trailing bytes")
    return Kernel(version="6.1", image=image, modules=folder)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_it_is_unpacked_once(pack: object, tmp_path: Path, cache: Path) -> None:
    found = kernel(tmp_path, pack(VMLINUX))  # type: ignore[operator]
    bare = bootable_image(found)
    assert bare.read_bytes() == VMLINUX
    assert cache in bare.parents
    stamp = bare.stat().st_mtime_ns
    assert bootable_image(found) == bare
    assert bare.stat().st_mtime_ns == stamp
    assert [path.name for path in bare.parent.iterdir()] == [bare.name]  # nothing half made beside it


@pytest.mark.parametrize("packed", [b"\x28\xb5\x2f\xfd zstd", lzma.compress(b"\x7fELF without an entry")])
def test_one_that_cannot_be_unpacked_or_started_bare_stays_as_it_is(packed: bytes, tmp_path: Path) -> None:
    found = kernel(tmp_path, packed)
    assert bootable_image(found) == found.image
