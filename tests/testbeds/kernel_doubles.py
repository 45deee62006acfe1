"""Kernels that are none: images that hold nothing but a header, modules without content, and a distribution of them."""

from __future__ import annotations

import struct
from pathlib import Path

NEEDED = ("virtio_pci", "virtio_net", "ip_vs")

# What apt-get, dnf and the others do here: they write down how they are called, and serve what is in $SHELF. A package
# is a folder.
_STAND_INS = {
    "apt-get": """
case "$*" in
    *update*) touch "$SHELF/updated" ;;
    *download*)
        [ -e "$SHELF/slow" ] && sleep 0.5
        if [ -e "$SHELF/stale" ] && [ ! -e "$SHELF/updated" ]; then echo "E: 404  Not Found" >&2; exit 100; fi
        cp -r "$SHELF"/*.deb . ;;
esac""",
    "apt-cache": """
for name; do :; done
cat "$SHELF/$name.control" 2>/dev/null || { echo "E: No packages found" >&2; exit 100; }""",
    "dpkg-deb": '[ -e "$SHELF/full" ] && { echo "tar: No space left on device" >&2; exit 2; }; cp -r "$2"/* "$3"',
    "dnf": """
for word; do case $word in --destdir=*) to=${word#*=} ;; esac; done
cp -r "$SHELF"/*.rpm "$to" 2>/dev/null; true""",
    "rpm2cpio": 'echo "$1"',
    "cpio": 'read -r package; cp -r "$package"/* .',
    "depmod": """
modules=$2/lib/modules/$3
for name in virtio_pci virtio_net ip_vs; do
    for file in $(cd "$modules" && find kernel -name "$name.ko*"); do echo "$file:"; done
done > "$modules/modules.dep" """,
}


def image(version: str) -> bytes:
    """The header of a bzImage (boot.rst), and 64 bytes that stand for the kernel."""
    head = bytearray(1024)
    head[0x1F1] = 1  # sectors of the set-up code, without the first
    struct.pack_into("<I", head, 0x1F4, 64 // 16)
    head[0x1FE:0x200] = b"\x55\xaa"
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x20E, 0x300 - 0x200)
    text = f"{version} (build@host) #1 SMP".encode()
    head[0x300 : 0x300 + len(text)] = text
    return bytes(head) + bytes(64)


def modules(folder: Path, *names: str, suffix: str = ".ko.xz", dep: bool = True) -> None:
    """Module files in `folder` (lib/modules/<version>), with modules.dep unless depmod is still to run."""
    for name in names:
        path = folder / "kernel/drivers/net" / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("module")
    if dep:
        lines = [f"kernel/drivers/net/{name}{suffix}:\n" for name in names]
        (folder / "modules.dep").write_text("".join(lines))


def tree(root: Path, version: str, *, names: tuple[str, ...] = NEEDED, dep: bool = True) -> Path:
    """An unpacked kernel package of Debian in `root`; the path of its image."""
    path = root / f"boot/vmlinuz-{version}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image(version))
    modules(root / "lib/modules" / version, *names, dep=dep)
    return path


def distribution(folder: Path, *programs: str) -> tuple[Path, Path]:
    """A machine of stand-ins for `programs`: the folder that is its PATH, and the shelf of its packages."""
    shelf, bin_folder = folder / "shelf", folder / "bin"
    shelf.mkdir()
    bin_folder.mkdir()
    for name in programs:
        path = bin_folder / name
        path.write_text(f'#!/bin/sh\nSHELF={shelf}\necho "{name} $*" >> "$SHELF/calls"\n{_STAND_INS[name]}\n')
        path.chmod(0o755)
    return bin_folder, shelf


def calls(shelf: Path) -> list[str]:
    return (shelf / "calls").read_text().splitlines() if (shelf / "calls").exists() else []
