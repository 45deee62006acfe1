"""What `bmt lint` says of the profiles that come with the project.

The full lists of the seed are what `bmt lint seed --kernel VERSION --json` prints, in tests/golden/lint/.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bmtlib.params.load_yaml import load_profile, names
from bmtlib.params.profile import ROLES, Role
from bmtlib.setup.kernel_keys import CHECKED, find, shown
from bmtlib.setup.lint import FINE, Finding, lint
from bmtlib.show_lint import lint_profile

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "lint"
DEBIAN = (6, 1)


def judged(name: str, kernel: tuple[int, int]) -> dict[str, Finding]:
    role: Any = name.rpartition("-")[2]
    return {finding.key: finding for finding in lint(load_profile(name), kernel, role=role)}


@pytest.mark.parametrize("kernel", CHECKED, ids=shown)
def test_the_list_of_the_seed(kernel: tuple[int, int], capsys: pytest.CaptureFixture[str]) -> None:
    assert lint_profile("seed", kernel=shown(kernel), namespace=False, as_json=True) == 1
    found = json.loads(capsys.readouterr().out)
    expected = json.loads((GOLDEN / f"seed-{shown(kernel)}.json").read_text())
    for row, wanted in zip(found, expected, strict=True):
        assert row == wanted, f"{row['profile']}: {row['key']}"


@pytest.mark.parametrize("kernel", CHECKED, ids=shown)
@pytest.mark.parametrize("role", ROLES)
def test_what_the_seed_set_in_vain_is_found(role: Role, kernel: tuple[int, int]) -> None:
    it = load_profile(f"seed-{role}")
    marked = {key for key, reason in [*it.sysctl.items(), *it.reasons.items()] if not reason.holds}
    missed = {key for key in marked if judged(f"seed-{role}", kernel)[key].verdict in FINE}
    # "Can be less than the default": 5000 us are less than Debian's 8000, and more than the 2000 of EL.
    below = {"net.core.netdev_budget_usecs"} & marked if kernel != DEBIAN else set()
    assert missed == below


@pytest.mark.parametrize(
    ("name", "key", "expected"),
    [
        ("seed-director", "net.core.netdev_weight", "absent"),
        ("seed-director", "net.ipv4.tcp_max_syn_backlog", "inert"),
        ("seed-director", "net.ipv4.tcp_fin_timeout", "harmful"),
        ("seed-web", "net.core.somaxconn", "ok"),
        ("seed-web", "nginx.backlog", "harmful"),
        ("seed-client", "net.ipv4.tcp_max_orphans", "lower-than-default"),
        ("seed-web", "net.ipv4.tcp_max_orphans", "lower-than-default"),
        ("seed-director", "net.core.netdev_budget", "inert"),
        ("seed-director", "net.core.netdev_budget_usecs", "lower-than-default"),
        ("seed-web", "net.ipv4.tcp_rmem", "lower-than-default"),
        ("seed-web", "net.ipv4.tcp_mem", "inert"),
        ("seed-director", "vm.swappiness", "harmful"),
        ("seed-director", "net.netfilter.nf_conntrack_max", "absent"),
        ("seed-director", "cpu.isolate", "harmful"),
        ("seed-director", "irq.cpus", "inert"),
        ("seed-director", "nic.txqueuelen", "inert"),
    ],
)
def test_the_known_mistakes_of_the_seed(name: str, key: str, expected: str) -> None:
    assert judged(name, DEBIAN)[key].verdict == expected


@pytest.mark.parametrize("kernel", CHECKED, ids=shown)
@pytest.mark.parametrize("role", ROLES)
def test_a_recommended_setting_is_ok(role: Role, kernel: tuple[int, int]) -> None:
    assert {finding.verdict for finding in judged(f"recommended-{role}", kernel).values()} == {"ok"}


def test_every_sysctl_of_the_project_is_known() -> None:
    keys = {key for name in names("profiles") for key in load_profile(name).sysctl}
    for path in (ROOT / "bmtlib").rglob("*.py"):
        keys |= set(re.findall(r'"(net\.(?:core|ipv4|ipv6|netfilter)\.[a-z0-9_.]*[a-z0-9])"', path.read_text()))
    assert len(keys) > 35
    assert [key for key in sorted(keys) if find(key) is None] == []
