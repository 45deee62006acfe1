"""Kernel settings: what a host is asked, and which changes follow."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bmtlib.errors import ParseError
from bmtlib.setup.sysctl import (
    Setting,
    merged,
    new_key_change,
    parse_probe,
    probe,
    read_key,
    restore_keys,
    sysctl_change,
    tuning,
    write_keys,
)


def settings(**modes: str) -> dict[str, Setting]:
    """`net__core__x="writable 4096"` and so on."""
    found = {}
    for name, text in modes.items():
        key, (mode, _, value) = name.replace("__", "."), text.partition(" ")
        found[key] = Setting(key=key, mode=mode, value=None if mode == "absent" else value)
    return found


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_the_probe_reads_what_the_kernel_says(shell: str) -> None:
    """Several digits, several numbers, several words, words of text, an empty value, read-only, and a key not there."""
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    files = [Path("/proc/sys/kernel/osrelease")]
    files += sorted(Path("/proc/sys/net").glob("core/*")) + sorted(Path("/proc/sys/net/ipv4").glob("*"))
    values = {}
    for file in files:
        try:
            values[str(file.relative_to("/proc/sys")).replace("/", ".")] = file.read_text().partition("\n")[0]
        except OSError:
            continue  # a folder, or a key that can only be written
    asked = probe([*values, "net.core.no_such_key"])
    argv = [shell, *asked.argv[1:]]
    done = subprocess.run(argv, input=asked.stdin, capture_output=True, text=True, check=True, timeout=10)
    found = parse_probe(done.stdout)
    assert done.stderr == ""
    assert list(found) == [*values, "net.core.no_such_key"]
    assert found.pop("net.core.no_such_key") == Setting(key="net.core.no_such_key", mode="absent", value=None)
    assert found["kernel.osrelease"].mode == "readonly"
    for key, setting in found.items():
        assert setting.mode in ("writable", "readonly")
        assert setting.value == " ".join(values[key].split()), key
    assert any(" " in (setting.value or "") for setting in found.values())
    assert any(len(setting.value or "") > 3 for setting in found.values())


def test_probe_of_nothing() -> None:
    asked = probe([])
    assert subprocess.run(asked.argv, input="", capture_output=True, text=True, check=True).stdout == ""


@pytest.mark.parametrize(
    "text",
    [
        "\n",
        "net/core/somaxconn\n",
        "net/core/somaxconn\twritten\n",
        "net/core/somaxconn:4096\n",
        "net/core/somaxconn\twritable\t4096\n",
        "sh: 1: grep: not found\n",
        "net/core/somaxconn\twritable\nnet/core/other:1\n",
    ],
)
def test_an_answer_of_the_probe_that_is_none(text: str) -> None:
    with pytest.raises(ParseError, match="sysctl probe") as caught:
        parse_probe(text)
    assert caught.value.line_no == text.count("\n")


def test_one_key() -> None:
    (change,) = sysctl_change("web01", "net.ipv4.tcp_rmem", "4096 \t 8192  16384", {"net.ipv4.tcp_rmem": "1\t2\t3"})
    assert (change.before, change.want, change.expect) == ("1 2 3", "4096 8192 16384", "4096 8192 16384")
    assert change.do == write_keys({"net.ipv4.tcp_rmem": "4096 8192 16384"})
    assert change.undo == restore_keys({"net.ipv4.tcp_rmem": "1 2 3"})
    assert change.check == read_key("net.ipv4.tcp_rmem")


@pytest.mark.parametrize(("want", "now"), [("1", "1"), ("4096 1 2", "4096\t1\t2"), (" 7 ", "7\n")])
def test_nothing_to_do(want: str, now: str) -> None:
    assert sysctl_change("web01", "net.core.x", want, {"net.core.x": now}) == []


@pytest.mark.parametrize(("want", "now"), [("1", "11"), ("11", "1"), ("1 2", "12"), ("", "1")])
def test_something_to_do(want: str, now: str) -> None:
    assert len(sysctl_change("web01", "net.core.x", want, {"net.core.x": now})) == 1


WISH = {
    "net.core.somaxconn": ("65535", "listen queues"),
    "net.ipv4.tcp_rmem": ("1 2 3", "buffers"),
    "net.core.rmem_max": ("9", "buffers"),
    "net.core.netdev_max_backlog": ("9", "backlog"),
    "net.netfilter.nf_conntrack_max": ("9", "table"),
    "net.ipv4.tcp_mem": ("9 9 9", "memory"),
    "vm.swappiness": ("100", "why not"),
    "kernel.numa_balancing": ("0", "cores"),
    "fs.file-max": ("9", "files"),
}
NOW = settings(
    net__core__somaxconn="writable 4096",
    net__ipv4__tcp_rmem="writable 1 2 3",
    net__core__rmem_max="readonly 212992",
    net__core__netdev_max_backlog="absent",
    net__netfilter__nf_conntrack_max="writable 262144",
    net__ipv4__tcp_mem="writable 1 2 3",
    vm__swappiness="writable 60",
    kernel__numa_balancing="writable 1",
)
NOW["fs.file-max"] = Setting(key="fs.file-max", mode="absent", value=None)


def result(**options: Any) -> tuple[dict[str, str | None], dict[str, tuple[str | None, str]]]:
    changes, skipped = tuning("web01", WISH, NOW, **options)
    assert all(change.host == "web01" for change in changes)
    assert all(item.host == "web01" and item.want == WISH[item.key][0] for item in skipped)
    return {change.what: change.want for change in changes}, {item.key: (item.now, item.why) for item in skipped}


def test_tuning_of_a_namespace_leaves_the_machine_alone() -> None:
    changes, skipped = result(namespace=True)
    assert changes == {"sysctl net.core.somaxconn": "65535"}
    assert set(skipped) == set(WISH) - {"net.core.somaxconn", "net.ipv4.tcp_rmem"}
    machine = ("vm.swappiness", "kernel.numa_balancing", "fs.file-max", "net.ipv4.tcp_mem")
    for key in (*machine, "net.netfilter.nf_conntrack_max"):
        assert "belongs to the whole machine" in skipped[key][1], key
    assert skipped["vm.swappiness"][0] == "60"
    assert skipped["net.core.rmem_max"] == ("212992", "read-only here: belongs to the whole machine")
    assert skipped["net.core.netdev_max_backlog"][0] is None
    assert "not visible in a network namespace" in skipped["net.core.netdev_max_backlog"][1]


def test_tuning_of_a_whole_machine() -> None:
    changes, skipped = result(namespace=False)
    assert changes == {
        "sysctl net.core.somaxconn": "65535",
        "sysctl net.netfilter.nf_conntrack_max": "9",
        "sysctl net.ipv4.tcp_mem": "9 9 9",
        "sysctl vm.swappiness": "100",
        "sysctl kernel.numa_balancing": "0",
    }
    assert skipped == {
        "net.core.rmem_max": ("212992", "read-only"),
        "net.core.netdev_max_backlog": (None, "no such key"),
        "fs.file-max": (None, "no such key"),
    }


def test_each_wish_is_answered_once_in_the_order_of_the_profile() -> None:
    for namespace in (True, False):
        changes, skipped = tuning("web01", WISH, NOW, namespace=namespace)
        named = {change.what.removeprefix("sysctl ") for change in changes} | {item.key for item in skipped}
        assert named == set(WISH) - {"net.ipv4.tcp_rmem"}
        assert [item.key for item in skipped] == [key for key in WISH if key in {item.key for item in skipped}]
    assert {change.reason for change in changes} <= {reason for _, reason in WISH.values()}
    assert tuning("web01", {}, NOW, namespace=True) == ([], [])


def test_settings_merged_into_one_change() -> None:
    """In the order given, undone the other way round; what is no plain setting stays by itself, in its place."""
    now = {"net.core.somaxconn": "4096", "net.ipv4.tcp_rmem": "4096 131072 6291456"}
    plain = [
        *sysctl_change("web01", "net.core.somaxconn", "500", now),
        *sysctl_change("web01", "net.ipv4.tcp_rmem", "4096 16384 99", now),
    ]
    other = new_key_change("web01", "net.ipv4.vs.conntrack", "0")
    first, last = merged([*plain, other])
    assert last == other
    assert first.do.argv[4:] == (
        *("do", "net.core.somaxconn", "net/core/somaxconn", "500"),
        *("net.ipv4.tcp_rmem", "net/ipv4/tcp_rmem", "4096 16384 99"),
    )
    assert first.undo.argv[4:] == (
        *("undo", "net.ipv4.tcp_rmem", "net/ipv4/tcp_rmem", "4096 131072 6291456"),
        *("net.core.somaxconn", "net/core/somaxconn", "4096"),
    )
    assert first.expect == "500 4096 16384 99"
    assert merged(plain[:1]) == plain[:1]
