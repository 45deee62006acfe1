"""What outlives a reboot beside kernel arguments: settings and limits in files of our own, irqbalance."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bmtlib.setup.change import Command
from bmtlib.setup.lasting import irqbalance_off, limits_file, sysctl_file
from bmtlib.setup.system import System, UnitState, parse
from bmtlib.setup.system_script import LIMITS_FILE, SYSCTL_FILE

GOLDEN = Path(__file__).parents[1] / "golden" / "system"

SYSTEMCTL = """#!/bin/sh
[ "$1" != -q ] || shift
case $1 in is-enabled) cat "$KEEP/../irq";; *) echo "$1d" > "$KEEP/../irq"; esac
"""


def facts(name: str, **other: Any) -> System:
    return replace(parse(name, (GOLDEN / f"{name}.txt").read_text()), **other)


def test_settings_in_one_file_of_ours() -> None:
    (change,), skipped = sysctl_file("h", facts("rocky9"), {"net.b": "1 2", "net.a": "0"}, profile="recommended-web")
    assert change.do.stdin.splitlines()[1:] == ["net.a = 0", "net.b = 1 2"]
    assert change.what == f"file {SYSCTL_FILE}"
    assert (change.lasting, change.profile, skipped) == (True, "recommended-web", [])
    again = facts("rocky9", files={SYSCTL_FILE: change.do.stdin})
    assert sysctl_file("h", again, {"net.a": "0", "net.b": "1 2"}, profile="recommended-web") == ([], [])
    assert sysctl_file("h", again, {}, profile="recommended-web") == ([], [])


def test_a_file_of_that_name_which_is_not_ours_is_left_alone() -> None:
    theirs = facts("rocky9", files={SYSCTL_FILE: "net.a = 7\n"})
    changes, (skipped,) = sysctl_file("h", theirs, {"net.a": "0"}, profile="p")
    assert not changes
    assert "not ours" in skipped.why


@pytest.mark.parametrize(("nofile", "nr_open", "wanted"), [(4096, 1_048_576, 65_536), (4096, 20_000, 20_000)])
def test_limits_never_above_what_a_login_may_have(nofile: int, nr_open: int, wanted: int) -> None:
    (change,), _ = limits_file("h", facts("rocky8", nofile=nofile, nr_open=nr_open), profile="p")
    assert change.do.stdin.splitlines()[1:] == [f"root soft nofile {wanted}", f"root hard nofile {wanted}"]
    written = facts("rocky8", nofile=nofile, nr_open=nr_open, files={LIMITS_FILE: change.do.stdin})
    assert limits_file("h", written, profile="p") == ([], [])


def test_limits_that_are_high_enough() -> None:
    assert limits_file("h", facts("rocky8", nofile=65_536), profile="p") == ([], [])
    assert limits_file("h", facts("rocky8", nofile=20_000, nr_open=20_000), profile="p") == ([], [])


def run(it: Command | None) -> str:
    assert it is not None
    return subprocess.run(it.argv, capture_output=True, text=True, check=True, timeout=20).stdout


@pytest.mark.parametrize("state", ["disabled", "static", "masked"])
def test_irqbalance_that_does_not_start_at_boot_is_left_alone(state: str) -> None:
    system = facts("rocky9", units={"irqbalance.service": UnitState(active="active", enabled=state)})
    assert irqbalance_off("h", system, profile="p") == irqbalance_off("h", replace(system, units={}), profile="p") == []


def test_irqbalance_at_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keep").mkdir()
    (tmp_path / "systemctl").write_text(SYSTEMCTL)
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("KEEP", f"{tmp_path}/keep")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (change,) = irqbalance_off("h", facts("rocky9"), profile="p")
    (tmp_path / "irq").write_text("masked\n")
    run(change.undo)
    assert run(change.check) == "masked\n", "never disabled by us, so not enabled"
    run(change.do)
    assert run(change.check).strip() == change.expect == "disabled"
    for _ in range(2):
        run(change.undo)
        assert run(change.check) == "enabled\n"
