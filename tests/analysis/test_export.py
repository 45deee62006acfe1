"""Exported files hold what the tables hold, in each format."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from bmtlib.analysis.dictionary import about, describe, unit
from bmtlib.analysis.export import export_tables
from bmtlib.analysis.metadata import CSVW, PACKAGE
from bmtlib.analysis.schema import COLUMNS
from bmtlib.analysis.tables import Tables
from bmtlib.errors import MachineError
from bmtlib.rundir import RunDir


@pytest.mark.parametrize("fmt", ["csv", "parquet", "json"])
def test_every_table_in_every_format(run: RunDir, tables: Tables, tmp_path: Path, fmt: str) -> None:
    paths = export_tables(run, tmp_path / "out", fmt)  # type: ignore[arg-type]
    described = [PACKAGE, CSVW] if fmt == "csv" else [PACKAGE]
    assert [path.name for path in paths] == [*(f"{name}.{fmt}" for name in COLUMNS), *described]
    paths = paths[: len(COLUMNS)]
    for path, (name, table) in zip(paths, tables.frames().items(), strict=True):
        if fmt == "parquet":
            assert pd.read_parquet(path).astype(COLUMNS[name]).equals(table)
        elif fmt == "csv":
            assert len(pd.read_csv(path)) == len(table)
            assert list(pd.read_csv(path).columns) == list(table.columns)
        else:
            assert len(json.loads(path.read_text())) == len(table)


def test_json_keeps_whole_numbers_and_missing_values(run: RunDir, tmp_path: Path) -> None:
    export_tables(run, tmp_path, "json")
    cases = {case["case"]: case for case in json.loads((tmp_path / "cases.json").read_text())}
    assert cases["b1-proxy"]["threads"] == 1
    assert cases["b1-l2dsr"]["threads"] is None
    assert cases["b1-proxy"]["start_epoch_s"] == 1_795_400_000.0


def test_a_folder_that_cannot_be_written(run: RunDir, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="cannot write the table"):
        export_tables(run, tmp_path / "file", "csv")


def test_every_column_has_a_meaning_of_its_own() -> None:
    for table, columns in describe().items():
        assert list(columns) == list(COLUMNS[table])
        assert about(table).endswith("."), table
        for column, meaning in columns.items():
            assert meaning, (table, column)
            assert not meaning.startswith(("as in case", "as under", "likewise", "see ")), (table, column, meaning)
            assert "`" not in meaning
            assert "](" not in meaning
    found = describe()
    assert found["cases"]["arm"] == "name in the scenario"
    assert found["cases"]["engine"].startswith("what drove the arm")
    assert found["clients"]["processing_mean_ms"] == "from connected to the end"
    assert found["cpu_time"]["cpu_s"] == found["cpu"]["cpu_s"]
    assert found["clients"]["completed"] == found["cases"]["completed"]
    assert unit("speed_mbit_per_s") == "Mbit/s"


@pytest.mark.parametrize("fmt", ["csv", "json"])
def test_frictionless_finds_nothing_wrong(run: RunDir, tmp_path: Path, fmt: str) -> None:
    """Types, required values, keys between tables: read by the specification's own program."""
    frictionless = pytest.importorskip("frictionless")
    export_tables(run, tmp_path, fmt)  # type: ignore[arg-type]
    report = frictionless.validate(str(tmp_path / PACKAGE))
    assert report.valid, report.flatten(["name", "type", "message"])[:5]
    if fmt == "csv":
        path = tmp_path / "cpu.csv"
        path.write_text(path.read_text().replace("b1-proxy", "b9-proxy", 1))
        kinds = frictionless.validate(str(tmp_path / PACKAGE)).flatten(["type"])
        assert kinds == [["foreign-key"]]


def test_csv_on_the_web_says_the_same(run: RunDir, tmp_path: Path) -> None:
    export_tables(run, tmp_path, "csv")
    package = {it["path"]: it for it in json.loads((tmp_path / PACKAGE).read_text())["resources"]}
    tables = json.loads((tmp_path / CSVW).read_text())["tables"]
    assert [table["url"] for table in tables] == list(package)
    for table in tables:
        head = (tmp_path / table["url"]).read_text().splitlines()[0].split(",")
        columns, fields = table["tableSchema"]["columns"], package[table["url"]]["schema"]["fields"]
        assert [column["titles"] for column in columns] == head == [field["name"] for field in fields]
        assert [column["dc:description"] for column in columns] == [field["description"] for field in fields]
        assert [column.get("schema:unitText") for column in columns] == [field.get("unit") for field in fields]


def test_a_run_of_today_may_be_exported_over_an_older_one(run: RunDir, tmp_path: Path) -> None:
    first = {path: path.read_bytes() for path in export_tables(run, tmp_path)}
    assert {path: path.read_bytes() for path in export_tables(run, tmp_path)} == first
