"""Kernel arguments by grubby and update-grub: given to every kernel from the next boot on, and taken back exactly.

The shell is the real one. grubby and update-grub are stand-ins that keep what they are told in files; that of grubby
follows its manual: an argument that is added takes the place of those of its name.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bmtlib.setup.change import Change, Command
from bmtlib.setup.lasting import kernel_arguments
from bmtlib.setup.system import System, parse
from bmtlib.setup.system_script import GRUB_FILE

GOLDEN = Path(__file__).parents[1] / "golden" / "system"
ARGUMENTS = ("isolcpus=2-3", "nohz_full=2-3", "nosmt")

GRUBBY = f"""#!{sys.executable}
import os, pathlib, sys
entries = sorted(pathlib.Path(os.environ["BOOT"]).glob("*.conf"), reverse=True)
options = dict(word.split("=", 1) for word in sys.argv[1:])
name = lambda word: word.partition("=")[0]
if "--info" in options:
    chosen = entries if options["--info"] == "ALL" else entries[:1]
    for index, entry in enumerate(chosen):
        print(f'index={{index}}\\nkernel="/boot/{{entry.stem}}"\\nargs="{{entry.read_text()}}"\\nroot="/dev/sda"')
    sys.exit()
broken = pathlib.Path(os.environ["BOOT"]) / "broken"
for entry in entries:
    if options["--update-kernel"] not in ("ALL", f"/boot/{{entry.stem}}"):
        continue
    words = entry.read_text().split()
    for word in options.get("--remove-args", "").split():
        words = [old for old in words if old != word and ("=" in word or name(old) != word)]
    for word in options.get("--args", "").split():
        words = [old for old in words if name(old) != name(word)] + [word]
    entry.write_text(" ".join(words))
    if "--args" in options and broken.exists():
        sys.exit("no space left on device")
"""
# As grub-mkconfig does: the files are read as shell, and each kernel gets a line.
UPDATE_GRUB = """#!/bin/sh
[ ! -e "$BOOT/broken" ] || { echo "/usr/sbin/grub-probe: error: failed" >&2; exit 1; }
GRUB_CMDLINE_LINUX="console=ttyS0"
for file in "$ETC/grub.d/"*.cfg; do [ ! -e "$file" ] || . "$file"; done
for kernel in 6.1.0-21 6.1.0-18; do
  printf '\\tlinux\\t/vmlinuz-%s root=UUID=1 ro %s quiet\\n' $kernel "$GRUB_CMDLINE_LINUX"
