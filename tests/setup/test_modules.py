"""Kernel modules: which are wished for; and the scripts, on stand-ins of the kernel's lists, modprobe and rmmod."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bmtlib.setup.change import Command
from bmtlib.setup.modules import module_changes
from bmtlib.setup.system import System, parse

GOLDEN = Path(__file__).parents[1] / "golden" / "system"


def bare(name: str = "rocky8", **modules: str) -> System:
    system = parse(name, (GOLDEN / f"{name}.txt").read_text())
    return replace(system, modules={**system.modules, **modules})


def test_what_is_loaded_is_left_alone() -> None:
    assert module_changes("director", ["ipvs", "conntrack"], bare(ip_vs="loaded"), namespace=False) == ([], [])
    assert module_changes("director", ["haproxy", "nft", "tls"], bare(), namespace=False) == ([], [])


def test_what_is_available_is_loaded() -> None:
    changes, skipped = module_changes("director", ["ipvs", "ipip", "conntrack"], bare("debian12"), namespace=False)
    assert [change.what for change in changes] == ["module nf_conntrack", "module ipip", "module ip_vs"]
    assert {change.scope for change in changes} == {"machine"}
    assert skipped == []


def test_a_shared_kernels_modules_are_left_alone() -> None:
    changes, (item,) = module_changes("director", ["ipvs"], bare(), namespace=True)
    assert changes == []
    assert (item.key, item.now, item.why) == (
        "module ip_vs",
        "available",
        "belongs to the whole machine; a lab leaves it alone",
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("rocky9", "kernel-modules-5.14.0-427.13.1.el9_4.x86_64"),
        ("ubuntu2404", "linux-modules-extra-6.8.0-48-generic"),
        ("debian12", "the distribution's own kernel"),
    ],
)
def test_one_that_the_kernel_has_not_is_named_with_what_may_bring_it(name: str, hint: str) -> None:
    changes, (item,) = module_changes("director", ["ipvs"], bare(name, ip_vs="absent"), namespace=False)
    assert changes == []
    assert item.why.endswith(f"it may come with {hint}")


# $TREE/modules is /proc/modules, $TREE/module /sys/module. ip_vs brings nf_conntrack and libcrc32c along.
_MODPROBE = """#!/bin/sh
load() {
  [ ! -d "$TREE/module/$1" ] || return
  mkdir -p "$TREE/module/$1/holders"; echo "$1 16384 0 - Live 0x0" >> "$TREE/modules"
}
if [ "$1" = -D ]; then
  [ "$2" != refused ] || { echo "modprobe: FATAL: Module refused not found in directory /lib/modules" >&2; exit 1; }
  echo "builtin nf_defrag_ipv6"
  for name in libcrc32c nf_conntrack $2; do echo "insmod /lib/modules/6.1.0-28-amd64/kernel/$name.ko.xz "; done
elif [ "$1" = ip_vs ]; then
  for name in libcrc32c nf_conntrack; do load $name; done
  [ ! -e "$TREE/breaks" ] || { echo "modprobe: ERROR: could not insert 'ip_vs': Cannot allocate memory" >&2; exit 1; }
  load ip_vs
  : > "$TREE/module/nf_conntrack/holders/ip_vs"
  : > "$TREE/module/libcrc32c/holders/nf_conntrack"; : > "$TREE/module/libcrc32c/holders/ip_vs"
else load "$1"; fi
"""
_RMMOD = """#!/bin/sh
[ -z "$(ls "$TREE/module/$1/holders")" ] && [ ! -e "$TREE/module/$1/used" ] || exit 1
rm -r "$TREE/module/$1" "$TREE/module/"*"/holders/$1" 2>/dev/null
sed -i "/^$1 /d" "$TREE/modules"
"""


class Kernel:
    """A stand-in for the kernel's list of modules."""

    def __init__(self, folder: Path, shell: str) -> None:
        self.shell, self.tree, self.keep, self.bin = shell, folder / "tree", folder / "keep", folder / "bin"
        for path in (self.tree / "module", self.keep, self.bin):
            path.mkdir(parents=True)
        for name, text in (("modprobe", _MODPROBE), ("rmmod", _RMMOD)):
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)
        (self.tree / "modules").write_text("")

    def run(self, command: Command) -> subprocess.CompletedProcess[str]:
        script = command.argv[2].replace("/proc/modules", str(self.tree / "modules"))
        script = script.replace("/sys/module", str(self.tree / "module"))
        environment = {"PATH": f"{self.bin}:{os.environ['PATH']}", "TREE": str(self.tree), "KEEP": str(self.keep)}
        words = [self.shell, "-c", script, *command.argv[3:]]
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=20, check=False)

    def load(self, *names: str) -> None:
        for name in names:
            environment = {"PATH": os.environ["PATH"], "TREE": str(self.tree)}
            subprocess.run([self.bin / "modprobe", name], env=environment, check=True)

    def loaded(self) -> set[str]:
        listed = {line.split()[0] for line in (self.tree / "modules").read_text().splitlines()}
        assert listed == {path.name for path in (self.tree / "module").iterdir()}
        return listed


