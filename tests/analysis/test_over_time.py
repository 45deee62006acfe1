"""The load second by second: what each load generator tells of when a request was, and what is made of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bmtlib.analysis.over_time import df_connections_over_time, df_rate_over_time, df_waits_over_time
from bmtlib.analysis.raw import Raw
from bmtlib.analysis.read_waits import wait_rows
from bmtlib.analysis.tables import Tables, read_tables
from bmtlib.rundir import RunDir

GOLDEN = Path(__file__).parents[1] / "golden"
CASE = "b1-proxy"
START = 1000.25  # a quarter of a second into a second of the clock
Rows = list[dict[str, Any]]


def read(
    tmp_path: Path, engine: str, *clients: str | None, window_s: float = 2.5, offset_s: float = 0.0
) -> tuple[Rows, Rows]:
    """Rows of requests_time and waits_time, of clients with these files; None: it left none."""
    run = RunDir(tmp_path)
    run.write_json("run.json", {"hosts": []})
    hosts = [f"client{i:02}" for i in range(1, len(clients) + 1)]
    for host, text in zip(hosts, clients, strict=True):
        if text is not None:
            run.write_raw(CASE, host, {f"{engine}.tsv": text.encode()})
    record: dict[str, Any] = {"load": {"engine": engine}, "start_epoch_s": START, "end_epoch_s": START + window_s}
    record["clients"] = [{"host": host, "concurrency": 1, "start_epoch_s": START + 0.5} for host in hosts]
    record["clock"] = {host: {"offset_ms": 1000 * offset_s} for host in hosts}
    run.write_json(f"cases/{CASE}/case.json", record)
    _, rates, waits = wait_rows(Raw(run), {CASE: record})
    return rates, waits


def ab(*requests: tuple[int, int]) -> str:
    """ab's file of requests (second of the clock, ms)."""
    rows = "".join(f"Mon Nov 23 01:39:39 2026\t{second}\t0\t{wait}\t{wait}\t{wait}\n" for second, wait in requests)
    return "starttime\tseconds\tctime\tdtime\tttime\twait\n" + rows


def by_second(rows: Rows) -> dict[float, float]:
    return {row["time_s"]: row["requests"] for row in rows}


def test_what_ab_leaves_open_is_parted_evenly(tmp_path: Path) -> None:
    """A request that began in second 1001 of the clock did so 0.75 to 1.75 s after the start; it took 100 ms."""
    rates, waits = read(tmp_path, "ab", ab(*[(1001, 100)] * 100))
    assert by_second(rates) == {1.0: 15.0, 2.0: 85.0, 2.5: 0.0}
    assert [row["span_s"] for row in rates] == [1.0, 1.0, 0.5]
    # Most began in the second after the first one.
    assert [(row["time_s"], row["requests"]) for row in waits] == [(2.0, 100)]
    assert 100_000 <= waits[0]["wait_us"] <= 103_100


def test_nothing_began_before_the_start_nor_ended_after_the_end(tmp_path: Path) -> None:
    """Of second 1000 only what is within the load counts: 0 to 0.75 s after its start."""
    rates, _ = read(tmp_path, "ab", ab((1000, 0), (1002, 400), (1003, 0)))
    assert sum(by_second(rates).values()) == pytest.approx(3)
    assert by_second(rates)[1.0] == 1
    assert by_second(rates)[2.5] > 1


def test_clients_are_added_and_their_clocks_put_right(tmp_path: Path) -> None:
    text = "".join(f"{round(1e6 * (START + 3 + at))}\t200\t200000\n" for at in (0.1, 0.9, 1.5))
    rates, waits = read(tmp_path, "h2load", text, text, offset_s=3)
    assert by_second(rates) == {1.0: 2, 2.0: 4, 2.5: 0}
    assert by_second(waits) == {1.0: 4, 2.0: 2}


def test_an_open_loop_counts_from_when_a_request_was_due(tmp_path: Path) -> None:
    """Its schedule began half a second after the load; the second request was sent a second late."""
    text = "due_us\tlate_us\tanswer_us\toutcome\n100000\t0\t1000\tok\n200000\t1000000\t1000\tok\n300000\t\t\tbusy\n"
    rates, waits = read(tmp_path, "open_loop", text)
    assert by_second(rates) == {1.0: 1, 2.0: 1, 2.5: 0}
    assert [row["time_s"] for row in waits] == [1.0, 1.0]


