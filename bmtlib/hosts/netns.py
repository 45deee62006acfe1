"""Hosts as namespaces inside one sandbox that the kernel removes, whole, when its first process dies."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bmtlib.errors import MachineError
from bmtlib.hosts.gate import At, Held
from bmtlib.hosts.host import Host

# The sandbox's first process. It ends when its standard input does, so when our process is gone, however it went:
# the pipe's only writer is us. Then the kernel kills everything in the PID namespace and frees its networks and mounts.
# `sh` stays (no exec): as PID 1 it reaps the daemons' orphans while it waits for `cat`.
_INIT = """\
mount --make-rprivate / && mount -t tmpfs -o mode=755 bmt-lab /run && mkdir -p /run/bmt-lab || exit 1
cp -r --no-preserve=ownership /etc /run/bmt-lab/etc 2>/dev/null
mount -t sysfs bmt-sys /sys && ip link set lo up || exit 1
echo ready
cat >/dev/null
"""


@contextmanager
def _on_cpus(cpus: frozenset[int]) -> Iterator[None]:
    """Run the block on `cpus`. Affinity is the thread's and its children inherit it: cheaper than one taskset each."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def environment() -> dict[str, str]:
    """What a command finds on a host: our environment, the language that the parsers know, the system's programs.

    An ordinary user's PATH often lacks the sbin folders, where ip, nft and nginx are.
    """
    path = os.environ.get("PATH", "/usr/bin:/bin")
    return {**os.environ, "LC_ALL": "C", "PATH": f"{path}:/usr/local/sbin:/usr/sbin:/sbin"}


