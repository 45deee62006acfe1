"""The distribution's stock kernel package, downloaded and unpacked into a folder; installed nowhere, needs no root."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bmtlib.errors import MachineError
from bmtlib.hosts.netns import environment
from bmtlib.programs import which

_NEEDS_MIB = 700  # package 70 to 200, unpacked 400 to 500; about 140 stay
_DOWNLOAD_S, _UNPACK_S = 900, 300

# A mirror that does not answer must not hold up the run for apt's own patience of several minutes.
_APT = ["-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20", "-o", "Acquire::https::Timeout=20"]

# What to do where no package serves; the key is that of the testbed.
NAME_ONE = "name a kernel that has IPVS and virtio_net: --set testbed.vm.kernel=/path/to/vmlinuz"

# Packages that stand for the newest stock kernel: Debian's has the first name (and provides the second), Ubuntu's the
# second. Ubuntu's kernel is in two packages; its third, linux-modules-extra, has nothing that we need.
_DEBIAN_NAMES = ("linux-image-amd64", "linux-image-generic")

# Of drivers/, what a virtual machine can use. The rest is three quarters of a kernel's modules.
_DRIVERS = {"block", "char", "net", "ptp", "virtio"}


@dataclass(frozen=True, kw_only=True)
class Work:
    """A folder to fetch a package into. `lock`: file descriptor that every program started here keeps open, so that the
    lock on the cache outlives us if we are killed while one of them still writes. `tell`: for lines about progress."""

    folder: Path
    lock: int
    tell: Callable[[str], None]

    def run(self, *command: str, timeout_s: float) -> str:
        """Standard output of a command. MachineError with its last lines when it fails."""
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
                env=environment(),
                pass_fds=[self.lock],
            )
        except FileNotFoundError as error:
            raise MachineError(f"{command[0]} is missing", todo="./bmt doctor") from error
        except subprocess.TimeoutExpired as error:
            raise MachineError(
                f"no kernel package: {command[0]} did not end within {timeout_s:g} s",
                todo="see that the package mirror answers, then try again",
            ) from error
        if done.returncode != 0:
            raise _failure(command[0], done.stderr.strip() or done.stdout.strip())
        return done.stdout


def download(work: Work) -> Path:
    """Fetch this distribution's kernel; the folder that then holds boot/ and lib/, below that of `work`.

    MachineError, with what to do, where that fails. Nothing outside of the folder is written.
    """
    free = shutil.disk_usage(work.folder).free // 2**20
    if free < _NEEDS_MIB:
        raise MachineError(
            f"no space for a kernel: {free} MiB free, {_NEEDS_MIB} MiB needed for a moment (about 140 MiB stay)",
            where=str(work.folder),
            todo="free some disk space, or name another place with XDG_CACHE_HOME",
        )
    root = work.folder / "root"
    root.mkdir()
    if which("apt-get") and which("dpkg-deb"):
        packages, unpack = _apt_download(work), ["dpkg-deb", "-x"]
    elif which("dnf"):
        packages, unpack = _dnf_download(work), ["sh", "-c", _UNPACK_RPM, "sh"]
    else:
        raise MachineError(
            "no kernel for the virtual machine: this machine has neither apt-get nor dnf to download one with",
            todo=NAME_ONE,
        )
    for package in packages:
        work.tell(f"unpacking {package.name}")
        work.run(*unpack, str(package), str(root), timeout_s=_UNPACK_S)
    _tidy(work, root)
    return root


# --- Debian, Ubuntu ------------------------------------------------------------------------------------------------


def image_packages(depends: str) -> list[str]:
    """Of the `Depends` of a package, those that hold a kernel or its modules.

    >>> image_packages("linux-image-6.1.0-56-amd64 (= 6.1.192-2)")
    ['linux-image-6.1.0-56-amd64']
    >>> image_packages("kmod, linux-base (>= 4.5ubuntu1~16.04.1), linux-modules-6.8.0-31-generic")
    ['linux-modules-6.8.0-31-generic']
    """
    return re.findall(r"\blinux-(?:image|modules)-\d[^\s,(|]*", depends)


def _apt_download(work: Work) -> list[Path]:
    """With the machine's package lists if they serve (fast), else with fresh ones of our own, which needs no root."""
    try:
        return _apt_with([], work)
    except MachineError:
        work.tell("apt-get update, with package lists of our own")
    own = work.folder / "apt"
    (own / "lists/partial").mkdir(parents=True)
    (own / "cache/archives/partial").mkdir(parents=True)
    options = [f"Dir::State::lists={own}/lists", f"Dir::Cache={own}/cache", "APT::Sandbox::User=root"]
    words = [word for option in options for word in ("-o", option)]
    # Without "Error-Mode=any", apt-get update is content with no list at all.
    work.run("apt-get", *_APT, *words, "-q", "-o", "APT::Update::Error-Mode=any", "update", timeout_s=_DOWNLOAD_S)
    return _apt_with(words, work)


