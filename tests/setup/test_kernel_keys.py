"""What is known of kernel settings: whole, and true of the kernel that the tests run on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bmtlib.errors import InputError
from bmtlib.setup.kernel_keys import CHECKED, KernelKey, known_keys, parse_kernel


@pytest.mark.parametrize("release", ["4.18", "4.18.0-553.el8_10.x86_64", "4.18-rc1"])
def test_a_kernels_version(release: str) -> None:
    assert parse_kernel(release) == (4, 18)


@pytest.mark.parametrize("text", ["", "6", "six", "6.", "6.1; rm -rf /", "6.1\n", "-1.2", "99999.1"])
def test_no_kernels_version(text: str) -> None:
    with pytest.raises(InputError, match="is not a kernel's version"):
        parse_kernel(text)


def test_a_kernel_before_all_knowledge() -> None:
    with pytest.raises(InputError, match=r"nothing is known of a kernel 3\.10"):
        parse_kernel("3.10.0-1160.el7.x86_64")


@pytest.mark.parametrize(("key", "known"), known_keys().items(), ids=list(known_keys()))
def test_knowledge_is_whole(key: str, known: KernelKey) -> None:
    assert known.does.endswith(".")
    assert known.default or known.memory or known.varies or known.instead or known.until, "no word on its default"
    assert known.source.count("(") == known.source.count(")")
    assert known.scope == "netns" or "vs" not in key.split(".")
    if known.choice or known.instead or known.until:
        return
    for kernel in CHECKED:
        default = known.default_on(kernel)
        assert default is None or default.replace(" ", "").isdecimal(), "an amount is made of numbers"


_MODES = """cd /proc/sys && for key in "$@"; do
  if [ ! -e "$key" ]; then echo absent; elif [ -w "$key" ]; then echo writable; else echo readonly; fi; done"""


@pytest.mark.lab
def test_scopes_on_this_kernel() -> None:
    """A namespace may write the keys of scope netns, and none of the others of the network."""
    files = {
        key: key.replace("neigh.*", "neigh.default").replace("*", "lo").replace(".", "/")
        for key in known_keys()
        if key.startswith("net.")
    }
    inside = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", _MODES, "sh", *files.values()]
    said = subprocess.run(inside, capture_output=True, text=True, check=True).stdout.split()
    for key, mode in zip(files, said, strict=True):
        known = known_keys()[key]
        if known.scope == "netns":
            gone = (
                known.module or known.until or (key.startswith("net.ipv6.") and not Path("/proc/sys/net/ipv6").exists())
            )
            assert mode == "writable" or (gone and mode == "absent"), key
        else:
            assert mode != "writable", key
