"""A kernel for the director's virtual machine: the machine's own if it fits, else one from the cache, else a package.

A kernel fits when it has IPVS and virtio_net, built in or as modules that are there. Nothing is installed: a package of
the distribution is unpacked into the cache, and the cache may be emptied at any time.
"""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bmtlib.errors import InputError, MachineError
from bmtlib.testbeds.kernel_package import NAME_ONE, Work, download

# What the guest cannot do without. Names as modules.dep and modules.builtin have them, "-" written as "_".
_NEEDED = ("virtio_pci", "virtio_net", "ip_vs")

_ROOT = Path("/")


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """`modules` is the folder that holds lib/modules/<version>, with modules.dep (depmod has run)."""

    version: str
    image: Path
    modules: Path


def cache_folder() -> Path:
    """Where downloads are kept; not made here. Source: XDG Base Directory Specification (a path must be absolute)."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    try:
        home = Path(given) if given.startswith("/") else Path.home() / ".cache"
    except RuntimeError as error:
        raise MachineError("no place for a cache: you have no home folder", todo="set XDG_CACHE_HOME") from error
    return home / "bmtlib"


def find_kernel(wish: str = "auto", *, fetch: bool = True, tell: Callable[[str], None] = lambda _: None) -> Kernel:
    """The kernel to boot. `wish`: "auto", or the path of an image (bzImage) whose modules are in ../lib/modules.

    `fetch` False: nothing is downloaded. `tell` gets a line before each step that takes seconds. InputError for a path
    that is no kernel or lacks what the guest needs; MachineError where no kernel is to be had.
    """
    if platform.machine() != "x86_64":
        raise MachineError(
            f"the testbed vm needs an x86-64 machine, and this is {platform.machine()}", todo="use the testbed netns"
        )
    if wish != "auto":
        return _named(Path(wish).expanduser())
    if here := own_kernel() or cached_kernel():
        return here
    if not fetch:
        raise MachineError(
            "no kernel for the virtual machine: this machine's own does not fit, and none is in the cache",
            where=f"{_own_obstacle()}; {cache_folder() / 'kernels'}",
            todo=f"`./bmt run quick --testbed vm` downloads one (100 MB); or {NAME_ONE}",
        )
    return _fetched(tell)


# --- What a file tells ---------------------------------------------------------------------------------------------


def image_version(image: Path) -> str:
    """Version of the kernel in a bzImage. ValueError, in words for a reader, when it is none, or cut off.

    Source: Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header".
    """
    try:
        with image.open("rb") as file:
            head = file.read(0x8000)
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise ValueError(f"{image} cannot be read: {error.strerror}") from error
    if head[0x202:0x206] != b"HdrS" or head[0x1FE:0x200] != b"\x55\xaa":
        raise ValueError(f"{image} is not an x86 kernel image (bzImage)")
    sectors, paragraphs = head[0x1F1] or 4, struct.unpack_from("<I", head, 0x1F4)[0]
    if size < (whole := (sectors + 1) * 512 + paragraphs * 16):
        raise ValueError(f"{image} is cut off: {size} of {whole} bytes")
    start = struct.unpack_from("<H", head, 0x20E)[0] + 0x200
    words = head[start : start + 256].split(b"\0")[0].decode("ascii", errors="replace").split()
    if not words or not re.fullmatch(r"\d[\w.+~-]*", words[0]):
        raise ValueError(f"{image} does not name its version")
    return words[0]


def lacking(folder: Path) -> list[str]:
    """Which of the modules that the guest needs are not in `folder` (lib/modules/<version>), nor built in."""

    def lines(name: str) -> list[str]:
        try:
            return (folder / name).read_text().splitlines()
        except OSError:
            return []

    there = {_module(line) for line in lines("modules.builtin")}
    for line in lines("modules.dep"):
        path, _, needs = line.partition(":")
        if _module(path) in _NEEDED and all(_whole(folder / name) for name in [path, *needs.split()]):
            there.add(_module(path))
    return [name for name in _NEEDED if name not in there]


def _module(path: str) -> str:
    """Name of a module by its file, whatever its compression: "kernel/net/ip-vs.ko.xz" is "ip_vs"."""
    return path.rpartition("/")[2].partition(".ko")[0].replace("-", "_")


def _whole(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _checked(image: Path, *roots: Path) -> Kernel:
    """The kernel of `image`, with modules under the first of `roots` that has some. ValueError: why it will not do."""
    version = image_version(image)
    root = next((root for root in roots if (root / "lib/modules" / version).is_dir()), None)
    if root is None:
        raise ValueError(f"{image} is {version}, and {roots[0] / 'lib/modules' / version} is not there")
    if missing := lacking(root / "lib/modules" / version):
        raise ValueError(f"{root / 'lib/modules' / version} has no {', '.join(missing)}, or no modules.dep")
    return Kernel(version=version, image=image, modules=root)


# --- The machine's own, a named one, the cache ---------------------------------------------------------------------


def _own() -> Kernel:
    release = platform.release()
    images = (_ROOT / "boot" / f"vmlinuz-{release}", _ROOT / "lib/modules" / release / "vmlinuz")
    return _checked(next((image for image in images if os.access(image, os.R_OK)), images[0]), _ROOT)


def own_kernel() -> Kernel | None:
    """The running kernel, where its image may be read (Ubuntu: by root only) and it has what the guest needs."""
    try:
        return _own()
    except ValueError:
        return None


def _own_obstacle() -> str:
    try:
        _own()
    except ValueError as error:
        return str(error)
    return ""


def _named(image: Path) -> Kernel:
    image = image.resolve()
    # <root>/boot/vmlinuz-V; <root>/usr/lib/modules/V/vmlinuz, <root>/lib/modules/V/vmlinuz (RPM); one without modules.
    roots = [image.parent.parent, *reversed(image.parents[3:5]), _ROOT]
    try:
        return _checked(image, *roots)
    except ValueError as error:
        raise InputError(
            f"this kernel cannot be the guest's: {error}",
            todo="name a bzImage whose modules (after depmod) are in ../lib/modules/<version>, or leave it at auto",
        ) from error


def _in_folder(root: Path) -> Kernel:
    """The kernel of an unpacked package: Debian's is in boot/, that of an RPM beside its modules."""
    images = [*root.glob("boot/vmlinuz-*"), *root.glob("lib/modules/*/vmlinuz")]
    if not images:
        raise ValueError(f"no vmlinuz in {root}")
    return _checked(images[0], root)


