"""Each verdict of `bmt lint`, from a profile made for it."""

from __future__ import annotations

from typing import Any

import pytest

from bmtlib.params.profile import ROLES, Profile, Role
from bmtlib.setup.kernel_keys import CHECKED, known_keys
from bmtlib.setup.lint import Finding, lint

DEBIAN = (6, 1)
EL8 = (4, 18)


def profile(sysctl: dict[str, Any] | None = None, **more: Any) -> Profile:
    document: dict[str, Any] = {"title": "T", "source": "S"} | more
    document["sysctl"] = {key: {"value": value, "reason": "because"} for key, value in (sysctl or {}).items()}
    parts = {part: document[part] for part in ("nic", "irq", "steering", "cpu") if part in document}
    keys = [f"{part}.{key}" for part, wishes in parts.items() for key in wishes]
    document["reasons"] = {key: {"reason": "because"} for key in keys}
    return Profile.model_validate(document)


def findings(it: Profile, kernel: tuple[int, int] = DEBIAN, **how: Any) -> dict[str, Finding]:
    return {finding.key: finding for finding in lint(it, kernel, **how)}


def verdict(key: str, value: Any, kernel: tuple[int, int] = DEBIAN, also: Any = None, **how: Any) -> str:
    return findings(profile({key: value} | (also or {})), kernel, **how)[key].verdict


# --- Each verdict --------------------------------------------------------------------------------------------------


def test_a_setting_that_does_what_it_says() -> None:
    found = findings(profile({"net.core.somaxconn": 65535}))["net.core.somaxconn"]
    assert (found.verdict, found.value) == ("ok", "65535")
    assert found.reason.endswith("Default: 4096.")
    assert "ip-sysctl.rst, somaxconn" in found.source


def test_a_key_that_never_was() -> None:
    found = findings(profile({"net.core.netdev_weight": 10000}))["net.core.netdev_weight"]
    assert found.verdict == "absent"
    assert "net.core.dev_weight is meant" in found.reason


def test_a_key_that_is_gone() -> None:
    assert verdict("net.ipv4.tcp_tw_recycle", 1, EL8) == "absent"


def test_a_key_of_a_module() -> None:
    assert verdict("net.netfilter.nf_conntrack_max", 700000) == "absent"
    assert verdict("net.ipv4.vs.conn_reuse_mode", 3, role="web") == "absent"
    assert verdict("net.ipv4.vs.conn_reuse_mode", 3) == "absent", "nobody knows whether LVS is there"
    assert verdict("net.ipv4.vs.conn_reuse_mode", 3, role="director") == "ok"


def test_inert_because_of_another_setting() -> None:
    backlog = "net.ipv4.tcp_max_syn_backlog"
    assert verdict(backlog, 1000000) == "inert", "SYN cookies are the default"
    assert verdict(backlog, 1000000, also={"net.ipv4.tcp_syncookies": 1}) == "inert"
    assert verdict(backlog, 1000000, also={"net.ipv4.tcp_syncookies": 0}) == "ok"
    budget, usecs = "net.core.netdev_budget", "net.core.netdev_budget_usecs"
    assert verdict(budget, 100000, also={usecs: 5000}) == "inert"
    assert verdict(budget, 74400, also={usecs: 5000}) == "ok", "14.88 frames per microsecond at 10 Gbit/s"
    assert verdict(budget, 74401, also={usecs: 5000}) == "inert"
    assert verdict(budget, 100000) == "ok", "the default of Debian is 8000 us"
    assert verdict(budget, 100000, EL8) == "inert", "the default of EL8 is 2000 us"
    assert verdict(budget, 100000, (6, 18)) == "ok", "nobody knows the default"


def test_inert_because_the_larger_value_counts() -> None:
    every, single = "net.ipv4.conf.all.rp_filter", "net.ipv4.conf.eth0.rp_filter"
    assert verdict(every, 0) == "inert"
    assert verdict(every, 2) == "ok"
    assert verdict(single, 0, also={every: 2}) == "inert"
    assert verdict(single, 0) == "ok"
    assert verdict(single, 1, role="web") == "harmful"
    assert verdict(single, 1, role="client") == "ok"
    assert verdict(single, 2, role="web") == "ok"


@pytest.mark.parametrize(
    ("key", "value", "without"),
    [
        ("net.core.somaxconn", 250000, {"client"}),
        ("net.ipv4.tcp_syn_retries", 7, {"web"}),
        ("net.ipv4.ip_local_port_range", "1024 65535", {"web"}),
        ("net.ipv4.tcp_keepalive_time", 30, set(ROLES)),
        ("net.core.rmem_default", 253952, set(ROLES)),
        ("net.core.wmem_max", 16777216, set(ROLES)),
        ("net.core.rmem_max", 16777216, set()),
    ],
)
def test_inert_where_no_socket_looks_at_it(key: str, value: Any, without: set[Role]) -> None:
    assert {role for role in ROLES if verdict(key, value, role=role) == "inert"} == without
    assert (verdict(key, value) == "inert") == (without == set(ROLES)), "no role, no rule on it"


