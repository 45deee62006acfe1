"""Every parser against real output (tests/golden), and against what it must refuse (tests/bad, cuts, foreign tools).

To add a parser: a line in TABLE, a pair golden/<probe>/<case>.txt + .json, a line in golden/SOURCES.md.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bmtlib.errors import ParseError
from bmtlib.measure.probes import PROBES
from bmtlib.parsers import (
    ab,
    ab_log,
    ab_tsv,
    arping,
    clock,
    conntrack,
    ethtool,
    ethtool_flows,
    h2load,
    haproxy,
    hardware,
    interrupts,
    ip_link,
    ip_vs_percpu,
    ipvsadm,
    link_speed,
    lscpu,
    module_parameters,
    nft,
    nstat,
    open_loop,
    proc_net,
    processes,
    qdisc,
    shell_times,
    softirqs,
    softnet,
    ss,
    stat,
    sysctl,
    thermal,
    wrk,
)

TESTS = Path(__file__).parents[1]
Parse = Callable[[str], list[Any]]


def by_row(parse_columns: Callable[[str], dict[str, list[int]]]) -> Parse:
    """A parser that gives a list per column, as one that gives a row per line."""

    def parse(text: str) -> list[Any]:
        columns = parse_columns(text)
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    return parse


def wrk_waits(text: str) -> list[Any]:
    return [{"wait_us": wait, "count": count} for wait, count in wrk.parse_counts(text).items()]


# name of the folders -> parser, tool named by its errors
TABLE: dict[str, tuple[Parse, str]] = {
    "ab": (ab.parse, "ab"),
    "ab_partial": (ab.parse_partial, "ab"),
    "ab_log": (ab_log.parse, "ab"),
    "ab_tsv": (ab_tsv.parse, "ab_tsv"),
    "arping": (arping.parse, "arping"),
    "clock": (clock.parse, "clock"),
    "conntrack": (conntrack.parse, "conntrack"),
    "ethtool_channels": (ethtool.parse_channels, "ethtool"),
    "ethtool_coalesce": (ethtool_flows.parse_coalesce, "ethtool"),
    "ethtool_driver": (ethtool.parse_driver, "ethtool"),
    "ethtool_features": (ethtool.parse_features, "ethtool"),
    "ethtool_flow_hash": (ethtool_flows.parse_flow_hash, "ethtool"),
    "ethtool_ring": (ethtool.parse_ring, "ethtool"),
    "ethtool_rxfh": (ethtool_flows.parse_rxfh, "ethtool"),
    "ethtool_stats": (ethtool.parse_stats, "ethtool"),
    "h2load": (h2load.parse, "h2load"),
    "h2load_log": (by_row(h2load.parse_columns), "h2load"),
    "haproxy_info": (haproxy.parse_info, "haproxy"),
    "haproxy_stat": (haproxy.parse_stat, "haproxy"),
    "hardware": (hardware.parse, "hardware"),
    "interrupts": (interrupts.parse, "interrupts"),
    "ip_link": (ip_link.parse, "ip_link"),
    "ip_vs_percpu": (ip_vs_percpu.parse, "ip_vs_percpu"),
    "ip_vs_modules": (module_parameters.parse, "module_parameters"),
    "ipvsadm": (ipvsadm.parse, "ipvsadm"),
    "ipvsadm_conns": (ipvsadm.parse_conns, "ipvsadm"),
    "ipvsadm_rate": (ipvsadm.parse_rate, "ipvsadm"),
    "ipvsadm_stats": (ipvsadm.parse_stats, "ipvsadm"),
    "ipvsadm_timeouts": (ipvsadm.parse_timeouts, "ipvsadm"),
    "link_speed": (link_speed.parse, "link_speed"),
    "lscpu": (lscpu.parse, "lscpu"),
    "nft_counters": (nft.parse, "nft"),
    "netdev": (proc_net.parse_dev, "netdev"),
    "nstat": (nstat.parse, "nstat"),
    "open_loop": (open_loop.parse, "open_loop"),
    "open_loop_rows": (by_row(open_loop.parse_columns), "open_loop"),
    "snmp": (proc_net.parse_snmp, "snmp"),
    "sockstat": (proc_net.parse_sockstat, "sockstat"),
    "processes": (processes.parse, "processes"),
    "qdisc": (qdisc.parse, "qdisc"),
    "shell_times": (shell_times.parse, "times"),
    "softirqs": (softirqs.parse, "softirqs"),
    "softnet": (softnet.parse, "softnet"),
    "ss_listen": (ss.parse_listen, "ss"),
    "ss_summary": (ss.parse_summary, "ss"),
    "stat": (stat.parse, "stat"),
    "stat_system": (stat.parse_system, "stat"),
    "sysctl": (sysctl.parse, "sysctl"),
    "thermal": (thermal.parse, "thermal"),
    "wrk": (wrk.parse, "wrk"),
    "wrk_waits": (wrk_waits, "wrk"),
}
JSON = {"haproxy_info", "haproxy_stat", "ip_link", "lscpu", "nft_counters", "nstat", "qdisc"}

# Where a text that ends between two lines cannot be told from a whole one, and why.
UNSEEN_CUTS = {
    "ab_log": "ab may be killed after any line",
    "ab_partial": "reads what a dead ab left",
    "ab_tsv": "as many lines as there were requests; the report says how many",
    "ethtool_coalesce": "which settings follow tx-frame-high depends on ethtool's version",
    "ethtool_features": "which features there are depends on the kernel",
    "ethtool_ring": "which settings follow TX depends on the kernel",
    "ethtool_flow_hash": "which header fields there are depends on the driver",
    "ethtool_rxfh": "what follows the hash key depends on ethtool's version",
    "ethtool_stats": "which counters there are depends on the driver",
    "h2load_log": "as many lines as there were answers; the report says how many",
    "interrupts": "which lines follow the sum of errors depends on the processor",
    "ip_vs_modules": "which parameters there are depends on the modules",
    "ipvsadm": "as many lines as there are servers",
    "ipvsadm_conns": "as many lines as there are connections",
    "ipvsadm_rate": "as many lines as there are servers",
    "ipvsadm_stats": "as many lines as there are servers",
    "netdev": "as many lines as there are interfaces",
    "open_loop_rows": "as many lines as there were requests; the report says how many",
    "snmp": "which counters there are depends on the kernel",
    "link_speed": "as many lines as there are interfaces",
    "processes": "as many lines as there are processes",
    "softnet": "as many lines as there are CPUs online",
    "ss_listen": "as many lines as there are sockets",
    "sysctl": "which keys there are depends on the kernel",
    "thermal": "which files there are depends on the machine",
    "wrk_waits": "as many lines as there were different waits; the report says how many requests",
}
EMPTY_IS_VALID = {
    "ab_log": "ab -q says nothing when all goes well",
    "ab_partial": "ab was killed at once",
    "wrk_waits": "no answer",
}
# (reader, text): pairs that are the same tool's output
SAME_TEXT = {("stat", "stat_system"), ("stat_system", "stat"), ("sysctl", "conntrack")}


def files(kind: str) -> list[Any]:
    found = sorted(path for probe in TABLE for path in (TESTS / kind / probe).glob("*.txt"))
    return [pytest.param(path, id=f"{path.parent.name}-{path.stem}") for path in found]


def refused(probe: str, text: str) -> bool:
    """Whether the parser refuses, and does so properly."""
    parse, tool = TABLE[probe]
    error = None
    try:
        parse(text)
    except ParseError as raised:
        error = raised
    if error is None:
        return False
    assert error.tool == tool
    assert 1 <= error.line_no <= text.count("\n") + 2
    assert error.why
    return True


@pytest.mark.parametrize("path", files("golden"))
def test_golden(path: Path) -> None:
    parse, _ = TABLE[path.parent.name]
    rows = parse(path.read_text())
    assert rows == json.loads(path.with_suffix(".json").read_text())
    assert len({tuple(row) for row in rows}) <= 1, "all rows have the same columns"


@pytest.mark.parametrize("path", files("bad"))
def test_bad(path: Path) -> None:
    assert refused(path.parent.name, path.read_text())


@pytest.mark.parametrize("probe", TABLE)
def test_empty(probe: str) -> None:
    assert refused(probe, "") == (probe not in EMPTY_IS_VALID)
    assert refused(probe, " \n\n")


@pytest.mark.parametrize("path", files("golden"))
def test_cut(path: Path) -> None:
    """Cut in the middle of a line: always refused. Cut between lines: refused, or nothing that is there is misread."""
    probe, text = path.parent.name, path.read_text()
    whole = TABLE[probe][0](text)
    if probe == "ab_partial" and not text.endswith("\n"):
        return  # the real thing is itself cut in the middle of a line
    for cut in cuts(text):
        piece = text[:cut]
        if not piece.strip() or refused(probe, piece):
            continue
        rows = TABLE[probe][0](piece)
        if rows == whole and not text[cut:].strip():
            continue  # only empty space is missing
        assert probe in UNSEEN_CUTS, f"cut at {cut} goes unnoticed"
        assert piece.endswith("\n") or probe == "ab_partial", f"cut in the middle of a line, at {cut}, goes unnoticed"
        if probe == "ab_partial":
            assert rows[0]["completed"] in (None, whole[0]["completed"])
        elif rows:
            assert [tuple(row) for row in rows] == [tuple(row) for row in whole[: len(rows)]]
            assert rows[:-1] == whole[: len(rows) - 1]  # the last one may be a value of several lines


def cuts(text: str) -> Iterator[int]:
    """Behind each line (of the first and last 30), one character before its end, and 20 places in between."""
    ends = [i + 1 for i, character in enumerate(text) if character == "\n"]
    for end in sorted({*ends[:30], *ends[-30:]}):
        yield from (end - 1, end)
    chance = random.Random(len(text))
    yield from (chance.randrange(len(text)) for _ in range(20))


@pytest.mark.parametrize("path", files("golden"))
def test_foreign_line(path: Path) -> None:
    """A line of another tool anywhere in the text is never skipped."""
    probe, text = path.parent.name, path.read_text()
    lines = text.splitlines(keepends=True)
    if probe in JSON:
        lines = [text]
    for place in sorted({*range(min(len(lines), 30) + 1), len(lines)}):
        if lines[:place] and not lines[place - 1].endswith("\n"):
            continue
        assert refused(probe, "".join([*lines[:place], "## not of this tool\n", *lines[place:]])), f"line {place + 1}"


@pytest.mark.parametrize("probe", TABLE)
def test_foreign_tool(probe: str) -> None:
    for other in TABLE:
        if other != probe and (probe, other) not in SAME_TEXT:
            path = min((TESTS / "golden" / other).glob("*.txt"))
            assert refused(probe, path.read_text()), f"{probe} reads {path}"


def test_table_is_complete() -> None:
    for probe in TABLE:
        for kind in ("golden", "bad"):
            assert list((TESTS / kind / probe).glob("*.txt")), f"tests/{kind}/{probe} is empty"
    for probe in PROBES:
        assert TABLE[probe.name][0] is probe.parse, probe.name


def test_every_golden_has_a_source() -> None:
    sources = (TESTS / "golden" / "SOURCES.md").read_text()
    for path in sorted((TESTS / "golden").glob("*/*.txt")):
        assert f"`{path.parent.name}/{path.stem}`" in sources, f"{path} is not in SOURCES.md"
        assert path.with_suffix(".json").exists()
