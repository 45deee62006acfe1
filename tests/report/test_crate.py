"""A run folder's RO-Crate: valid by the validator of the RO-Crate community, and the same bytes for the same folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from bmtlib.errors import InputError
from bmtlib.params.paths import project_root
from bmtlib.report.crate import NAME, crate, write_crate
from bmtlib.rundir import RunDir

MakeRun = Callable[..., RunDir]
CONTEXT = "https://w3id.org/ro/crate/1.1/context"


@pytest.fixture
def demo(tmp_path: Path) -> RunDir:
    shutil.copytree(
        project_root() / "data/demo", tmp_path / "demo", ignore=shutil.ignore_patterns("tables", "notebooks")
    )
    return RunDir.open(tmp_path / "demo")


@pytest.fixture
def issues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[RunDir, str], list[str]]:
    """What the validator (PyPI: roc-validator) says against a folder. Without the network: the one document that it
    fetches, RO-Crate's context, is ro-crate-py's copy."""
    requests = pytest.importorskip("requests")
    services = pytest.importorskip("rocrate_validator.services")

    def answered(_: Any, request: Any, **__: Any) -> Any:
        assert request.url == CONTEXT, f"the validator asks for {request.url}"
        response = requests.Response()
        response.status_code, response.url, response.request = 200, request.url, request
        response.headers["Content-Type"] = "application/ld+json"
        response._content = (files("rocrate") / "data/ro-crate.jsonld").read_bytes()
        return response

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", answered)
    monkeypatch.setenv("ROCRATE_VALIDATOR_AUTO_WARM", "0")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def validate(run: RunDir, profile: str) -> list[str]:
        settings = services.ValidationSettings(
            rocrate_uri=str(run.path), profile_identifier=profile, requirement_severity="REQUIRED", no_cache=True
        )
        return [f"{issue.check.name}: {issue.message}" for issue in services.validate(settings).get_issues()]

    return validate


@pytest.mark.parametrize("profile", ["ro-crate-1.1", "process-run-crate-0.5"])
def test_the_validator_finds_nothing(demo: RunDir, issues: Callable[[RunDir, str], list[str]], profile: str) -> None:
    write_crate(demo)
    assert issues(demo, profile) == []
    content = json.loads((demo.path / NAME).read_text())
    content["@graph"] = [it for it in content["@graph"] if it["@id"] != "#bmtlib"]
    root = next(it for it in content["@graph"] if it["@id"] == "./")
    del root["license"]
    (demo.path / NAME).write_text(json.dumps(content))
    assert issues(demo, profile) != []


def test_it_describes_what_is_there(demo: RunDir) -> None:
    graph = {it["@id"]: it for it in json.loads(crate(demo))["@graph"]}
    for name, entity in graph.items():
        if entity["@type"] == "File":
            assert (demo.path / name).stat().st_size == int(entity["contentSize"])
        if entity["@type"] == "Dataset":
            assert (demo.path / name).is_dir()
    assert len(graph["cases/"]["hasPart"]) == len(demo.case_ids())
    assert graph["cases/b1-proxy/"]["name"] == "proxy, block 1: done"
    named = {it["@id"] for it in [*graph["./"]["hasPart"], *graph["cases/"]["hasPart"]]}
    assert named == {name for name, it in graph.items() if it["@type"] in ("File", "Dataset") and name != "./"}
    assert graph["#run"]["endTime"] == demo.run_json()["ended"]
    assert graph["#haproxy"]["softwareVersion"] == demo.run_json()["versions"]["haproxy"]
    assert crate(demo) == crate(demo)


def test_a_licence_is_stated_or_said_to_be_missing(demo: RunDir) -> None:
    def licence(name: str) -> tuple[str, str]:
        graph = {it["@id"]: it for it in json.loads(crate(demo, name))["@graph"]}
        place = graph["./"]["license"]["@id"]
        return place, graph[place]["name"]

    assert licence("") == ("#licence", "No licence is stated")
    assert licence("CC-BY-4.0") == ("https://spdx.org/licenses/CC-BY-4.0", "CC-BY-4.0")
    assert licence("https://example.org/mine")[0] == "https://example.org/mine"
    with pytest.raises(InputError, match="is no licence's name"):
        crate(demo, "<b>mine</b>")


@pytest.mark.parametrize("status", ["planned", "running", "failed", "interrupted"])
def test_runs_that_did_not_end_well(make_run: MakeRun, tmp_path: Path, status: str) -> None:
    run = make_run(tmp_path / "run", cases=2, status=status)
    run.write_json("run.json", run.run_json() | {"ended": None, "error": {"what": "no </script> room"}})
    graph = {it["@id"]: it for it in json.loads(crate(run))["@graph"]}
    assert ("error" in graph["#run"]) == (status in ("failed", "interrupted"))
    assert "endTime" not in graph["#run"]
    (run.path / "plan.json").unlink()
    assert "cases/" in crate(run)
