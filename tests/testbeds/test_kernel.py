"""Which kernel a virtual director boots: one that fits and is whole, of this machine, of the cache, or named."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest
from kernel_doubles import NEEDED, image, modules, tree

from bmtlib.errors import InputError, MachineError
from bmtlib.testbeds import kernel
from bmtlib.testbeds.kernel import cache_folder, cached_kernel, find_kernel, image_version, lacking


def test_the_cache_is_where_the_standard_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for given, folder in (("/var/c", "/var/c"), ("relative", "/home/me/.cache"), ("", "/home/me/.cache")):
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert str(cache_folder()) == f"{folder}/bmtlib"


# --- What a file tells ---------------------------------------------------------------------------------------------


def test_the_version_is_in_the_image(tmp_path: Path) -> None:
    path = tmp_path / "vmlinuz"
    path.write_bytes(image("6.8.0-31-generic"))
    assert image_version(path) == "6.8.0-31-generic"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is not an x86 kernel image"),
        (b"\x7fELF" + bytes(2000), "is not an x86 kernel image"),
        (image("6.1.0")[:-1], "is cut off: 1087 of 1088 bytes"),
        (image("6.1.0")[:0x206], "is cut off: 518 of 1088 bytes"),
        (image("\0"), "does not name its version"),
        (image("../../etc"), "does not name its version"),
        (None, "cannot be read: No such file"),
    ],
)
def test_an_image_that_is_none(tmp_path: Path, content: bytes | None, why: str) -> None:
    path = tmp_path / "vmlinuz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=why):
        image_version(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all files")
def test_an_image_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "vmlinuz"
    path.write_bytes(image("6.1.0"))
    path.chmod(0)
    with pytest.raises(ValueError, match="cannot be read: Permission denied"):
        image_version(path)


@pytest.mark.parametrize("suffix", [".ko", ".ko.gz", ".ko.xz", ".ko.zst"])
def test_modules_count_whatever_their_compression(tmp_path: Path, suffix: str) -> None:
    modules(tmp_path, *NEEDED, suffix=suffix)
    assert lacking(tmp_path) == []


def test_what_is_lacking(tmp_path: Path) -> None:
    assert lacking(tmp_path) == list(NEEDED)
    modules(tmp_path, "virtio_net", "ip_vs", "ip_vs_rr")
    (tmp_path / "modules.builtin").write_text("kernel/drivers/virtio/virtio-pci.ko\n")
    assert lacking(tmp_path) == []
    with (tmp_path / "modules.dep").open("a") as file:
        file.write("kernel/net/ip_vs.ko: kernel/lib/libcrc32c.ko\n")
    assert lacking(tmp_path) == []
    (tmp_path / "kernel/drivers/net/virtio_net.ko.xz").write_text("")
    assert lacking(tmp_path) == ["virtio_net"]
    (tmp_path / "modules.dep").write_text("kernel/drivers/net/ip_vs.ko.xz: kernel/lib/libcrc32c.ko.xz\n")
    assert lacking(tmp_path) == ["virtio_net", "ip_vs"]


# --- A file that was named -----------------------------------------------------------------------------------------


def test_a_named_kernel(tmp_path: Path, cache: Path) -> None:
    path = tree(tmp_path / "k", "6.1.0-mine")
    (tmp_path / "link").symlink_to(path)
    for wish in (path, tmp_path / "link"):
        found = find_kernel(str(wish))
        assert (found.version, found.image, found.modules) == ("6.1.0-mine", path, tmp_path / "k")


@pytest.mark.parametrize("folder", ["lib/modules", "usr/lib/modules"])
def test_a_named_kernel_beside_its_modules(tmp_path: Path, cache: Path, folder: str) -> None:
    place = tmp_path / "k" / folder / "6.1.0-rpm"
    modules(place, *NEEDED)
    (place / "vmlinuz").write_bytes(image("6.1.0-rpm"))
    found = find_kernel(str(place / "vmlinuz"))
    assert (found.modules / "lib/modules/6.1.0-rpm").samefile(place)


def test_a_named_kernel_that_does_not_fit(tmp_path: Path, cache: Path) -> None:
    path = tree(tmp_path / "k", "6.1.0-cloud", names=("virtio_pci", "virtio_net"))
    alone = tmp_path / "alone"
    alone.write_bytes(image("6.1.0-alone"))
    for wish, why in (
        (path, "lib/modules/6.1.0-cloud has no ip_vs"),
        (alone, "alone is 6.1.0-alone, and .*lib/modules/6.1.0-alone is not there"),
        (tmp_path / "absent", "cannot be read: No such file"),
        (tmp_path, "cannot be read: Is a directory"),
    ):
        with pytest.raises(InputError, match=why) as caught:
            find_kernel(str(wish))
        assert "name a bzImage" in caught.value.todo


# --- This machine's own, the cache ---------------------------------------------------------------------------------


def test_the_machines_own_comes_first(tmp_path: Path, cache: Path) -> None:
    tree(cache / "kernels/6.9.9", "6.9.9")
    assert find_kernel().version == "6.9.9"
    tree(tmp_path / "machine", "5.5.5-own")
    assert find_kernel() == kernel.Kernel(
        version="5.5.5-own", image=tmp_path / "machine/boot/vmlinuz-5.5.5-own", modules=tmp_path / "machine"
    )


def test_the_newest_of_the_cache(cache: Path) -> None:
    for version in ("6.1.0-9-amd64", "6.1.0-56-amd64", "5.15.0"):
        tree(cache / "kernels" / version, version)
    (cache / "kernels/lock").touch()
    tree(cache / "kernels/new/root", "7.0.0")  # half made: a process was killed
    found = cached_kernel()
    assert found
    assert (found.version, found.modules) == ("6.1.0-56-amd64", cache / "kernels/6.1.0-56-amd64")


@pytest.mark.parametrize("damage", ["boot", "lib/modules/6.1.0/modules.dep", "lib/modules/6.1.0/kernel", "lib", "cut"])
def test_a_damaged_kernel_of_the_cache_is_none(cache: Path, damage: str) -> None:
    root = cache / "kernels/6.1.0"
    path = tree(root, "6.1.0")
    assert cached_kernel()
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1050])
    else:
        (root / damage).rename(root / "gone")
    assert cached_kernel() is None


def test_without_a_kernel_and_without_leave_to_fetch_one(cache: Path) -> None:
    with pytest.raises(MachineError, match="own does not fit, and none is in the cache") as caught:
        find_kernel(fetch=False)
    assert "vmlinuz-5.5.5-own cannot be read: No such file" in caught.value.where
    assert str(cache) in caught.value.where
    assert "--testbed vm" in caught.value.todo
    assert not cache.exists()


def test_another_processor(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(MachineError, match="needs an x86-64 machine, and this is aarch64"):
        find_kernel()
