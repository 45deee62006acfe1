"""The profiles that come with the project."""

from __future__ import annotations

from typing import get_args

import pytest

from bmtlib.params.load_yaml import load_profile, names, profile_sets
from bmtlib.params.profile import Profile, Role, hardware_keys

ROLES = get_args(Role)


def test_sets_are_complete() -> None:
    assert profile_sets() == ["none", "recommended", "seed"]
    assert set(names("profiles")) == {f"{name}-{role}" for name in ("seed", "recommended") for role in ROLES}


@pytest.mark.parametrize("name", names("profiles"))
def test_nginx_settings_are_for_web_hosts_only(name: str) -> None:
    assert (load_profile(name).nginx is not None) == name.endswith("-web")


@pytest.mark.parametrize("role", ROLES)
def test_a_recommended_setting_holds_and_has_a_source(role: str) -> None:
    profile = load_profile(f"recommended-{role}")
    for setting in [*profile.sysctl.values(), *profile.reasons.values()]:
        assert setting.holds
        assert setting.source


def test_the_seeds_settings_are_all_there() -> None:
    client, web, director = (load_profile(f"seed-{role}") for role in ("client", "web", "director"))
    assert (len(client.sysctl), len(web.sysctl), len(director.sysctl)) == (27, 30, 31)

    def values(profile: Profile) -> dict[str, str]:
        return {key: setting.value for key, setting in profile.sysctl.items()}

    assert values(web) | {"kernel.numa_balancing": "0"} == values(director)
    different = {key for key in client.sysctl if values(client)[key] != values(web)[key]}
    assert different == {"net.core.somaxconn", "net.ipv4.tcp_max_orphans", "net.ipv4.tcp_max_tw_buckets"}
    assert set(web.sysctl) - set(client.sysctl) == {
        "net.core.netdev_budget",
        "net.core.netdev_weight",
        "net.core.netdev_budget_usecs",
    }
    assert values(web)["net.ipv4.tcp_mem"] == "185688 247584 6291456"


@pytest.mark.parametrize("role", ROLES)
def test_what_the_study_set_in_vain_is_marked(role: str) -> None:
    profile = load_profile(f"seed-{role}")
    for key in (
        "tcp_max_syn_backlog",
        "tcp_fin_timeout",
        "tcp_max_orphans",
        "tcp_rmem",
        "tcp_mem",
        "conf.all.rp_filter",
    ):
        assert not profile.sysctl[f"net.ipv4.{key}"].holds
    assert not profile.sysctl["vm.swappiness"].holds
    assert not profile.sysctl["net.netfilter.nf_conntrack_max"].holds


def test_the_seeds_chapter_on_cores_and_irqs() -> None:
    director = load_profile("seed-director")
    assert hardware_keys(director) == {
        "nic.channels": 4,
        "nic.ring_rx": 2047,
        "nic.ring_tx": 2047,
        "nic.txqueuelen": 30000,
        "irq.cpus": "6-10",
        "cpu.isolate": "0-12",
        "cpu.kernel_args": ("isolcpus=0-12",),
    }
    wrong = {key for key, reason in director.reasons.items() if not reason.holds}
    assert wrong == {"nic.txqueuelen", "cpu.isolate", "cpu.kernel_args"}


def test_listen_queues_fit_somaxconn() -> None:
    """A backlog above somaxconn is cut without a word (listen(2))."""
    for name in ("seed-web", "recommended-web"):
        profile = load_profile(name)
        assert profile.nginx is not None
        assert profile.nginx.backlog <= int(profile.sysctl["net.core.somaxconn"].value)