class _Process:
    """A command inside the sandbox. `nsenter` and what it started share a session: one signal ends both."""

    def __init__(self, argv: Sequence[str], stdin: bytes | None, cpus: frozenset[int]) -> None:
        self._stdin = stdin
        with _on_cpus(cpus):
            self._popen = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env=environment(),
            )

    def wait(self, timeout_s: float) -> tuple[int, bytes, bytes]:
        try:
            out, err = self._popen.communicate(self._stdin, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TimeoutError(f"no end after {timeout_s:g} s") from None
        except BaseException:
            self.kill()
            raise
        return self._popen.returncode, out, err

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._popen.communicate(timeout=5)


@dataclass(kw_only=True)
class NetnsHost(Host):
    """A lab host. `pid` is the outer process id of the process that holds its namespaces.

    `machine_cpus` are all CPUs that the lab may use.
    """

    pid: int
    machine_cpus: frozenset[int]
    rootless: bool

    def enter(self, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` on this host from outside."""
        return [*nsenter(self.pid, rootless=self.rootless, uts=True), *command]

    def start(
        self, command: Sequence[str], *, stdin: bytes | None = b"", cpus: frozenset[int] | None = None
    ) -> _Process:
        return _Process(self.enter(command), stdin, cpus or self.machine_cpus)

    def hold(self, script: str, *, program: str, at: At) -> Held:
        """Start a shell script that ends in `exec PROGRAM ...` on the CPUs of the host's load, and hold it: `gate`."""
        with _on_cpus(self.cpus):
            return Held(self.enter([]), script, program=program, at=at, env=environment())

    def proc_net(self, files: Sequence[str]) -> bytes:
        """Files below /proc/net as they are for this host, one behind the other, read from outside."""
        return b"".join(Path(f"/proc/{self.pid}/net/{name}").read_bytes() for name in files)

    def path(self, path: str) -> Path:
        """Where a file of this host can be read from outside, without entering it (proc(5), /proc/PID/root)."""
        return Path(f"/proc/{self.pid}/root{path}")


def nsenter(pid: int, *, rootless: bool, uts: bool = False) -> list[str]:
    """Words before a command that put it into the namespaces of `pid` (util-linux, nsenter(1))."""
    words = ["nsenter", f"--target={pid}", "--mount", "--net", "--pid", "--wd"]
    if uts:
        words.append("--uts")
    if rootless:
        words += ["--user", "--preserve-credentials"]
    return [*words, "--"]


class Sandbox:
    """One PID, mount, network (and, rootless, user) namespace that holds a whole lab.

    Needs no root where the kernel allows user namespaces. It has no link to the outer network. Raises MachineError
    when the kernel refuses.
    """

    def __init__(self, *, rootless: bool) -> None:
        self.rootless = rootless
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # what we start inherits it: ab, nginx, HAProxy
        user = ["--user", "--map-root-user"] if rootless else []
        flags = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self._unshare = subprocess.Popen(
            ["unshare", *user, *flags, "sh", "-c", _INIT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            start_new_session=True,
            env=environment(),
        )
        assert self._unshare.stdout is not None
        assert self._unshare.stderr is not None
        if self._unshare.stdout.readline() != b"ready\n":
            said = self._unshare.stderr.read().decode(errors="replace").strip()
            self.close()
            kind = "rootless" if rootless else "root"
            raise MachineError(
                f"this machine refuses a {kind} lab of network namespaces: {said}",
                where=f"unshare {' '.join(user + flags)}",
                todo="run `./bmt doctor`: it tests each part and says what to change",
            )
        self.pid = self._first_pid()

    def _first_pid(self) -> int:
        """Outer process id of the sandbox's PID 1: the only child of `unshare`."""
        children = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children")
        if children.exists():
            return int(children.read_text().split()[0])
        for status in Path("/proc").glob("[0-9]*/status"):  # kernels without CONFIG_PROC_CHILDREN
            with suppress(OSError):
                if re.search(rf"^PPid:\t{self._unshare.pid}$", status.read_text(), re.MULTILINE):
                    return int(status.parent.name)
        raise MachineError("the sandbox's first process cannot be found in /proc")

    def run(self, script: str, *, timeout_s: float = 60) -> str:
        """Run a shell script in the sandbox itself (not on a host); its standard output. MachineError if it fails."""
        process = _Process(
            [*nsenter(self.pid, rootless=self.rootless), "sh", "-s"],
            script.encode(),
            frozenset(os.sched_getaffinity(0)),
        )
        try:
            rc, out, err = process.wait(timeout_s)
        except TimeoutError as error:
            raise MachineError(f"the lab could not be built: {error}", todo="run `./bmt doctor`") from error
        if rc != 0:
            last = err.decode(errors="replace").strip().splitlines()[-5:]
            raise MachineError(f"the lab could not be built: {'; '.join(last)}", todo="run `./bmt doctor`")
        return out.decode()

    def outer_pids(self) -> dict[int, int]:
        """Process id inside the sandbox -> outside, for all its processes (NSpid of /proc/PID/status, proc(5))."""
        pids = {}
        for status in Path("/proc").glob("[0-9]*/status"):
            with suppress(OSError):
                numbers = re.search(r"^NSpid:\t(\d+)\t(\d+)", status.read_text(), re.MULTILINE)
                if numbers is None:
                    continue
                outer, inner = int(numbers[1]), int(numbers[2])
                # Other sandboxes use the same inner numbers: it must be the process that ours knows by this number.
                if os.readlink(f"/proc/{outer}/ns/pid") == os.readlink(f"/proc/{self.pid}/root/proc/{inner}/ns/pid"):
                    pids[inner] = outer
        return pids

    def close(self) -> None:
        """End it. Returns when the kernel has killed every process in it."""
        if self._unshare.stdin and not self._unshare.stdin.closed:
            self._unshare.stdin.close()
        try:
            self._unshare.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._unshare.kill()  # --kill-child takes the rest along
            self._unshare.wait()
        for stream in (self._unshare.stdout, self._unshare.stderr):
            if stream:
                stream.close()

    @property
    def alive(self) -> bool:
        return self._unshare.poll() is None