done > "$BOOT/grub.cfg"
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `bin` (the stand-ins, found first), `boot`, `keep` and `etc`."""
    for name in ("bin", "boot", "keep", "etc"):
        (tmp_path / name).mkdir()
    for name, text in (("grubby", GRUBBY), ("update-grub", UPDATE_GRUB)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    for key in ("boot", "keep", "etc"):
        monkeypatch.setenv(key.upper(), str(tmp_path / key))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return tmp_path


def facts(name: str, **other: Any) -> System:
    return replace(parse(name, (GOLDEN / f"{name}.txt").read_text()), **other)


def run(it: Command | None, machine: Path, shell: str = "sh") -> subprocess.CompletedProcess[str]:
    """As a host runs it, with the paths that it changes below `machine`."""
    assert it is not None
    below = {GRUB_FILE: f"{machine}/etc/grub.d/90-bmt.cfg", "/boot/grub/grub.cfg": f"{machine}/boot/grub.cfg"}
    argv = [shell, *(below.get(word, word) for word in it.argv[1:])]
    return subprocess.run(argv, input=it.stdin, capture_output=True, text=True, check=False, timeout=20)


def listing(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def took(change: Change, machine: Path, shell: str = "sh") -> bool:
    return " ".join(run(change.check, machine, shell).stdout.split()) == change.expect


@pytest.fixture
def kernels(machine: Path) -> Path:
    """Two kernels of a RHEL; the older one has an argument of a name that is ours, and one much like it."""
    boot = machine / "boot"
    (boot / "vmlinuz-5.14.0-427.conf").write_text("root=/dev/sda ro crashkernel=1G-4G:192M $tuned_params")
    (boot / "vmlinuz-5.14.0-362.conf").write_text("root=/dev/sda isolcpus=1 nosmt=force ro isolcpus_not=2")
    return boot


def arguments(name: str, **other: Any) -> Change:
    (change,), skipped = kernel_arguments("h", facts(name, **other), ARGUMENTS, profile="p")
    assert not skipped
    assert (change.scope, change.lasting, change.profile) == ("reboot", True, "p")
    return change


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_grubby_and_back(machine: Path, kernels: Path, shell: str) -> None:
    before = {name: sorted(text.split()) for name, text in listing(kernels).items()}
    change = arguments("rocky9")
    assert not took(change, machine, shell)
    for _ in range(2):  # the second time as after an apply that was broken off
        assert run(change.do, machine, shell).returncode == 0
        assert took(change, machine, shell)
    for text in listing(kernels).values():
        assert set(ARGUMENTS) <= set(text.split())
        assert not {"isolcpus=1", "nosmt=force"} & set(text.split())
    for _ in range(2):
        done = run(change.undo, machine, shell)
        assert (done.returncode, done.stderr) == (0, "")
        assert {name: sorted(text.split()) for name, text in listing(kernels).items()} == before
    assert listing(machine / "keep") == {}


def test_grubby_undo_of_what_was_never_done(machine: Path, kernels: Path) -> None:
    """Also where the host's owner has given such an argument meanwhile."""
    (kernels / "vmlinuz-5.14.0-427.conf").write_text(f"ro {' '.join(ARGUMENTS)}")
    before = listing(kernels)
    assert run(arguments("rocky9").undo, machine).returncode == 0
    assert listing(kernels) == before


def test_grubby_that_fails_half_way_is_taken_back(machine: Path, kernels: Path) -> None:
    before = {name: sorted(text.split()) for name, text in listing(kernels).items()}
    (kernels / "vmlinuz-5.14.0-362.conf").write_text("ro quiet")  # nothing to be put back, which would fail, too
    before["vmlinuz-5.14.0-362.conf"] = ["quiet", "ro"]
    (kernels / "broken").touch()
    done = run(arguments("rocky9").do, machine)
    assert done.returncode == 1
    assert "no space left" in done.stderr
    (kernels / "broken").unlink()
    assert {name: sorted(text.split()) for name, text in listing(kernels).items()} == before


def test_grubby_undo_after_kernels_came_and_went(machine: Path, kernels: Path) -> None:
    change = arguments("rocky9")
    run(change.do, machine)
    (kernels / "vmlinuz-5.14.0-427.conf").rename(kernels / "vmlinuz-5.14.0-503.conf")
    assert run(change.undo, machine).returncode == 0
    assert listing(kernels)["vmlinuz-5.14.0-503.conf"] == "root=/dev/sda ro crashkernel=1G-4G:192M $tuned_params"


def test_grubby_without_any_kernel(machine: Path) -> None:
    done = run(arguments("rocky9").do, machine)
    assert (done.returncode, done.stderr) == (1, "grubby knows no kernel of this host\n")


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize("present", [None, "# an older one\n"])
def test_update_grub_and_back(machine: Path, shell: str, present: str | None) -> None:
    folder = machine / "etc" / "grub.d"
    if present is not None:
        folder.mkdir()
        (folder / "90-bmt.cfg").write_text(present)
    subprocess.run([machine / "bin" / "update-grub"], check=True)
    before = listing(machine / "etc"), listing(machine / "boot"), folder.exists()
    change = arguments("debian12")
    assert not took(change, machine, shell)
    for _ in range(2):
        assert run(change.do, machine, shell).returncode == 0
        assert took(change, machine, shell)
    menu = (machine / "boot" / "grub.cfg").read_text()
    assert menu.count("ro console=ttyS0 isolcpus=2-3 nohz_full=2-3 nosmt quiet") == 2
    for _ in range(2):
        done = run(change.undo, machine, shell)
        assert (done.returncode, done.stderr) == (0, "")
        assert (listing(machine / "etc"), listing(machine / "boot"), folder.exists()) == before
    assert listing(machine / "keep") == {}


