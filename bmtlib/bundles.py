"""Raw files of many hosts in one file: a zip archive with members `<host>/<name>`, that every unzip can open."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from bmtlib.errors import InputError, MachineError

# Of ab's rows: a seventh more than level 9 leaves, in a seventh of its time.
_LEVEL = 5
_NO_TIME = (1980, 1, 1, 0, 0, 0)  # the same files make the same archive


def check_name(host: str, name: str) -> None:
    """Raise MachineError where a host sent a file whose name leads elsewhere."""
    if "/" in name or name.startswith("."):
        raise MachineError(f"{host} sent a file with the name {name!r}")


def pack(files: Mapping[str, Mapping[str, bytes]]) -> bytes:
    """The archive of host -> file name -> content.

    >>> Bundle(io.BytesIO(pack({"client01": {"ab.rc": b"0"}}))).read("client01", "ab.rc")
    b'0'
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for host, contents in files.items():
            for name, content in contents.items():
                check_name(host, name)
                member = zipfile.ZipInfo(f"{host}/{name}", _NO_TIME)
                member.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(member, content)
    return buffer.getvalue()


class Bundle:
    """An archive, open for reading. InputError when it is damaged."""

    def __init__(self, path: Path | io.BytesIO) -> None:
        self._path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise self._damaged(error) from error
        self._members = set(self._archive.namelist())

    def read(self, host: str, name: str) -> bytes | None:
        """A file's content, None when the host has no such file here."""
        if f"{host}/{name}" not in self._members:
            return None
        try:
            return self._archive.read(f"{host}/{name}")
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise self._damaged(error) from error

    def names(self, host: str) -> list[str]:
        return [member.removeprefix(f"{host}/") for member in self._members if member.startswith(f"{host}/")]

    def hosts(self) -> set[str]:
        """Names of the hosts with a file here."""
        return {member.partition("/")[0] for member in self._members}

    def close(self) -> None:
        self._archive.close()

    def _damaged(self, error: Exception) -> InputError:
        return InputError(f"{self._path} cannot be read: {error}", where=str(self._path), todo="is the copy complete?")
