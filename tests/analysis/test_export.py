"""Exported files hold what the tables hold, in each format."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from bmtlib.analysis.export import export_tables
from bmtlib.analysis.schema import COLUMNS
from bmtlib.analysis.tables import Tables
from bmtlib.errors import MachineError
from bmtlib.rundir import RunDir


@pytest.mark.parametrize("fmt", ["csv", "parquet", "json"])
def test_every_table_in_every_format(run: RunDir, tables: Tables, tmp_path: Path, fmt: str) -> None:
    paths = export_tables(run, tmp_path / "out", fmt)  # type: ignore[arg-type]
    assert [path.name for path in paths] == [f"{name}.{fmt}" for name in COLUMNS]
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
