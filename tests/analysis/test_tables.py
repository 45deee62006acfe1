"""From raw files to tables: figures, missing pieces, refused files, and the cache."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bmtlib.analysis import tables as tables_module
from bmtlib.analysis.compare import df_drops, df_guards
from bmtlib.analysis.raw import Raw
from bmtlib.analysis.schema import COLUMNS
from bmtlib.analysis.tables import Tables, read_tables
from bmtlib.rundir import RunDir

GOLDEN = Path(__file__).parents[1] / "golden"


def of(table: pd.DataFrame, case: str) -> pd.DataFrame:
    return table[table["case"] == case]


def test_all_tables_have_their_columns_and_types(tables: Tables) -> None:
    assert set(tables.frames()) == set(COLUMNS)
    for name, table in tables.frames().items():
        assert {column: str(kind) for column, kind in table.dtypes.items()} == COLUMNS[name], name


def test_the_tables_say_what_their_columns_mean() -> None:
    for name in COLUMNS:
        assert f"{name}:" in Tables.__doc__ or f"{name}," in Tables.__doc__ or f", {name}:" in Tables.__doc__


def test_case_and_clients(tables: Tables) -> None:
    case = tables.cases.set_index("case").loc["b1-proxy"]
    assert (case["completed"], case["requests_per_s"], case["threads"], case["engine"]) == (404, 101.0, 1, "haproxy")
    assert tables.cases.set_index("case").loc["b1-l2dsr", "threads"] is pd.NA
    client = of(tables.clients, "b1-proxy").iloc[0]
    # ab's two times per request: concurrency * time / requests, and time / requests.
    assert client["wait_mean_ms"] == pytest.approx(10 * 4000 / 202, rel=1e-3)
    assert client["gap_mean_ms"] == pytest.approx(4000 / 202, rel=1e-3)


def test_waits_are_pooled_over_clients(tables: Tables) -> None:
    waits = of(tables.waits, "b1-proxy")
    assert waits["requests"].sum() == 404
    assert list(waits["wait_us"]) == list(range(1000, 21_000, 1000))


def test_cpu_seconds(tables: Tables) -> None:
    cpu = of(tables.cpu, "b1-proxy").set_index(["role", "cpu_kind"])["cpu_s"]
    assert cpu["director", "user"] == pytest.approx(0.4)
    assert cpu["director", "softirq"] == pytest.approx(0.4)
    assert cpu["other", "user"] == pytest.approx(2.0)
    over_time = of(tables.cpu_time, "b1-proxy")
    assert sorted(over_time["time_s"].unique()) == [1.0, 2.0, 3.0, 4.0]
    assert over_time[over_time["role"] == "other"].groupby("cpu_kind")["cpu_s"].sum()["user"] == pytest.approx(2.0)


def test_counters_that_wrap_around_are_differences(tables: Tables) -> None:
    assert of(tables.softnet, "b1-proxy").set_index("cpu").loc[0, "processed"] == 404


def test_irq_and_softirq(tables: Tables) -> None:
    irq = of(tables.irq, "b1-proxy").set_index(["irq", "cpu"])
    assert irq.loc[("43", 1), "count"] == 808
    assert irq.loc[("43", 1), "description"] == "PCI-MSIX 180225-edge eth0-rx"
    assert ("LOC", 0) not in irq.index  # did not grow
    softirq = of(tables.softirq, "b1-proxy").set_index(["softirq", "cpu"])["count"]
    assert softirq["NET_RX", 0] == 404


def test_web_share_by_the_web_hosts_own_count(tables: Tables) -> None:
    share = of(tables.web_share, "b1-proxy")
    assert list(share["connections"]) == [202, 202]
    assert set(share["source"]) == {"TcpPassiveOpens"}


def test_web_share_falls_back_to_haproxy(builder: Any) -> None:
    golden = (GOLDEN / "haproxy_stat" / "load.txt").read_text()
    said = {("director", f"haproxy_stat.{moment}.txt"): golden for moment in ("before", "after")}

    def figures(case: Any) -> Any:
        return replace(builder.usual(case), without=frozenset({"nstat"}), extra=said if case.arm == "proxy" else {})

    tables = builder.tables(figures, repetitions=1)
    share = of(tables.web_share, "b1-proxy")
    assert set(share["source"]) == {"haproxy_stat"}
    assert of(tables.web_share, "b1-l2dsr").empty


def test_missing_probes_give_missing_rows(builder: Any) -> None:
    gone = frozenset({"nstat", "stat", "softirqs", "interrupts", "softnet", "ip_link", "ss_listen", "ab"})
    tables = builder.tables(lambda case: replace(builder.usual(case), without=gone))
    for name in ("cpu", "cpu_time", "softirq", "irq", "softnet", "network", "counters", "listen", "waits"):
        assert tables.frames()[name].empty, name
    assert len(tables.cases) == 6
    assert tables.problems.empty
    assert df_drops(tables)["count"].isna().all()  # not measured is not zero


def test_half_a_difference_is_none(builder: Any) -> None:
    run = builder()
    (run.path / "cases/b1-proxy/director/stat.before.txt").unlink()
    tables = read_tables(run)
    assert of(tables.cpu, "b1-proxy").empty
    assert not of(tables.cpu, "b2-proxy").empty


def test_a_refused_file_is_listed_and_the_rest_read(builder: Any) -> None:
    broken = {("director", "softnet.after.txt"): "not what it should be\n", ("client01", "ab.tsv"): "cut of"}
    tables = builder.tables(lambda case: replace(builder.usual(case), extra=broken if case.id == "b1-proxy" else {}))
    assert sorted(tables.problems["file"]) == ["ab.tsv", "softnet.after.txt"]
    assert set(tables.problems["case"]) == {"b1-proxy"}
    assert tables.problems["error"].str.contains("line 1").all()
    assert of(tables.softnet, "b1-proxy").empty
    assert of(tables.waits, "b1-proxy")["requests"].sum() == 202  # the other client's
    assert len(of(tables.cpu, "b1-proxy")) == 14


def test_a_refused_sample_costs_only_itself(builder: Any) -> None:
    run = builder()
    path = run.path / "cases/b1-proxy/director/stat.during.txt"
    path.write_text(path.read_text() + "### 1795400005.000000000\ncpu  half a sam\n")
    tables = read_tables(run)
    assert len(of(tables.cpu_time, "b1-proxy")) == len(of(tables.cpu_time, "b2-proxy"))
    assert tables.problems["error"].str.startswith("1 of 6 samples").all()


def test_a_damaged_archive_is_a_problem_not_a_crash(builder: Any) -> None:
    run = builder()
    path = run.path / "cases/b1-proxy/client01/ab.tsv.gz"
    path.write_bytes(path.read_bytes()[:-20])
    assert list(read_tables(run).problems["file"]) == ["ab.tsv"]


def test_cases_that_are_not_done_keep_their_status(builder: Any) -> None:
    def figures(case: Any) -> Any:
        if case.id == "b3-proxy":
            return None
        status, error = ("failed", "ab died") if case.id == "b2-proxy" else ("done", None)
        return replace(builder.usual(case), status=status, error=error)

    run = builder(figures)
    (run.path / "cases/b1-l2dsr/case.json").write_text('{"id": "b1-l2')
    tables = read_tables(run)
    status = tables.cases.set_index("case")["status"]
    assert (status["b2-proxy"], status["b3-proxy"], status["b1-l2dsr"]) == ("failed", "not run", "unreadable")
    assert list(tables.problems["file"]) == ["case.json"]
    said = df_guards(tables).set_index("case")
    assert said.loc["b2-proxy", "text"] == "ab died"
    assert said.loc["b3-proxy", "verdict"] == "not run"


def test_a_client_that_died_has_no_figures_of_ab(builder: Any) -> None:
    tables = builder.tables(lambda case: replace(builder.measured(4), waits_ms=((1, 2), ())))
    clients = of(tables.clients, "b1-proxy").set_index("host")
    assert clients.loc["client02", "status"] == "died"
    assert pd.isna(clients.loc["client02", "rate_per_s"])


# --- the cache -----------------------------------------------------------------------------------------------------


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts how often tables are built from raw."""
    built: list[int] = []
    build = tables_module._build
    monkeypatch.setattr(tables_module, "_build", lambda run: (built.append(1), build(run))[1])
    return built


