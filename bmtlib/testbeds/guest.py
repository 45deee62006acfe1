"""What a virtual director boots: an initramfs packed from this machine's own programs, kernel modules, and /init.

The guest's root lies in its memory. It has no disk and sees no file of this machine, so it works the same for root and
for an ordinary user, and with every QEMU and kernel: those of some distributions lack 9p and virtiofs.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import BinaryIO

from bmtlib.errors import MachineError
from bmtlib.hosts.netns import environment
from bmtlib.testbeds.archive import Archive
from bmtlib.testbeds.kernel import Kernel

# What scripts of ours run on a director beside the programs of programs.tsv. One that this machine lacks is left out.
_TOOLS = (
    "sh cat cp mv rm mkdir rmdir ln ls chmod chown touch sleep date head tail wc tr cut sort uniq sed grep awk "
    "sha256sum base64 tee env setsid timeout tar mount umount hostname find xargs mktemp readlink dirname basename "
    "df flock sync id stat uname true false seq od ps pgrep dmesg nproc lsmod insmod lscpu kill printf test nice chrt "
    "cmp diff ip ss nstat nft ethtool ipvsadm haproxy socat taskset sysctl modprobe sshd"
)
_REQUIRED = (
    "sh cat mkdir rm mv sleep date awk sed grep tar mount insmod ip ss nstat ethtool ipvsadm haproxy socat taskset "
    "sysctl sha256sum base64 flock sshd"
)

# Opened by name at run time, so ldd does not show them: glibc's lookup of users (before 2.34), and the halves of sshd
# that OpenSSH 9.8 and later start.
_BY_NAME = (
    "/lib*/libnss_files.so.2",
    "/lib*/*-linux-gnu*/libnss_files.so.2",
    "/usr/lib*/openssh/sshd-*",
    "/usr/libexec/openssh/sshd-*",
)

_MODULES = (
    "virtio_pci virtio_net virtio_rng ip_vs ip_vs_rr ip_vs_wrr ip_vs_lc ip_vs_wlc ip_vs_sh ip_vs_mh nf_conntrack ipip "
    "nf_tables nft_hash nft_fwd_netdev nft_ct nft_counter"
)
_NEEDED_MODULES = frozenset({"virtio_pci", "virtio_net", "ip_vs"})

_INIT = Path(__file__).with_name("guest_init.sh")

_SSHD = """\
ListenAddress {address}
HostKey /etc/bmt/host_key
AuthorizedKeysFile /etc/bmt/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UseDNS no
MaxSessions 100
PidFile /run/sshd.pid
"""

_ACCOUNTS = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nsshd:x:74:74:sshd:/var/empty:/bin/false\n"
    "nobody:x:65534:65534:nobody:/:/bin/false\n",
    "/etc/group": "root:x:0:\nsshd:x:74:\nnogroup:x:65534:\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "/etc/hosts": "127.0.0.1 localhost\n",
}


@dataclass(frozen=True, kw_only=True)
class Guest:
    """What tells one guest from another. `network` is a shell script; keys are in OpenSSH's own text form.

    `module_options`: module name -> its parameters, e.g. {"ip_vs": "conn_tab_bits=16"}.
    """

    hostname: str
    address: str
    network: str
    host_key: str
    authorized_key: str
    module_options: Mapping[str, str]
    nofile: int


def write_initramfs(to: BinaryIO, guest: Guest, kernel: Kernel) -> None:
    """Write the archive (cpio "newc", not compressed: unpacking costs an emulated CPU more than reading).

    Raises MachineError when this machine lacks a program or the kernel a module that a director needs.
    """
    archive = Archive(to)
    for folder in ("/bin", "/sbin", "/lib", "/lib32", "/lib64"):
        if os.path.islink(folder):
            archive.link(folder, os.readlink(folder))
    found = _programs()
    libraries = _libraries(found.values())
    for path in [*found.values(), *libraries]:
        archive.copy(path)
    for name, path in found.items():  # scripts name sshd by its path; all else is found in PATH
        if os.path.dirname(path) != "/usr/sbin":
            archive.link(f"/usr/sbin/{name}", path)
    modules = _module_files(kernel)
    for module in modules:
        archive.file(f"/modules/{module.name}", _unsigned(module.read_bytes()), 0o644)
    options = {
        f"/etc/bmt/{_file_of(name, modules)}.options": f"{text}\n" for name, text in guest.module_options.items()
    }
    texts = {
        **_ACCOUNTS,
        **options,
        "/etc/hostname": guest.hostname,
        "/etc/bmt/modules": "".join(f"/modules/{path.name}\n" for path in modules),
        "/etc/bmt/network.sh": guest.network,
        "/etc/bmt/sshd_config": _SSHD.format(address=guest.address),
        "/etc/bmt/host_key": guest.host_key,
        "/etc/bmt/authorized_keys": guest.authorized_key,
    }
    for name, text in texts.items():
        archive.file(name, text.encode(), 0o600)
    init = _INIT.read_text().replace("{nofile}", str(guest.nofile))
    archive.file("/init", init.encode(), 0o755)
    archive.device("/dev/console", 5, 1)
    archive.end()


def _programs() -> dict[str, str]:
    """Path of each program that the guest gets."""
    path = environment()["PATH"]
    found = {name: where for name in _TOOLS.split() if (where := shutil.which(name, path=path))}
    if missing := [name for name in _REQUIRED.split() if name not in found]:
        raise MachineError(
            f"the virtual director needs programs that this machine lacks: {', '.join(missing)}",
            todo="./bmt run SCENARIO --testbed vm   installs them; or see ./bmt doctor",
        )
    return found


def _libraries(programs: Iterable[str]) -> list[str]:
    """Shared libraries of `programs` and of what they open by name (ldd(1)), the dynamic linker among them."""
    by_name = [path for pattern in _BY_NAME for path in glob(pattern)]
    done = subprocess.run(
        ["ldd", *programs, *by_name], capture_output=True, text=True, errors="replace", check=False, env=environment()
    )
    libraries = dict.fromkeys(by_name)
    for line in done.stdout.splitlines():
        libraries |= dict.fromkeys(word for word in line.split() if word.startswith("/") and not word.endswith(":"))
    return list(libraries)


def _module_files(kernel: Kernel) -> list[Path]:
    """Files of _MODULES and of what they need, in the order of loading (modprobe(8) -D)."""
    files: dict[Path, None] = {}
    for name in _MODULES.split():
        command = ["modprobe", "-d", str(kernel.modules), "-S", kernel.version, "--show-depends", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
        if done.returncode != 0 and name in _NEEDED_MODULES:
            raise MachineError(
                f"kernel {kernel.version} has no module {name}: it cannot be a virtual director",
                where=str(kernel.modules),
                todo="name another with --set testbed.vm.kernel=PATH/TO/vmlinuz, or leave it at auto",
            )
        for line in done.stdout.splitlines():
            kind, _, path = line.strip().partition(" ")
            if kind == "insmod":
                files[Path(path.split()[0])] = None
    return list(files)


def _unsigned(module: bytes) -> bytes:
    """A module without its signature, whose check takes an emulated CPU 0.1 s each (kernel: module-signing.rst).

    The last 12 bytes before the mark describe the signature; their last four are its length, big endian.
    """
    mark = b"~Module signature appended~\n"
    if not module.endswith(mark):
        return module  # not signed, or compressed
    end = len(module) - len(mark)
    return module[: end - 12 - int.from_bytes(module[end - 4 : end], "big")]


def _file_of(module: str, files: Sequence[Path]) -> str:
    """The file of a module, whose names may differ in "-" and "_"."""
    return next((path.name for path in files if path.name.split(".")[0].replace("-", "_") == module), module)


def network_script(interfaces: Mapping[str, Sequence[str]]) -> str:
    """Addresses (with prefix) by interface, as a shell script for the guest."""
    lines = ["link set lo up"]
    for interface, addresses in interfaces.items():
        lines += [f"address add {address} dev {interface}" for address in addresses]
        lines.append(f"link set {interface} up")
    return f"printf '%s\\n' {shlex.join(lines)} | ip -batch -\n"
