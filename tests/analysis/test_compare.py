"""The public tables: known figures, pooling, pairing, and runs that went wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bmtlib.analysis import compare
from bmtlib.analysis.drops import LAYERS, LOSSES
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import percentiles_of

TABLES = [name for name in compare.__all__ if name.startswith("df_") and name != "df_seed_reference"]


def arm(table: pd.DataFrame, name: str) -> pd.Series:
    rows = table[table["arm"] == name]
    assert len(rows) == 1
    return rows.iloc[0]


def test_percentiles_are_those_of_all_values_written_out() -> None:
    generator = np.random.default_rng(3)
    percents = [0.1, 50, 90, 95, 99, 99.9, 100]
    for size in (1, 2, 10, 999, 1000, 5000):
        values = generator.integers(0, 50, size)
        distinct, counts = np.unique(values, return_counts=True)
        expected = np.percentile(values, percents, method="inverted_cdf")
        assert list(percentiles_of(distinct, counts, percents)) == list(expected), size


def test_percentiles_are_pooled_over_clients_and_blocks(builder: Any) -> None:
    """A slow client with few requests: the mean of two percentiles would be far off."""
    waits = {1: ((1,) * 90, (100,) * 10), 2: ((2,) * 50, (200,) * 10), 3: ((3,) * 40, (300,))}
    tables = builder.tables(lambda case: replace(builder.measured(), waits_ms=waits[case.block]))
    everything = np.concatenate([np.concatenate(block) for block in waits.values()])
    row = arm(compare.df_waits(tables), "proxy")
    assert row["requests"] == len(everything)
    assert row["mean_ms"] == pytest.approx(everything.mean())
    for column, percent in {"p50_ms": 50, "p90_ms": 90, "p95_ms": 95, "p99_ms": 99, "p99_9_ms": 99.9}.items():
        assert row[column] == np.percentile(everything, percent, method="inverted_cdf")
    assert row["max_ms"] == 300
    curve = compare.df_wait_curve(tables)
    curve = curve[curve["arm"] == "proxy"].set_index("wait_ms")["longer_share"]
    assert curve[3] == pytest.approx((everything > 3).mean())
    assert curve[300] == 0


def test_throughput(tables: Tables) -> None:
    row = arm(compare.df_throughput(tables), "proxy")
    assert (row["requests_per_s"], row["min_per_s"], row["max_per_s"], row["n"]) == (102.0, 101.0, 103.0, 3)
    assert row["low_per_s"] < 101 < 103 < row["high_per_s"]


def test_arms_stand_in_their_order(tables: Tables) -> None:
    assert list(compare.df_throughput(tables)["arm"]) == ["direct", "proxy", "l2dsr"]


def test_ratio_of_known_figures(tables: Tables) -> None:
    ratios = compare.df_ratio(tables).set_index("measure")
    assert ratios.loc["requests_per_s", "ratio"] == pytest.approx(808 / 408)
    assert ratios.loc["requests_per_s", "verdict"] == "higher"
    assert ratios.loc["director_cpu_us", "ratio"] == pytest.approx(0.5 * 408 / 808)
    assert ratios.loc["director_cpu_us", "verdict"] == "lower"
    assert ratios.loc["wait_p99_ms", "verdict"] == "undecided"
    assert (ratios["n"] == 3).all()


def test_ratios_are_paired_by_block(builder: Any) -> None:
    """A machine that slows down threefold over the run: within a block l2dsr is always a tenth faster."""

    def figures(case: Any) -> Any:
        slow = {1: 3000, 2: 2000, 3: 1000}[case.block]
        return builder.measured(slow if case.kind == "proxy" else slow * 11 // 10)

    row = compare.df_ratio(builder.tables(figures)).set_index("measure").loc["requests_per_s"]
    assert (row["ratio"], row["verdict"]) == (pytest.approx(1.1), "higher")


def test_an_interval_that_spans_one_is_undecided(builder: Any) -> None:
    def figures(case: Any) -> Any:
        return builder.measured(1000 + (case.block - 2) * (100 if case.kind == "l2dsr" else 0))

    row = compare.df_ratio(builder.tables(figures)).set_index("measure").loc["requests_per_s"]
    assert row["low"] < 1 < row["high"]
    assert row["verdict"] == "undecided"


def test_two_blocks_have_a_ratio_and_no_interval(builder: Any) -> None:
    row = compare.df_ratio(builder.tables(repetitions=2)).set_index("measure").loc["requests_per_s"]
    assert row["n"] == 2
    assert row["ratio"] > 1.9
    assert np.isnan(row["low"])
    assert row["verdict"] == "undecided"


def test_a_block_without_its_other_half_takes_no_part(builder: Any) -> None:
    def figures(case: Any) -> Any:
        status = "rejected" if case.id == "b2-proxy" else "done"
        return replace(builder.usual(case), status=status)

    tables = builder.tables(figures)
    assert (compare.df_ratio(tables)["n"] == 2).all()
    assert arm(compare.df_throughput(tables), "proxy")["n"] == 2
    assert arm(compare.df_throughput(tables), "l2dsr")["n"] == 3


def test_levels_are_paired_and_a_level_of_one_side_is_kept(sizes: Tables) -> None:
    ratios = compare.df_ratio(sizes)
    rates = ratios[ratios["measure"] == "requests_per_s"]
    assert len(rates) == 4  # two sizes; l2dsr has no threads, so it meets both settings of the proxy
    assert sorted(zip(rates["file_size_bytes"], rates["threads"], strict=True))[:2] == [(1024, 1), (1024, 2)]
    cpu = ratios[(ratios["measure"] == "director_cpu_us") & (ratios["threads"] == 1)].set_index("file_size_bytes")
    assert cpu.loc[65536, "ratio"] < cpu.loc[1024, "ratio"]


def test_arms_of_one_kind_are_compared_with_the_first(builder: Any) -> None:
    ratios = compare.df_ratio(builder.tables(arms={"proxy-a": {"kind": "proxy"}, "proxy-b": {"kind": "proxy"}}))
    assert set(zip(ratios["arm"], ratios["against"], strict=True)) == {("proxy-b", "proxy-a")}
    assert set(ratios["verdict"]) == {"undecided"}


def test_seed_form(tables: Tables) -> None:
    form = compare.df_seed_form(tables)
    assert list(form.columns) == [
        "Arm", "Thread", "Concurrency", "Total Requests", "File Size", "Requests (sec)", "Latency (ms)", "Wait (ms)",
        "Served at once", "In listen queue",
    ]  # fmt: skip
    row = form[form["Arm"] == "proxy"].iloc[0]
    assert (row["Thread"], row["Concurrency"], row["Total Requests"], row["File Size"]) == (1, 20, 408, "5 KiB")
    assert row["Latency (ms)"] == pytest.approx(1000 / 102, abs=1e-3)
    assert row["Wait (ms)"] == pytest.approx(10.4, abs=0.1)
    seed = compare.df_seed_reference()
    assert list(seed.columns) == list(form.columns)
    assert len(seed) == 25
    assert seed["Wait (ms)"].between(800, 16000).all()


def test_what_of_the_concurrency_reached_the_proxy(builder: Any) -> None:
    """10 connections of which 4 wait in the listen queue: 3 are served, each over a second one. Later samples are of
    clients that have ended."""
    golden = Path(__file__).parents[1] / "golden" / "ss_summary" / "load.txt"
    head = "State  Recv-Q Send-Q Local Address:Port Peer Address:PortProcess"

    def sampled(text: str, *numbers: int) -> str:
        return "".join(
            f"### {builder.start + share * builder.window_s:.9f}\n{text.format(number)}"
            for share, number in zip((0.1, 0.2, 0.9), numbers, strict=True)
        )

    extra = {
        ("director", "ss_summary.during.txt"): sampled(golden.read_text().replace("estab 82", "estab {}"), 10, 10, 0),
        ("director", "ss_listen.during.txt"): sampled(f"{head}\nLISTEN {{}} 16 192.168.16.100:80 0.0.0.0:*\n", 4, 4, 0),
    }
    tables = builder.tables(lambda _: replace(builder.measured(), extra=extra))
    found = compare.df_at_director(tables)
    assert set(found["case"].str.contains("proxy")) == {True}
    assert found.iloc[0].drop("case").to_dict() == {
        "established": 10, "waiting": 4, "waiting_most": 4, "waiting_max": 16, "served": 3,
    }  # fmt: skip
    form = compare.df_seed_form(tables).set_index("Arm")
    assert list(form.loc["proxy", ["Served at once", "In listen queue"]]) == [3, 4]
    assert form.loc["l2dsr", "Served at once"] is pd.NA


def test_littles_law(builder: Any) -> None:
    """20 connections that each wait 40 ms: 500 answers/s, all in flight all the time."""
    requests = int(500 * builder.window_s)
    waits = ((40,) * (requests // 2),) * 2
    row = arm(compare.df_little(builder.tables(lambda _: replace(builder.measured(), waits_ms=waits))), "proxy")
    assert (row["in_flight"], row["in_flight_share"]) == (pytest.approx(20), pytest.approx(1))


def test_director_cpu_by_kind_adds_up(tables: Tables) -> None:
    row = arm(compare.df_director_cpu(tables), "proxy")
    kinds = row[["user_us", "system_us", "softirq_us", "irq_us"]]
    assert row["total_us"] == pytest.approx(kinds.sum())
    assert row["total_us"] == pytest.approx(3e6 / (404 + 408 + 412))
    assert row["busy_share"] == pytest.approx(0.25)
    assert row["separable"]
    busy = compare.df_cpu_busy(tables).set_index(["arm", "role"])["busy_share"]
    assert busy["proxy", "other"] == pytest.approx(0.5)


def test_director_bytes_prove_dsr(tables: Tables) -> None:
    bytes_ = compare.df_director_bytes(tables)
    assert arm(bytes_, "proxy")["out_per_client_byte"] == pytest.approx(1.1)
    assert arm(bytes_, "l2dsr")["out_per_client_byte"] == pytest.approx(0.0667, rel=1e-2)


def test_drops_by_layer(builder: Any) -> None:
    counters = {"TcpExtListenOverflows": 3, "TcpExtListenDrops": 5, "TcpRetransSegs": 7}
    tables = builder.tables(
        lambda case: replace(builder.usual(case), counters=counters, softnet_dropped=11 if case.arm == "proxy" else 0)
    )
    drops = compare.df_drops(tables)
    proxy = drops[drops["arm"] == "proxy"]
    assert list(dict.fromkeys(proxy["layer"])) == list(LAYERS)
    assert len(proxy) == len(LOSSES)  # zeros are kept
    counts = proxy.set_index("counter")
    assert counts.loc["TcpExtListenDrops", ["count", "web", "client"]].tolist() == [15, 15, 0]
    assert counts.loc["TcpExtListenDrops", "per_million"] == pytest.approx(15 / 1224 * 1e6)
    assert counts.loc["dropped", ["count", "machine"]].tolist() == [33, 33]
    assert counts.loc["driver's drops", "count"] is pd.NA  # ethtool was not asked


def test_cpu_over_time_is_cut_at_whole_seconds(tables: Tables) -> None:
    table = compare.df_cpu_over_time(tables)
    mine = table[(table["arm"] == "proxy") & (table["role"] == "director") & (table["cpu_kind"] == "user")]
    assert list(mine["time_s"]) == [0.5, 1.5, 2.5, 3.5]
    assert list(mine["share"]) == pytest.approx([0.1] * 4)


def test_irq_softirq_per_request(tables: Tables) -> None:
    table = compare.df_irq_softirq(tables)
    mine = table[table["arm"] == "l2dsr"].set_index(["source", "name", "cpu"])["per_request"]
    assert mine["softirq", "NET_RX", 0] == pytest.approx(1)
    assert mine["irq", "43", 1] == pytest.approx(2)


def test_guards_that_did_not_pass(builder: Any) -> None:
    guards = (
        {"name": "skew", "verdict": "mark", "value": 80.0, "limit": 50.0, "text": "the clients started within 80 ms"},
        {"name": "answers", "verdict": "ok", "value": 0.0, "limit": 0.001, "text": "0 % failed"},
    )
    tables = builder.tables(lambda case: replace(builder.usual(case), guards=guards if case.arm == "proxy" else ()))
    found = compare.df_guards(tables)
    assert list(found["name"]) == ["skew"] * 3
    assert set(found["arm"]) == {"proxy"}


def test_every_table_of_every_run_that_went_wrong(wrong: dict[str, Tables], tables: Tables) -> None:
    for run, broken in wrong.items():
        for table in TABLES:
            found, whole = getattr(compare, table)(broken), getattr(compare, table)(tables)
            assert found.dtypes.astype(str).to_dict() == whole.dtypes.astype(str).to_dict(), (run, table)


def test_callers_cannot_spoil_a_table_for_others(tables: Tables) -> None:
    mine = compare.df_throughput(tables)
    mine["requests_per_s"] = 0.0
    assert (compare.df_throughput(tables)["requests_per_s"] > 0).all()


def test_against_direct_only_what_clients_see_is_compared(builder: Any) -> None:
    ratios = compare.df_ratio(builder.tables(arms={"direct": None, "l2dsr": None}, repetitions=1))
    assert list(ratios["measure"]) == ["requests_per_s", "wait_p99_ms"]
