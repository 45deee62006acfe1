"""A run's tidy tables as files for other programs (`bmt export`)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pandas as pd

from bmtlib.analysis.tables import parquet, read_tables
from bmtlib.errors import MachineError
from bmtlib.rundir import RunDir

Format = Literal["csv", "parquet", "json"]


def export_tables(run: RunDir, to: Path | str, fmt: Format = "csv") -> list[Path]:
    """Write every table of a run as <to>/<table>.<fmt>; the paths written, in the order of the tables.

    csv: with a heading, missing values empty. json: a list of objects, missing values null. parquet: with types.
    Raises MachineError when the folder cannot be written.
    """
    folder, paths = Path(to), []
    for name, table in read_tables(run).frames().items():
        path = folder / f"{name}.{fmt}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_content(table, fmt))
        except OSError as error:
            why = f"cannot write the table {name}: {error.strerror}"
            raise MachineError(why, where=str(path), todo="choose a folder you may write with --to DIR") from error
        paths.append(path)
    return paths


def _content(table: pd.DataFrame, fmt: Format) -> bytes:
    if fmt == "parquet":
        return parquet(table)
    if fmt == "json":
        return (table.to_json(orient="records", indent=1, double_precision=15) + "\n").encode()
    return table.to_csv(index=False).encode()