def cached_kernel() -> Kernel | None:
    """The newest whole kernel of the cache; None without one. One that is damaged is as good as none."""
    kernels = []
    try:
        folders = list((cache_folder() / "kernels").glob("[0-9]*"))
    except OSError:  # a cache that is not ours to read
        folders = []
    for folder in folders:
        with suppress(ValueError, OSError):
            kernels.append(_in_folder(folder))
    return max(kernels, key=lambda kernel: _by_number(kernel.version), default=None)


def _by_number(version: str) -> list[tuple[int, str]]:
    """Sorts 6.1.0-9 before 6.1.0-56."""
    return [(int(digits or -1), rest) for digits, rest in re.findall(r"(\d*)(\D*)", version)]


# --- Into the cache ------------------------------------------------------------------------------------------------


@contextmanager
def _locked(folder: Path, tell: Callable[[str], None]) -> Iterator[int]:
    """Alone in the cache: the lock's file descriptor. It ends with the processes that hold it, however they end."""
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("waiting for another process that fetches a kernel")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def _fetched(tell: Callable[[str], None]) -> Kernel:
    kernels = cache_folder() / "kernels"
    try:
        kernels.mkdir(parents=True, exist_ok=True)
        with _locked(kernels, tell) as lock:
            # Another process may have fetched it while this one waited.
            if kernel := cached_kernel():
                return kernel
            return _fetch_into(kernels, lock, tell)
    except OSError as error:
        raise MachineError(
            f"the kernel cannot be put into the cache: {error.strerror}",
            where=str(error.filename or kernels),
            todo="free some disk space or correct the owner, or name another place with XDG_CACHE_HOME",
        ) from error


def _fetch_into(kernels: Path, lock: int, tell: Callable[[str], None]) -> Kernel:
    """Download and unpack beside, look at it, then rename: what has a version as its name is whole. Needs the lock."""
    new = kernels / "new"  # left here only by a process that was killed: we hold the lock
    if new.exists():
        shutil.rmtree(new)
    new.mkdir()
    try:
        root = download(Work(folder=new, lock=lock, tell=tell))
        kernel = _in_folder(root)
        place = kernels / kernel.version
        if place.exists():  # damaged, or cached_kernel would have found it
            shutil.rmtree(place)
        os.sync()  # should the power fail, nothing that bears the name is empty
        root.rename(place)
    except ValueError as error:
        raise MachineError(f"the distribution's kernel package does not fit: {error}", todo=NAME_ONE) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return _in_folder(place)