@pytest.fixture(params=["dash", "bash"])
def kernel(request: pytest.FixtureRequest, tmp_path: Path) -> Kernel:
    shell = shutil.which(request.param)
    if shell is None:
        pytest.skip(f"no {request.param} here")
    return Kernel(tmp_path, shell)


CHANGE = module_changes("director", ["ipvs"], bare("debian12"), namespace=False)[0][0]


def test_loaded_and_unloaded_with_all_it_brought(kernel: Kernel) -> None:
    assert kernel.run(CHANGE.do).returncode == 0
    assert kernel.run(CHANGE.check or CHANGE.do).stdout.strip() == "loaded"
    assert kernel.loaded() == {"libcrc32c", "nf_conntrack", "ip_vs"}
    # ipvsadm -A -s rr: the kernel itself loads the scheduler.
    kernel.load("ip_vs_rr")
    (kernel.tree / "module/ip_vs/holders/ip_vs_rr").touch()
    for _ in range(2):
        undone = kernel.run(CHANGE.undo)
        assert (undone.returncode, undone.stderr) == (0, "")
        assert kernel.loaded() == set()
        assert list(kernel.keep.iterdir()) == []


def test_those_of_others_stay(kernel: Kernel) -> None:
    kernel.load("libcrc32c", "dummy")
    assert kernel.run(CHANGE.do).returncode == 0
    kernel.load("veth")
    assert kernel.run(CHANGE.undo).returncode == 0
    assert kernel.loaded() == {"libcrc32c", "dummy", "veth"}


def test_undo_of_what_never_was_changes_nothing(kernel: Kernel) -> None:
    kernel.load("ip_vs")
    assert kernel.run(CHANGE.undo).returncode == 0
    assert kernel.loaded() == {"libcrc32c", "nf_conntrack", "ip_vs"}


def test_undo_after_it_was_broken_off(kernel: Kernel) -> None:
    """Killed while modprobe was at work: some of what it brings is there."""
    assert kernel.run(CHANGE.do).returncode == 0
    environment = {"PATH": os.environ["PATH"], "TREE": str(kernel.tree)}
    subprocess.run([kernel.bin / "rmmod", "ip_vs"], env=environment, check=True)
    assert kernel.run(CHANGE.undo).returncode == 0
    assert kernel.loaded() == set()


def test_done_again_after_it_was_broken_off(kernel: Kernel) -> None:
    kernel.load("libcrc32c")
    for _ in range(2):
        assert kernel.run(CHANGE.do).returncode == 0
    assert kernel.run(CHANGE.undo).returncode == 0
    assert kernel.loaded() == {"libcrc32c"}


def test_half_of_it_is_taken_back_at_once(kernel: Kernel) -> None:
    (kernel.tree / "breaks").touch()
    done = kernel.run(CHANGE.do)
    assert done.returncode != 0
    assert "Cannot allocate memory" in done.stderr
    assert kernel.loaded() == set()
    assert list(kernel.keep.iterdir()) == []


def test_one_in_use_is_named(kernel: Kernel) -> None:
    assert kernel.run(CHANGE.do).returncode == 0
    (kernel.tree / "module/ip_vs/used").touch()
    undone = kernel.run(CHANGE.undo)
    assert undone.returncode != 0
    assert undone.stderr.startswith("still in use:")
    assert "ip_vs" in undone.stderr
    (kernel.tree / "module/ip_vs/used").unlink()
    assert kernel.run(CHANGE.undo).returncode == 0
    assert kernel.loaded() == set()


def test_one_that_cannot_be_loaded_fails_with_the_programs_words(kernel: Kernel) -> None:
    do = replace(CHANGE.do, argv=(*CHANGE.do.argv[:4], "refused"))
    done = kernel.run(do)
    assert done.returncode != 0
    assert "Module refused not found" in done.stderr
