"""params/schema is what editors complete and check with: it must be of today, and accept what the loader accepts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from bmtlib.params.paths import project_root
from bmtlib.params.schema import schemas, write

PARAMS = project_root() / "params"
FILES = [path for kind in ("scenarios", "testbeds", "profiles") for path in sorted((PARAMS / kind).glob("*.yml"))]


def test_the_exported_schemas_are_of_today(tmp_path: Path) -> None:
    write(tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_text() == (PARAMS / "schema" / path.name).read_text(), "run: python -m bmtlib.params.schema"
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in (PARAMS / "schema").iterdir()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_names_its_schema_and_fits_it(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    schema = json.loads((path.parent / first.partition("=")[2]).read_text())
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(path.read_text()))


BASE: dict[str, Any] = {"title": "A", "question": "B", "load": {"concurrency": 9, "seconds": 1}}


@pytest.mark.parametrize(
    ("arms", "fits"),
    [
        ({"proxy": None}, True),
        ({"proxy": {"threads": 2, "maxconn": "auto"}}, True),
        ({"proxy-a": {"kind": "proxy", "maxconn": 500}}, True),
        ({"proxy-a": {}}, False),
        ({"proxy": {"thread": 2}}, False),
        ({}, False),
    ],
)
def test_arms_in_the_schema(arms: dict[str, Any], fits: bool) -> None:
    assert jsonschema.Draft202012Validator(schemas()["scenario.schema.json"]).is_valid(BASE | {"arms": arms}) == fits


def test_every_key_is_described() -> None:
    def walk(node: Any, path: str) -> None:
        for key, child in node.get("properties", {}).items():
            if key != "kind" and key not in ("direct", "proxy", "l2dsr"):
                assert child.get("description"), f"{path}.{key}"
        for name, child in node.get("$defs", {}).items():
            walk(child, name)

    for name, schema in schemas().items():
        walk(schema, name)
