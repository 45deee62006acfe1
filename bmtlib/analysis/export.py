"""A run's tidy tables as files for other programs (`bmt export`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd

from bmtlib.analysis.metadata import CSVW, PACKAGE, csv_metadata, data_package
from bmtlib.analysis.tables import parquet, read_tables
from bmtlib.errors import MachineError
from bmtlib.files import write_whole
from bmtlib.rundir import RunDir

Format = Literal["csv", "parquet", "json"]


def export_tables(run: RunDir, to: Path | str, fmt: Format = "csv") -> list[Path]:
    """Write every table of a run as <to>/<table>.<fmt>, and what describes them; the paths written, tables in order.

    csv: with a heading, missing values empty. json: a list of objects, missing values null. parquet: with types.
    datapackage.json (Frictionless) has the meaning, type and unit of every column; beside CSV csv-metadata.json (CSV on
    the Web) has them too. They are written last: who finds them finds all tables. Raises MachineError when the folder
    cannot be written.
    """
    about = run.run_json()
    contents: dict[str, Callable[[], bytes]] = {
        f"{name}.{fmt}": partial(_content, table, fmt) for name, table in read_tables(run).frames().items()
    }
    contents[PACKAGE] = lambda: data_package(about, fmt).encode(errors="backslashreplace")
    if fmt == "csv":
        contents[CSVW] = lambda: csv_metadata(about).encode(errors="backslashreplace")
    return [_write(Path(to) / name, content()) for name, content in contents.items()]


def _write(path: Path, content: bytes) -> Path:
    """A whole file, or none."""
    try:
        write_whole(path, content)
    except OSError as error:
        why = f"cannot write the table {path.stem}: {error.strerror}"
        raise MachineError(why, where=str(path), todo="choose a folder you may write with --to DIR") from error
    return path


def _content(table: pd.DataFrame, fmt: Format) -> bytes:
    if fmt == "parquet":
        return parquet(table)
    if fmt == "json":
        return (table.to_json(orient="records", indent=1, double_precision=15) + "\n").encode()
    return table.to_csv(index=False).encode()
