"""A cpio archive in the form "newc", from which a kernel fills its first root file system."""

from __future__ import annotations

import os
import stat
from typing import BinaryIO


class Archive:
    """Written entry by entry to `to`. Folders above an entry are made as needed; a name that is there is skipped.

    Source: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
    """

    def __init__(self, to: BinaryIO) -> None:
        self._to = to
        self._names: set[str] = set()

    def copy(self, path: str) -> None:
        """A file of this machine under its own name; a symbolic link, and what it points to."""
        path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        if path in self._names:
            return
        if os.path.islink(path):
            target = os.readlink(path)
            self.link(path, target)
            self.copy(os.path.join(os.path.dirname(path), target))
        else:
            with open(path, "rb") as file:
                self.file(path, file.read(), 0o755)

    def file(self, name: str, content: bytes, mode: int) -> None:
        self._entry(name, stat.S_IFREG | mode, content)

    def link(self, name: str, target: str) -> None:
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name: str, major: int, minor: int) -> None:
        self._entry(name, stat.S_IFCHR | 0o600, b"", (major, minor))

    def end(self) -> None:
        self._write("TRAILER!!!", 0, b"", (0, 0))

    def _entry(self, name: str, mode: int, content: bytes, device: tuple[int, int] = (0, 0)) -> None:
        if name in self._names:
            return
        parent = os.path.dirname(name)
        if parent != "/" and parent not in self._names:
            self._entry(parent, stat.S_IFDIR | 0o755, b"")
        self._names.add(name)
        self._write(name.lstrip("/"), mode, content, device)

    def _write(self, name: str, mode: int, content: bytes, device: tuple[int, int]) -> None:
        # inode mode uid gid links mtime size major minor rmajor rminor namesize check; 8 hexadecimal digits each
        numbers = (len(self._names), mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % number for number in numbers) + name.encode() + b"\0"
        self._to.write(head + b"\0" * (-len(head) % 4) + content + b"\0" * (-len(content) % 4))
