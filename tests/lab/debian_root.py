"""A Debian of its own as a host: made with debootstrap, kept between runs, in namespaces that leave nothing behind."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bmtlib.hosts.netns import NetnsHost, environment

RELEASE = "bookworm"
# Fetched once, for the installation proper is done in a network namespace without a way out.
PACKAGES = (
    *("apache2-utils", "curl", "ethtool", "haproxy", "iproute2", "iputils-arping", "ipvsadm", "kmod", "nftables"),
    *("nginx", "openssl", "procps", "socat"),
)

# $1 the root that is kept, $2 an empty folder. What is written goes to memory; the root itself stays as it is.
_INIT = """\
mount --make-rprivate / && ip link set lo up &&
  mount -t tmpfs -o size=3g bmt-root "$2" && mkdir "$2/new" "$2/work" "$2/root" &&
  mount -t overlay -o "lowerdir=$1,upperdir=$2/new,workdir=$2/work" bmt-root "$2/root" && cd "$2/root" &&
  mount -t proc bmt-proc proc && mount -t sysfs bmt-sys sys && mount --rbind /dev dev && mount -t tmpfs bmt-run run &&
  pivot_root . mnt && exec chroot . sh -c 'umount -l /mnt && echo ready && cat > /dev/null'
"""


def mirror() -> str:
    """Where this machine's own apt fetches this release from (apt-get(8), indextargets)."""
    command = ["apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = [line.split()[2] for line in said.splitlines() if line.startswith(f"{RELEASE} main ")]
    assert found, f"apt of this machine knows no mirror of Debian {RELEASE}; it says:\n{said}"
    return found[0]


def run(*command: str, timeout_s: float) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_s, env=environment())
    last = "\n".join((done.stdout + done.stderr).splitlines()[-8:])
    assert done.returncode == 0, f"`{' '.join(command)}` ended with {done.returncode}:\n{last}"


def kept_root() -> Path:
    """The root of a bare Debian, with the packages fetched and not installed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bmtlib"
    cache.mkdir(parents=True, exist_ok=True)
    root = cache / f"debian-{RELEASE}"
    with (cache / "debian.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            assert shutil.which("debootstrap", path=environment()["PATH"]), "apt-get install debootstrap"
            half = cache / f"debian-{RELEASE}.half"
            shutil.rmtree(half, ignore_errors=True)
            run("debootstrap", "--variant=minbase", "--include=systemd", RELEASE, str(half), mirror(), timeout_s=600)
            run(
                "chroot",
                str(half),
                "apt-get",
                "install",
                "-y",
                "--download-only",
                "--no-install-recommends",
                *PACKAGES,
                timeout_s=600,
            )
            # There is no way out of the namespace: apt is not to try it for long.
            (half / "etc/apt/apt.conf.d/90-no-retries").write_text('Acquire::Retries "0";\n')
            half.rename(root)
    return root


@contextmanager
def debian(folder: Path) -> Iterator[NetnsHost]:
    """A bare Debian 12 with networks, processes and files of its own; gone at the end, whatever happened."""
    unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"]
    process = subprocess.Popen(
        [*unshare, "sh", "-c", _INIT, "sh", str(kept_root()), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        assert process.stdout.readline() == b"ready\n", process.stderr.read().decode()
        pid = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
        cpus = frozenset(os.sched_getaffinity(0))
        yield NetnsHost(
            name="debian",
            role="web",
            machine="debian",
            namespace=True,
            addresses={},
            interfaces={},
            cpus=cpus,
            machine_cpus=cpus,
            run_id="run-1",
            state="/var/lib/bmt",
            pid=pid,
            rootless=False,
        )
    finally:
        process.stdin.close()
        process.wait(timeout=10)
        process.stdout.close()
        process.stderr.close()