def test_a_client_that_is_missing_is_no_lower_rate(tmp_path: Path) -> None:
    assert read(tmp_path, "ab", ab((1001, 5)), None) == ([], [])


def test_rates_of_blocks_and_their_median(tables: Tables) -> None:
    table = df_rate_over_time(tables)
    proxy = table[table["arm"] == "proxy"]
    middle, blocks = proxy[proxy["block"].isna()], proxy[proxy["block"].notna()]
    assert middle["n"].unique().tolist() == [3]
    assert blocks.groupby("block")["per_s"].sum().to_list() == pytest.approx([404, 408, 412], rel=0.01)
    for time_s, part in blocks.groupby("time_s"):
        row = middle[middle["time_s"] == time_s].iloc[0]
        assert row["per_s"] == part["per_s"].median()
        assert row["low_per_s"] <= part["per_s"].min()
        assert part["per_s"].max() <= row["high_per_s"]


def test_percentiles_are_pooled_and_need_requests_beyond(tables: Tables) -> None:
    table = df_waits_over_time(tables)
    direct, proxy = (table[(table["arm"] == arm) & table["block"].isna()].iloc[0] for arm in ("direct", "proxy"))
    assert direct["requests"] == 1604 + 1608 + 1612
    assert direct["p99_ms"] == pytest.approx(20, rel=0.032)
    assert proxy["requests"] == 404 + 408 + 412
    own = table[(table["arm"] == "proxy") & (table["block"] == 1)].iloc[0]
    assert own["p99_ms"] != own["p99_ms"]  # four requests are beyond: a guess
    assert own["p50_ms"] == pytest.approx(10, rel=0.032)


def test_a_lone_straggler_does_not_stand_for_all(builder: Any) -> None:
    """One block of three lasts a second longer."""
    longer = ab(*[(int(builder.start) + second, 5) for second in range(4) for _ in range(40)])
    shorter = ab(*[(int(builder.start) + second, 5) for second in range(2) for _ in range(40)])

    def figures(case: Any) -> Any:
        text = longer if case.block == 1 else shorter
        return replace(builder.measured(80), extra={(host, "ab.tsv"): text for host in builder.clients})

    tables = builder.tables(figures)
    seconds = df_rate_over_time(tables)
    assert (seconds.loc[seconds["block"].isna(), "n"] == 3).all()


def test_connections_are_those_of_the_probes(builder: Any) -> None:
    summary = (GOLDEN / "ss_summary" / "load.txt").read_text()
    summary = re.sub(r"estab \d+", "estab {estab}", re.sub(r"timewait \d+", "timewait {closed}", summary))
    samples = "".join(
        f"### {builder.start + at:.9f}\n{summary.format(estab=10 + at, closed=100 * at)}" for at in (-1, 1, 2)
    )

    def figures(case: Any) -> Any:
        return replace(builder.usual(case), extra={("director", "ss_summary.during.txt"): samples})

    table = df_connections_over_time(builder.tables(figures))
    mine = table[(table["arm"] == "proxy") & (table["block"] == 2)].pivot(
        index="time_s", columns="state", values="connections"
    )
    assert mine["established"].to_list() == [11, 12]
    assert mine["timewait"].to_list() == [100, 200]
    assert list(table["state"].unique()) == ["established", "waiting", "timewait"]


def test_a_short_load_has_no_course(builder: Any) -> None:
    """Of one second there is nothing to see that the mean does not say."""
    folder = builder()
    for path in folder.path.glob("cases/*/case.json"):
        record = json.loads(path.read_text())
        record |= {"end_epoch_s": record["start_epoch_s"] + 1.0, "window_s": 1.0}
        path.write_text(json.dumps(record))
    tables = read_tables(folder)
    assert not tables.requests_time.empty
    assert df_rate_over_time(tables).empty
    assert df_waits_over_time(tables).empty
