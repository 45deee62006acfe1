"""JSON Schema of the YAML files, for editors. `python -m bmtlib.params.schema` writes it to params/schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bmtlib.params.paths import project_root
from bmtlib.params.profile import Profile
from bmtlib.params.scenario import Scenario
from bmtlib.params.testbed import Testbed


def schemas() -> dict[str, dict[str, Any]]:
    """File name -> schema."""
    scenario = Scenario.model_json_schema()
    _arms_by_name(scenario)
    found = {"scenario": scenario, "testbed": Testbed.model_json_schema(), "profile": Profile.model_json_schema()}
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {f"{name}.schema.json": dialect | schema for name, schema in found.items()}


def _arms_by_name(schema: dict[str, Any]) -> None:
    """Say what pydantic cannot: an arm named as its kind needs no `kind`, and null stands for its defaults."""
    arms = schema["properties"]["arms"]
    kinds = arms["additionalProperties"]["discriminator"]["mapping"]
    arms["properties"] = {kind: {"anyOf": [{"$ref": ref}, {"type": "null"}]} for kind, ref in kinds.items()}
    arms["additionalProperties"]["required"] = ["kind"]


def write(folder: Path) -> None:
    for name, schema in schemas().items():
        (folder / name).write_text(json.dumps(schema, indent=2) + "\n")


if __name__ == "__main__":
    write(project_root() / "params" / "schema")