def same(one: Tables, other: Tables) -> bool:
    return all(table.equals(other.frames()[name]) for name, table in one.frames().items())


def test_the_second_reading_comes_from_the_cache_and_is_equal(builder: Any, counting: list[int]) -> None:
    run = builder()
    first, second = read_tables(run), read_tables(run)
    assert len(counting) == 1
    assert same(first, second)
    assert [table.attrs for table in second.frames().values()] == [{}] * len(COLUMNS)


def test_a_changed_raw_file_rebuilds(builder: Any, counting: list[int]) -> None:
    run = builder()
    read_tables(run)
    path = run.path / "cases/b1-proxy/director/ip_link.after.txt"
    path.write_text(path.read_text().replace('"bytes": ', '"bytes": 9'))
    assert not same(read_tables(run), read_tables(builder()))
    assert len(counting) == 3


@pytest.mark.parametrize("damage", [b"", b"PAR1 not parquet at all", None])
def test_a_broken_cache_is_rebuilt(builder: Any, counting: list[int], damage: bytes | None) -> None:
    run = builder()
    first = read_tables(run)
    path = run.path / "tables/cpu.parquet"
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    assert same(first, read_tables(run))
    assert len(counting) == 2
    read_tables(run)
    assert len(counting) == 2


def test_a_cache_of_another_run_is_not_taken(builder: Any, counting: list[int]) -> None:
    run, other = builder(), builder(lambda case: builder.measured(100))
    read_tables(run)
    shutil.copytree(run.path / "tables", other.path / "tables")
    assert read_tables(other).cases["completed"].eq(100).all()
    assert len(counting) == 2


def test_a_folder_that_cannot_be_written_is_read_all_the_same(builder: Any) -> None:
    run = builder()
    (run.path / "tables").write_text("a file where the cache would be")
    assert len(read_tables(run).cases) == 6


def test_a_run_without_hosts_or_cases(builder: Any) -> None:
    run: RunDir = builder(lambda case: None, {"hosts": [], "status": "failed"})
    tables = read_tables(run)
    assert set(tables.cases["status"]) == {"not run"}
    assert all(table.empty for name, table in tables.frames().items() if name != "cases")
    assert json.loads((run.path / "run.json").read_text()) == tables.run


def test_samples_are_told_by_the_controllers_clock(builder: Any) -> None:
    run = builder()
    before = [epoch_s for epoch_s, _ in Raw(run).during("b1-proxy", "director", "stat")]
    case = run.case("b1-proxy")
    run.write_json("cases/b1-proxy/case.json", case | {"clock": {"director": {"offset_ms": 2000.0}}})
    after = [epoch_s for epoch_s, _ in Raw(run).during("b1-proxy", "director", "stat")]
    assert before
    assert after == [epoch_s - 2 for epoch_s in before]
