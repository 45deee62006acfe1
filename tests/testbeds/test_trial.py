"""What is made of a kernel's refusals. Asking a kernel is for the lab's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmtlib.testbeds.trial import advice, refusals

ALL_WELL = dict.fromkeys(("namespaces", "overlay", "sysfs", "veth", "bridge", "nft", "rps"), "")


def test_refusals() -> None:
    assert refusals(ALL_WELL) == {}
    assert refusals(ALL_WELL | {"rps": "Permission denied"}) == {}
    assert refusals(ALL_WELL | {"veth": "Not supported"}) == {"veth": "Not supported"}


@pytest.mark.parametrize(
    ("name", "forbids", "allows"),
    [
        ("kernel/unprivileged_userns_clone", "0", "1"),
        ("user/max_user_namespaces", "0", "1000"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
    ],
)
def test_the_setting_that_forbids_is_named(tmp_path: Path, name: str, forbids: str, allows: str) -> None:
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(f"{forbids}\n")
    refused = {"namespaces": "Operation not permitted"}
    assert f"sysctl {name.replace('/', '.')}=" in advice(refused, rootless=True, sysctls=tmp_path)
    assert "sysctl" not in advice(refused, rootless=False, sysctls=tmp_path)
    (tmp_path / name).write_text(f"{allows}\n")
    assert "sysctl" not in advice(refused, rootless=True, sysctls=tmp_path)


def test_missing_modules_are_named(tmp_path: Path) -> None:
    said = advice({"nft": "No such file", "bridge": "Unknown device type"}, rootless=False, sysctls=tmp_path)
    assert "modprobe -a nf_tables nft_hash nft_fwd_netdev bridge" in said


def test_what_no_module_cures(tmp_path: Path) -> None:
    assert "--privileged" in advice({"namespaces": "refused", "veth": "x"}, rootless=True, sysctls=tmp_path)
    assert "--privileged" in advice({"sysfs": "Permission denied"}, rootless=False, sysctls=tmp_path)