def test_update_grub_undo_of_what_was_never_done(machine: Path) -> None:
    (machine / "boot" / "broken").touch()
    assert run(arguments("debian12").undo, machine).returncode == 0
    assert listing(machine / "etc") == {}


def test_update_grub_that_fails_leaves_nothing(machine: Path) -> None:
    subprocess.run([machine / "bin" / "update-grub"], check=True)
    (machine / "boot" / "broken").touch()
    before = listing(machine / "etc"), listing(machine / "boot")
    change = arguments("debian12")
    done = run(change.do, machine)
    assert done.returncode == 1
    assert "grub-probe: error: failed" in done.stderr
    assert (listing(machine / "etc"), listing(machine / "boot"), listing(machine / "keep")) == (*before, {})
    assert run(change.undo, machine).returncode == 0


def test_update_grub_that_cannot_be_undone_says_so_and_can_later(machine: Path) -> None:
    change = arguments("debian12")
    run(change.do, machine)
    (machine / "boot" / "broken").touch()
    done = run(change.undo, machine)
    assert done.returncode != 0
    assert "update-grub failed" in done.stderr
    (machine / "boot" / "broken").unlink()
    assert run(change.undo, machine).returncode == 0
    assert "isolcpus" not in (machine / "boot" / "grub.cfg").read_text()


def test_the_menu_must_give_them_to_every_kernel_as_whole_words(machine: Path) -> None:
    change = arguments("debian12")
    menu = machine / "boot" / "grub.cfg"
    whole = f"\tlinux\t/vmlinuz ro {' '.join(ARGUMENTS)}\n"
    menu.write_text(whole + whole)
    assert took(change, machine)
    for damaged in (whole.replace("2-3", "2-31"), whole.replace("nosmt", "nosmt=force"), "\tlinux /vmlinuz ro\n"):
        menu.write_text(whole + damaged)
        assert not took(change, machine)


def test_arguments_that_the_kernel_has() -> None:
    for name in ("rocky8", "debian12"):
        assert kernel_arguments("h", facts(name, cmdline=("ro", *ARGUMENTS)), ARGUMENTS, profile="p") == ([], [])


def test_arguments_that_wait_for_a_reboot_are_named_and_given_once() -> None:
    rocky = facts("rocky8", boot_args=("ro", *ARGUMENTS))
    text = arguments("debian12").do.stdin
    debian = facts("debian12", files={GRUB_FILE: text})
    for system in (rocky, debian):
        changes, (waits,) = kernel_arguments("h", system, ARGUMENTS, profile="p")
        assert not changes
        assert "from the next boot on" in waits.why


@pytest.mark.parametrize(("tools", "words"), [(("grub2-mkconfig",), "grub2-mkconfig -o"), ((), "boot loader's")])
def test_without_a_tool_the_words_to_type_are_named(tools: tuple[str, ...], words: str) -> None:
    changes, (named,) = kernel_arguments("h", facts("rocky9", boot_tools=tools), ARGUMENTS, profile="p")
    assert not changes
    assert words in named.why
    assert " ".join(ARGUMENTS) in named.why


def test_what_was_there_of_the_same_name_is_told() -> None:
    assert arguments("rocky9", cmdline=("ro", "isolcpus=1", "nosmt")).before == "isolcpus=1 nosmt"
    assert arguments("rocky9").before is None