def test_the_first_buffer_of_tcp_is_named() -> None:
    found = findings(profile({"net.core.wmem_default": 253952}))["net.core.wmem_default"]
    assert found.reason == "TCP takes the second value of net.ipv4.tcp_wmem instead."


def test_lower_than_the_default() -> None:
    assert verdict("net.core.netdev_max_backlog", 999) == "lower-than-default"
    assert verdict("net.core.netdev_max_backlog", 1000) == "ok"
    assert verdict("net.core.somaxconn", 511) == "lower-than-default"
    assert verdict("net.core.somaxconn", 511, EL8) == "ok", "128 before Linux 5.4"
    assert verdict("net.core.netdev_budget_usecs", 5000) == "lower-than-default"
    assert verdict("net.core.netdev_budget_usecs", 5000, EL8) == "ok"
    assert verdict("net.core.netdev_budget_usecs", 5000, (6, 18)) == "unknown", "it follows the kernel's clock"
    assert verdict("net.ipv4.ip_local_port_range", "40000 60000") == "lower-than-default"
    assert verdict("fs.file-max", 2000000) == "lower-than-default"


def test_which_of_three_values_is_lower() -> None:
    key = "net.ipv4.tcp_rmem"
    found = findings(profile({key: "4096 16384 6291456"}))[key]
    assert (found.verdict, "16384 instead of 131072 (second value)." in found.reason) == ("lower-than-default", True)
    assert "instead of 87380" in findings(profile({key: "4096 16384 6291456"}), EL8)[key].reason
    assert verdict(key, "4096 131072 6291456") == "ok"


@pytest.mark.parametrize(
    ("key", "value", "gib"),
    [
        # Half of the slots of TCP's table, which are a power of two: one for each 128 KiB, rounded up.
        ("net.ipv4.tcp_max_orphans", 15000, "2 GiB"),
        ("net.ipv4.tcp_max_orphans", 16383, "2 GiB"),
        ("net.ipv4.tcp_max_orphans", 16384, "4 GiB"),
        ("net.ipv4.tcp_max_orphans", 262143, "32 GiB"),
        ("net.ipv4.tcp_mem", "46875 62500 93750", "4 GiB"),
    ],
)
def test_lower_than_a_default_that_follows_the_memory(key: str, value: Any, gib: str) -> None:
    found = findings(profile({key: value}))[key]
    assert found.verdict == "lower-than-default"
    assert f"hosts with more than {gib} of memory" in found.reason


def test_above_every_default_that_follows_the_memory() -> None:
    assert verdict("net.ipv4.tcp_max_tw_buckets", 262144) == "ok"


def test_tcp_mem_that_bounds_nothing() -> None:
    found = findings(profile({"net.ipv4.tcp_mem": "185688 247584 6291456"}))["net.ipv4.tcp_mem"]
    assert found.verdict == "inert"
    assert "24.0 GiB" in found.reason


def test_harmful() -> None:
    assert verdict("vm.swappiness", 100) == "harmful"
    assert verdict("vm.swappiness", 10) == "ok"
    assert verdict("net.ipv4.tcp_fin_timeout", 120) == "harmful"
    assert verdict("net.ipv4.tcp_fin_timeout", 30) == "ok"


def test_the_default_is_named_so() -> None:
    found = findings(profile({"net.ipv4.tcp_syncookies": 1}))["net.ipv4.tcp_syncookies"]
    assert (found.verdict, found.reason.startswith("The default.")) == ("ok", True)


def test_global_where_a_namespace_was_asked() -> None:
    it = profile(
        {"net.core.somaxconn": 65535, "net.core.netdev_max_backlog": 100000, "vm.swappiness": 100, "fs.file-max": 1},
        nic={"channels": 2},
        irq={"cpus": "all"},
        cpu={"governor": "performance"},
        steering={"rfs_entries": 1024, "rps_cpus": "all"},
    )
    found = {key: finding.verdict for key, finding in findings(it, namespace=True).items()}
    assert {key for key, verdict in found.items() if verdict == "global"} == {
        "net.core.netdev_max_backlog",
        "vm.swappiness",
        "fs.file-max",
        "irq.cpus",
        "cpu.governor",
        "steering.rfs_entries",
    }
    assert "global" not in {finding.verdict for finding in findings(it).values()}


