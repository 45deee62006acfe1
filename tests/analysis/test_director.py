"""What was done to the director: settings side by side, interrupts and packets by CPU, losses without double counts."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bmtlib.analysis.drops import PLACES, SIGNS, df_drops, df_lost, unread
from bmtlib.analysis.irqs import df_irq_over_time, df_packets_by_cpu
from bmtlib.analysis.plots import plot_lost_by_layer
from bmtlib.analysis.settings import df_settings
from bmtlib.analysis.tables import Tables, read_tables
from bmtlib.plan import Case
from bmtlib.stats import spread, spread_ratio

GOLDEN = Path(__file__).parents[1] / "golden" / "ip_vs_percpu"


def test_settings_are_held_against_the_first_of_their_arm(levers: Tables) -> None:
    table = df_settings(levers)
    assert list(table["lever"].unique()) == ["free", "clogged"]  # the scenario's order, not that of the names
    assert set(table["arm"]) == {"proxy", "l2dsr"}
    rates = table[table["measure"] == "requests_per_s"].set_index(["arm", "lever"])
    assert rates.loc[("proxy", "clogged"), "ratio"] == pytest.approx(0.5)
    assert rates.loc[("proxy", "clogged"), "verdict"] == "lower"
    assert rates.loc[("proxy", "free"), ["first", "n"]].to_list() == [True, 3]
    assert rates["ratio"].isna().to_list() == [True, False, True, False]
    losses = table[table["measure"] == "lost_per_1000"].set_index(["arm", "lever"])["value"]
    assert losses["l2dsr", "free"] == 0
    assert losses["l2dsr", "clogged"] == pytest.approx(1000 * 142 / 404)


def test_a_run_without_settings_has_none(tables: Tables) -> None:
    assert df_settings(tables).empty


def test_interrupts_per_second_by_cpu(tables: Tables) -> None:
    table = df_irq_over_time(tables)
    proxy = table[table["arm"] == "proxy"]
    # CPU 1 is the director's: it took two interrupts per request, the timer's do not count.
    assert set(proxy["cpu"]) == {1}
    assert set(proxy["irq"]) == {"43"}
    assert list(proxy["time_s"]) == [0.5, 1.5, 2.5, 3.5]
    assert proxy["per_s"].to_numpy() == pytest.approx([2 * 408 / 4] * 4)


def test_packets_by_cpu_of_lvs_and_of_the_kernel(builder: Any) -> None:
    def figures(case: Case) -> Any:
        counters = {("director", f"ip_vs_percpu.{when}.txt"): text(when) for when in ("before", "after")}
        return replace(builder.usual(case), extra=counters if case.arm == "l2dsr" else {})

    def text(when: str) -> str:
        found = (GOLDEN / "idle.txt").read_text()
        counts = "      14       64        0             1900                0"
        return re.sub(r"(?m)^  1 .*$", f"  1 {counts}", found, count=1) if when == "after" else found

    tables = builder.tables(figures)
    rows = tables.ipvs_cpu.to_dict("records")
    assert {row["case"] for row in rows} == {"b1-l2dsr", "b2-l2dsr", "b3-l2dsr"}
    assert (rows[0]["cpu"], rows[0]["role"], rows[0]["connections"]) == (1, "director", 0x14)
    assert (rows[0]["in_packets"], rows[0]["out_packets"]) == (0x64, 0)
    table = df_packets_by_cpu(tables)
    assert list(zip(table["arm"], table["counted_by"], table["share"], strict=True)) == [
        ("proxy", "softnet", 1.0),
        ("l2dsr", "ipvs", 1.0),
        ("l2dsr", "softnet", 1.0),
    ]


def test_nothing_is_lost_twice(builder: Any) -> None:
    counters = {"TcpExtListenOverflows": 30, "TcpExtListenDrops": 40, "TcpExtTCPReqQFullDrop": 10}
    tables = builder.tables(lambda case: replace(builder.usual(case), counters=counters, softnet_dropped=7))
    lost = df_lost(tables)
    proxy = lost[(lost["arm"] == "proxy") & (lost["count"] > 0)]
    assert list(zip(proxy["layer"], proxy["role"], proxy["count"], strict=True)) == [
        ("softnet backlog", "machine", 21),
        ("listen, SYN", "web", 30),
        ("listen, accept", "web", 90),
    ]
    assert proxy["per_1000"].iloc[0] == pytest.approx(1000 * 21 / (404 + 408 + 412))
    assert not set(lost["layer"]) & set(SIGNS)
    assert list(dict.fromkeys(lost["layer"])) == list(PLACES)
    assert set(lost.loc[lost["layer"] == "NIC", "role"]) == {"unknown"}


def test_the_backlog_of_a_director_with_a_kernel_of_its_own_is_the_directors(builder: Any) -> None:
    roles = {"director": "director", "web01": "web", "client01": "client", "client02": "client", "web02": "web"}
    hosts = [
        {"name": name, "role": role, "machine": "vm" if role == "director" else "lab"} for name, role in roles.items()
    ]
    tables = builder.tables(lambda case: replace(builder.usual(case), softnet_dropped=7), {"hosts": hosts})
    dropped = df_drops(tables).set_index(["arm", "counter"]).loc[("l2dsr", "dropped")]
    assert dropped["director"] == dropped["count"] == 21


def test_clean_layers_do_not_speak_for_hosts_that_were_not_read(builder: Any) -> None:
    names = ("director", "web01", "web02", "client01", "client02")
    hosts = [{"name": name, "role": name.rstrip("012"), "machine": "lab"} for name in names]
    folder = builder(builder.usual, {"hosts": hosts})
    assert unread(read_tables(folder)) == ""
    assert _heading(read_tables(folder)) == "No measured layer lost anything"  # a lab's director has no card
    for path in folder.path.glob("cases/b1-*/director/nstat.*"):
        path.unlink()
    assert unread(read_tables(folder)) == "Kernel counters were not read everywhere: director."
    texts = [text.get_text() for text in plot_lost_by_layer(read_tables(folder)).texts]
    assert any("not read everywhere: director" in " ".join(text.split()) for text in texts)


def _heading(tables: Tables) -> str:
    return str(plot_lost_by_layer(tables).texts[0].get_text())


def test_spreads() -> None:
    # The standard deviation of 1 (logarithms 0, 1, 2): chi-square quantiles of 2 degrees are 7.377759 and 0.0506356.
    found = spread(np.exp([0.0, 1.0, 2.0]))
    assert [found.median, found.low, found.high] == pytest.approx([1, (2 / 7.377759) ** 0.5, (2 / 0.0506356) ** 0.5])
    # F(0.975; 2, 2) is 39.
    ratio = spread_ratio(np.exp([0.0, 2.0, 4.0]), np.exp([0.0, 1.0, 2.0]))
    assert [ratio.median, ratio.low, ratio.high] == pytest.approx([2, 2 / 39**0.5, 2 * 39**0.5])
    assert np.isnan(spread([1.0, 2.0]).median)
    assert np.isnan(spread_ratio([1.0, 2.0, 3.0], [1.0, 1.0, 1.0]).median)
