"""The form of a kernel that an emulated machine starts fastest: vmlinux, without the compression around it.

Unpacking itself takes a kernel 3 to 4 s on an emulated CPU. QEMU can start a bare vmlinux that has an entry for PVH.
"""

from __future__ import annotations

import lzma
import tempfile
import zlib
from pathlib import Path

from bmtlib.testbeds.kernel import Kernel, cache_folder

# Start of a compressed stream -> how to unpack it; the stream may be followed by other bytes.
_FORMS = (
    (b"\xfd7zXZ\x00", lambda data: lzma.LZMADecompressor().decompress(data)),
    (b"\x1f\x8b\x08", lambda data: zlib.decompressobj(wbits=31).decompress(data)),
)
# An ELF note of the owner "Xen" and of type 18, the 32-bit entry point for PVH (xen/include/public/elfnote.h).
_PVH = tuple(b"\x04\0\0\0" + size + b"\0\0\0" + b"\x12\0\0\0" + b"Xen\0" for size in (b"\x04", b"\x08"))


def bootable_image(kernel: Kernel) -> Path:
    """What to give QEMU as -kernel: the bare kernel, kept in the cache; the image itself where that cannot be had."""
    seen = kernel.image.stat()
    kept = cache_folder() / "vmlinux" / f"{kernel.version}-{seen.st_size}-{seen.st_mtime_ns}"
    if kept.exists():
        return kept
    plain = _plain(kernel.image.read_bytes())
    if plain is None:
        return kernel.image
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        # A folder, which goes with what is in it: a full disk leaves nothing half written.
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            (Path(folder) / kept.name).write_bytes(plain)
            (Path(folder) / kept.name).replace(kept)
    except OSError:  # no space: slower, and it works
        return kernel.image
    return kept


def _plain(image: bytes) -> bytes | None:
    """The vmlinux in a bzImage; None when it is packed in another way (zstd) or has no entry for PVH."""
    for magic, unpack in _FORMS:
        start = image.find(magic)
        while start >= 0:
            try:
                found = unpack(image[start:])
            except (lzma.LZMAError, zlib.error, EOFError):
                found = b""
            if found.startswith(b"\x7fELF") and any(note in found for note in _PVH):
                return found
            start = image.find(magic, start + 1)
    return None
