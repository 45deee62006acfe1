"""What of a run is missing, and runs that cannot be gone on with: one clear error each, and nothing is changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bmtlib.errors import InputError
from bmtlib.measure import resume
from bmtlib.measure.new_run import create_run
from bmtlib.params.paths import project_root
from bmtlib.params.scenario import Scenario
from bmtlib.params.testbed import Network, Testbed
from bmtlib.plan import Plan, make_plan
from bmtlib.rundir import FORMAT, RunDir


def plan(testbed: Testbed = Testbed(), **changes: Any) -> Plan:  # noqa: B008 (immutable)
    values = {
        "title": "A",
        "question": "B?",
        "arms": {"direct": None, "proxy": None},
        "load": {"concurrency": 40, "seconds": 5},
        "repetitions": 2,
    }
    return make_plan(Scenario.model_validate(values | changes), testbed)


@pytest.fixture
def folder(tmp_path: Path) -> RunDir:
    """A run that was broken off in its third case."""
    made = create_run(plan(), "quick", tmp_path, {})
    made.write_json("run.json", made.run_json() | {"status": "interrupted"})
    for case, status in zip(plan().cases, ("done", "rejected", "interrupted"), strict=False):
        tell(made, case.id, status, case.digest)
    return made


def tell(folder: RunDir, case_id: str, status: str, digest: str) -> None:
    folder.write_json(f"cases/{case_id}/case.json", {"id": case_id, "status": status, "digest": digest})


def missing(folder: RunDir) -> list[int]:
    return [case.index for case in resume.missing(folder, plan())]


def test_what_is_missing(folder: RunDir) -> None:
    ids = [case.id for case in plan().cases]
    resume.check_folder(folder, plan())
    assert missing(folder) == [2, 3]
    tell(folder, ids[2], "left out", plan().cases[2].digest)
    assert missing(folder) == [3]
    for status in ("failed", "running", "interrupted"):
        tell(folder, ids[0], status, plan().cases[0].digest)
        assert missing(folder) == [0, 3]
    (folder.path / "cases" / ids[1] / "case.json").write_text('{"status": "do')
    assert missing(folder) == [0, 1, 3]
    folder.write_json("run.json", folder.run_json() | {"stopping": {"stopped_after": 1}})
    assert missing(folder) == [0, 1]


def test_a_done_run_with_a_failed_case_may_be_gone_on_with(folder: RunDir) -> None:
    folder.write_json("run.json", folder.run_json() | {"status": "done"})
    resume.check_folder(folder, plan())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": FORMAT - 1}, "this bmtlib writes format"),
        ({"bmtlib": "0.0.1"}, "was measured by bmtlib 0.0.1"),
        ({"digest": "0" * 64}, "plan.json is not the plan of this run"),
    ],
)
def test_a_run_of_something_else(folder: RunDir, changes: dict[str, Any], said: str) -> None:
    folder.write_json("run.json", folder.run_json() | changes)
    with pytest.raises(InputError, match=said):
        resume.check_folder(folder, plan())


def test_a_case_from_another_run(folder: RunDir) -> None:
    tell(folder, plan().cases[0].id, "done", "0" * 64)
    with pytest.raises(InputError, match=f"cases/{plan().cases[0].id} is not a case of this plan"):
        resume.check_folder(folder, plan())


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "\xff", '{"cases": []}'])
def test_a_broken_plan(folder: RunDir, text: str) -> None:
    (folder.path / "plan.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError) as error:
        resume.plan_of(folder)
    assert error.value.where == str(folder.path / "plan.json")


def test_a_plan_that_was_cut_or_changed_by_hand(folder: RunDir) -> None:
    text = json.loads((folder.path / "plan.json").read_text())
    folder.write_json("plan.json", text | {"cases": text["cases"][:3]})
    with pytest.raises(InputError, match=r"plan\.json was changed"):
        resume.check_folder(folder, resume.plan_of(folder))
    for case in text["cases"]:
        del case["digest"]
    folder.write_json("plan.json", text)
    with pytest.raises(InputError, match="could not go on with a run"):
        resume.check_folder(folder, resume.plan_of(folder))


def test_profiles_that_were_edited(folder: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(project_root() / "params", tmp_path / "params")
    path = tmp_path / "params/profiles/recommended-web.yml"
    path.write_text(path.read_text().replace("value: 65535", "value: 65534"))
    monkeypatch.setattr("bmtlib.params.load_yaml.project_root", lambda: tmp_path)
    with pytest.raises(InputError, match="the profiles 'recommended' in params/profiles are not those"):
        resume.check_folder(folder, resume.plan_of(folder))


def test_another_scenario_or_testbed_is_named_key_by_key(folder: RunDir) -> None:
    resume.check_same_plan(folder, plan(), plan())
    other = plan(Testbed(network=Network(port=81)), load={"concurrency": 41, "seconds": 5})
    with pytest.raises(InputError) as error:
        resume.check_same_plan(folder, plan(), other)
    assert "scenario.load.concurrency: was 40, is 41" in error.value.what
    assert "testbed.network.port: was 80, is 81" in error.value.what


RUN: dict[str, Any] = {
    "versions": {"nginx": "1.22.1"},
    "controller": {"id": "a", "kernel": "6.1"},
    "machine": {"kernel": "6.1", "boot_s": 3.1},
    "hosts": [{"name": "web01", "kernel": "6.1", "cpus": [0]}],
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"versions": {"nginx": "1.24.0"}}, "versions.nginx: was '1.22.1', is '1.24.0'"),
        ({"versions": {}}, "versions.nginx: was '1.22.1', is None"),
        ({"controller": {"id": "b", "kernel": "6.1"}}, "controller.id: was 'a', is 'b'"),
        ({"machine": {"kernel": "6.2", "boot_s": 3.1}}, "machine.kernel: was '6.1', is '6.2'"),
        ({"hosts": [{"name": "web01", "kernel": "6.2", "cpus": [0]}]}, "hosts.web01.kernel: was '6.1', is '6.2'"),
        ({"hosts": [{"name": "web01", "kernel": "6.1", "cpus": [1]}]}, "hosts.web01.cpus"),
    ],
)
def test_another_machine_or_program_is_named(folder: RunDir, changes: dict[str, Any], said: str) -> None:
    resume.check_same_conditions(folder, RUN, RUN | {"machine": {"kernel": "6.1", "boot_s": 9.9}})
    with pytest.raises(InputError, match="not the machine, or not the software") as error:
        resume.check_same_conditions(folder, RUN, RUN | changes)
    assert said in error.value.what


def test_this_machine_is_the_same_each_time() -> None:
    assert resume.controller() == resume.controller()
    assert resume.controller()["kernel"]
