"""What a load was, in words: for each way in which a load can end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bmtlib.params.paths import project_root
from bmtlib.params.scenario import Load
from bmtlib.report import conditions
from bmtlib.rundir import RunDir


@pytest.mark.parametrize(
    ("load", "said"),
    [
        ({"concurrency": 20, "seconds": 4}, "4 s, behind 1 s of warm-up"),
        ({"concurrency": 20, "requests": 1000}, "1,000 requests, behind"),
        ({"concurrency": 3000, "rounds": 3, "per_client": 1000}, "3 requests for each connection, behind"),
    ],
)
def test_what_ends_a_load(tmp_path: Path, load: dict[str, Any], said: str) -> None:
    plan = json.loads((project_root() / "data" / "demo" / "plan.json").read_text())
    plan["scenario"]["load"] = Load.model_validate(load).model_dump(mode="json")
    (tmp_path / "run.json").write_bytes((project_root() / "data" / "demo" / "run.json").read_bytes())
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    text = repr(conditions.load(RunDir(tmp_path)))
    assert said in text
    assert f"{load['concurrency']:,} connections open at a time, over" in text
    assert ("as many of 4 clients as 1,000 for each take" in text) == ("per_client" in load)


def test_what_a_search_raised_is_not_what_was_offered(tmp_path: Path) -> None:
    plan = json.loads((project_root() / "data" / "demo" / "plan.json").read_text())
    load = Load.model_validate({"engine": "open_loop", "rate": 200, "concurrency": 2000, "seconds": 3})
    plan["scenario"]["load"] = load.model_dump(mode="json")
    plan["scenario"]["knee"] = {"vary": "rate", "lowest": 200, "highest": 20000}
    (tmp_path / "run.json").write_bytes((project_root() / "data" / "demo" / "run.json").read_bytes())
    for search, offered in ((None, True), ("knee", False)):
        (tmp_path / "plan.json").write_text(json.dumps({**plan, "search": search}))
        text = repr(conditions.load(RunDir(tmp_path)))
        assert ("Offered" in text) == offered
        assert ("Searched: rate" in text and "from 200 up to 20,000" in text) != offered
