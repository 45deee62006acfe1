"""What exported tables say of themselves to other programs: Frictionless Data Package and CSV on the Web."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bmtlib.analysis.dictionary import about, describe, unit
from bmtlib.analysis.schema import COLUMNS

PACKAGE, CSVW = "datapackage.json", "csv-metadata.json"
_FRICTIONLESS = {"string": "string", "int64": "integer", "Int64": "integer", "float64": "number", "boolean": "boolean"}
_XSD = {"string": "string", "int64": "integer", "Int64": "integer", "float64": "double", "boolean": "boolean"}
_MEDIA = {"csv": "text/csv", "json": "application/json", "parquet": "application/vnd.apache.parquet"}
# Tables in which every row has a case: all but files that a parser refused, which may belong to none.
_OF_CASES = [table for table in COLUMNS if table not in ("cases", "problems")]


def data_package(run: Mapping[str, Any], fmt: str) -> str:
    """datapackage.json (Data Package, schemas of Table Schema) for tables exported in a format."""
    scenario = run.get("scenario", {})
    said = {
        "id": run.get("id"),
        "title": scenario.get("title"),
        "description": scenario.get("question"),
        "created": run.get("ended") or run.get("started"),
    }
    return _json(
        {
            "profile": "data-package",
            "name": _name(str(run.get("id", "run"))),
            **{key: value for key, value in said.items() if value},
            "sources": [{"title": f"bmtlib {run.get('bmtlib')}, run {run.get('id')}"}],
            "resources": [
                {
                    "profile": "tabular-data-resource" if fmt == "csv" else "data-resource",
                    "name": table,
                    "path": f"{table}.{fmt}",
                    "format": fmt,
                    "mediatype": _MEDIA[fmt],
                    **({"encoding": "utf-8"} if fmt != "parquet" else {}),
                    "description": about(table),
                    "schema": _schema(table),
                }
                for table in COLUMNS
            ],
        }
    )


def _schema(table: str) -> dict[str, Any]:
    fields = []
    for column, kind in COLUMNS[table].items():
        field: dict[str, Any] = {"name": column, "type": _FRICTIONLESS[kind], "description": describe()[table][column]}
        if of := unit(column):
            field["unit"] = of
        if kind == "boolean":
            field |= {"trueValues": ["True", "true"], "falseValues": ["False", "false"]}
        if kind == "int64" or (table == "cases" and column == "case"):
            field["constraints"] = {"required": True}
        fields.append(field)
    schema: dict[str, Any] = {"fields": fields, "missingValues": [""]}
    if table == "cases":
        schema["primaryKey"] = ["case"]
    if table in _OF_CASES:
        schema["foreignKeys"] = [{"fields": ["case"], "reference": {"resource": "cases", "fields": ["case"]}}]
    return schema


def csv_metadata(run: Mapping[str, Any]) -> str:
    """csv-metadata.json (W3C Metadata Vocabulary for Tabular Data) for tables exported as CSV."""
    return _json(
        {
            "@context": ["http://www.w3.org/ns/csvw", {"@language": "en"}],
            "dc:title": run.get("scenario", {}).get("title"),
            "dc:identifier": run.get("id"),
            "tables": [
                {
                    "url": f"{table}.csv",
                    "dc:description": about(table),
                    "tableSchema": {
                        "columns": [_column(table, column, kind) for column, kind in columns.items()],
                        **({"primaryKey": "case"} if table == "cases" else {}),
                        **({"foreignKeys": [_FOREIGN]} if table in _OF_CASES else {}),
                    },
                }
                for table, columns in COLUMNS.items()
            ],
        }
    )


_FOREIGN = {"columnReference": "case", "reference": {"resource": "cases.csv", "columnReference": "case"}}


def _column(table: str, column: str, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {"name": column, "titles": column, "dc:description": describe()[table][column]}
    found["datatype"] = {"base": "boolean", "format": "True|False"} if kind == "boolean" else _XSD[kind]
    if of := unit(column):
        found["schema:unitText"] = of
    if kind == "int64" or (table == "cases" and column == "case"):
        found["required"] = True
    return found


def _name(text: str) -> str:
    """As a data package may be named: lower case.

    >>> _name("20261123T032909Z-quick-c6add0")
    '20261123t032909z-quick-c6add0'
    """
    return "".join(sign if sign.isascii() and (sign.isalnum() or sign in "._-") else "-" for sign in text.lower())


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