def _apt_with(options: Sequence[str], work: Work) -> list[Path]:
    wanted = _wanted(options, work)
    work.tell(f"downloading {' '.join(wanted)}")
    for left in work.folder.glob("*.deb"):
        left.unlink()
    work.run("apt-get", *_APT, *options, "-q", "download", *wanted, timeout_s=_DOWNLOAD_S)
    return sorted(work.folder.glob("*.deb"))


def _wanted(options: Sequence[str], work: Work) -> list[str]:
    """The packages behind the name that stands for the newest kernel: Debian one, Ubuntu image and modules."""

    def behind(package: str) -> list[str]:
        shown = work.run("apt-cache", *options, "show", "--no-all-versions", package, timeout_s=60)
        match = re.search(r"^Depends: (.*)", shown, re.MULTILINE)
        return image_packages(match[1]) if match else []

    for name in _DEBIAN_NAMES:
        try:
            images = [package for package in behind(name) if package.startswith("linux-image-")]
        except MachineError:
            continue
        if images:
            return list(dict.fromkeys([*images, *(more for image in images for more in behind(image))]))
    raise MachineError(
        f"no kernel package: apt-cache knows neither {' nor '.join(_DEBIAN_NAMES)}",
        where="/etc/apt/sources.list and /etc/apt/sources.list.d",
        todo=NAME_ONE,
    )


# --- Fedora, Rocky, Alma, RHEL ---------------------------------------------------------------------------------------

# kernel-modules-core came with Fedora 38 and EL 9.2; before, its modules were in kernel-core. strict=0: one that the
# distribution has not is no failure.
_DNF = ["dnf", "-q", "download", "--setopt=strict=0", "--arch=x86_64"]
_RPM_NAMES = ["kernel-core", "kernel-modules-core", "kernel-modules"]


def _dnf_download(work: Work) -> list[Path]:
    work.tell(f"downloading {' '.join(_RPM_NAMES)}")
    said = work.run(*_DNF, f"--destdir={work.folder}", *_RPM_NAMES, timeout_s=_DOWNLOAD_S)
    if packages := sorted(work.folder.glob("*.rpm")):
        return packages
    raise MachineError("no kernel package: dnf finds no kernel-core", where=f"it said: {said[-500:]}", todo=NAME_ONE)


# Unpacks the package $1 into the folder $2. A file between the two programs, for a pipe would hide the first one's end.
_UNPACK_RPM = 'rpm2cpio "$1" > "$1.cpio" && cd "$2" && cpio --quiet -idm < "$1.cpio" && rm "$1.cpio"'


# --- Both ------------------------------------------------------------------------------------------------------------


def _tidy(work: Work, root: Path) -> None:
    """Both lib/ and usr/lib/ lead to the modules, drivers of hardware that no guest has are gone, depmod has run."""
    old, new = root / "lib/modules", root / "usr/lib/modules"
    for there, other, way in ((new, old, "../usr/lib/modules"), (old, new, "../../lib/modules")):
        if there.is_dir() and not other.exists():
            other.parent.mkdir(parents=True, exist_ok=True)
            other.symlink_to(way)
    for modules in (folder for folder in root.glob("lib/modules/*") if folder.is_dir()):
        kernel = modules / "kernel"
        shutil.rmtree(kernel / "sound", ignore_errors=True)
        shutil.rmtree(kernel / "drivers/net/wireless", ignore_errors=True)
        for drivers in kernel.glob("drivers/*"):
            if drivers.is_dir() and drivers.name not in _DRIVERS:
                shutil.rmtree(drivers)
        work.run("depmod", "-b", str(root), modules.name, timeout_s=60)


def _failure(program: str, said: str) -> MachineError:
    last = "\n    ".join(said.splitlines()[-4:])
    todo = "see that the machine reaches its package mirror, then try again"
    if "No space left" in said:
        todo = "free some disk space, or name another place with XDG_CACHE_HOME"
    elif "No such command: download" in said:
        todo = "sudo dnf install dnf-plugins-core"
    elif "cpio: " in said and "not found" in said:
        todo = "sudo dnf install cpio"
    return MachineError(f"no kernel package: {program} failed", where=f"it said: {last}", todo=todo)