def test_an_unknown_key_is_said_to_be_unknown() -> None:
    found = findings(profile({"net.core.somaxcon": 1, "kernel.pid_max": 1}))
    assert {finding.verdict for finding in found.values()} == {"unknown"}
    assert "did you mean 'net.core.somaxconn'?" in found["net.core.somaxcon"].reason
    assert found["kernel.pid_max"].reason == "Nothing is known of this key."


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("net.core.somaxconn", "many"),
        ("net.ipv4.tcp_max_orphans", "1e6"),
        ("net.ipv4.ip_local_port_range", "65535 1024"),
        ("net.ipv4.ip_local_port_range", "80 65535"),
        ("net.ipv4.ip_local_port_range", "1024"),
    ],
)
def test_what_the_kernel_refuses(key: str, value: str) -> None:
    found = findings(profile({key: value}))[key]
    assert (found.verdict, "The kernel refuses it" in found.reason) == ("inert", True)


def test_no_value_breaks_a_rule() -> None:
    values = ["0", "1", "-1", "0x10", "abc", "1 2", "1 2 3", "3 2 1 0", "99999999999999999999", "-1 -1 -1", "fq_codel"]
    for value in values:
        it = profile({key.replace("*", "eth0"): value for key in known_keys()})
        for kernel in (*CHECKED, (6, 18)):
            for role in (*ROLES, None):
                assert len(lint(it, kernel, role=role)) == len(known_keys())


# --- Cards, interrupts, CPUs, nginx --------------------------------------------------------------------------------


def test_cpu_0_is_isolated() -> None:
    assert findings(profile(cpu={"isolate": "0-12"}))["cpu.isolate"].verdict == "harmful"
    assert findings(profile(cpu={"isolate": "1-12"}))["cpu.isolate"].verdict == "ok"
    assert findings(profile(cpu={"isolate": "proxy"}))["cpu.isolate"].verdict == "ok"


def test_more_cpus_than_queues() -> None:
    found = findings(profile(nic={"channels": 4}, irq={"cpus": "6-10"}))["irq.cpus"]
    assert (found.verdict, "5 CPUs, and nic.channels gives the card 4 queues; 1 of" in found.reason) == ("inert", True)
    assert findings(profile(nic={"channels": 5}, irq={"cpus": "6-10"}))["irq.cpus"].verdict == "ok"
    assert findings(profile(nic={"channels": "auto"}, irq={"cpus": "6-10"}))["irq.cpus"].verdict == "ok"
    assert findings(profile(nic={"channels": 1}, irq={"cpus": "all"}))["irq.cpus"].verdict == "ok"


def test_txqueuelen_needs_a_fifo() -> None:
    nic = {"txqueuelen": 30000}
    assert findings(profile(nic=nic))["nic.txqueuelen"].verdict == "inert"
    fifo = profile({"net.core.default_qdisc": "pfifo_fast"}, nic=nic)
    assert findings(fifo)["nic.txqueuelen"].verdict == "ok"
    assert findings(profile(nic=nic), (6, 18))["nic.txqueuelen"].verdict == "unknown"


@pytest.mark.parametrize(
    ("somaxconn", "backlog", "expected"),
    [
        (65535, 65535, "ok"),
        (65534, 65535, "inert"),
        (None, 4096, "ok"),
        (None, 4097, "inert"),
        (500000, 65536, "harmful"),
        (500000, 300000, "harmful"),
        (128, 300000, "inert"),
    ],
)
def test_nginx_backlog(somaxconn: int | None, backlog: int, expected: str) -> None:
    it = profile({"net.core.somaxconn": somaxconn} if somaxconn else {}, nginx={"backlog": backlog})
    assert findings(it)["nginx.backlog"].verdict == expected


def test_nginx_connections_and_files() -> None:
    nginx = {"worker_connections": 16384, "worker_rlimit_nofile": 16384}
    assert findings(profile(nginx=nginx))["nginx.worker_connections"].verdict == "ok"
    assert (
        findings(profile(nginx=nginx | {"worker_rlimit_nofile": 16383}))["nginx.worker_connections"].verdict == "inert"
    )


def test_every_setting_of_a_profile_has_its_sentence() -> None:
    it = profile(
        nic={
            "channels": 2,
            "ring_rx": "max",
            "ring_tx": 256,
            "indirection": 2,
            "txqueuelen": 1000,
        },
        irq={"cpus": "all"},
        steering={"rps_cpus": "all", "rfs_entries": 1024, "xps": "spread"},
        cpu={"governor": "performance", "isolate": "proxy"},
        nginx={"keepalive_requests": 100},
    )
    found = findings(it)
    left_out = {"nic.coalesce", "nic.features", "nic.rx_flow_hash"}  # tables of their own
    for part in ("nic", "irq", "steering", "cpu"):
        wanted = {f"{part}.{key}" for key in type(getattr(it, part)).model_fields} - left_out
        assert wanted - {"cpu.kernel_args"} <= found.keys()
    assert it.nginx is not None
    assert {f"nginx.{key}" for key in type(it.nginx).model_fields} <= found.keys()
    assert all(finding.reason and finding.source for finding in found.values())
