"""What must be equal between runs, what may differ, and how a comparison is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bmtlib.analysis.differences import GROUPS, differences, refuse
from bmtlib.errors import InputError
from bmtlib.params.paths import project_root
from bmtlib.rundir import RunDir

DEMO = project_root() / "data/demo"


@pytest.fixture
def copied(tmp_path: Path) -> Callable[..., RunDir]:
    """A copy of the demo under another id, its files changed by functions that change their JSON."""

    def copy(name: str, **changes: Callable[[dict[str, Any]], Any]) -> RunDir:
        folder = tmp_path / name
        shutil.copytree(DEMO, folder, ignore=shutil.ignore_patterns("cases", "tables", "notebooks", "report.html"))
        for file, change in {"run": lambda run: run.update(id=name), **changes}.items():
            path = folder / f"{file}.json"
            content = json.loads(path.read_text())
            change(content)
            content |= {"id": name} if file == "run" else {}
            path.write_text(json.dumps(content))
        return RunDir.open(folder)

    return copy


def bad(found: pd.DataFrame) -> set[tuple[str, str]]:
    rows = found[found["must"] & ~found["equal"]]
    return set(zip(rows["group"], rows["what"], strict=True))


def test_a_run_and_its_repetition_are_equal(copied: Callable[..., RunDir]) -> None:
    def later(run: dict[str, Any]) -> None:
        run.update(started="2026-11-28T00:00:00Z", bmtlib="0.2.0")
        run["versions"]["curl"] = "9"

    def seed(plan: dict[str, Any]) -> None:
        plan["scenario"].update(seed=1, repetitions=9, title="Other words")

    found = differences([RunDir.open(DEMO), copied("again", run=later, plan=seed)])
    assert bad(found) == set()
    refuse(found)
    free = set(found.loc[~found["equal"], "what"])
    assert free == {"measured", "bmtlib", "curl", "seed", "repetitions"}
    assert set(found["group"]) <= {*GROUPS, "other"}


def kernel(run: dict[str, Any]) -> None:
    run["hosts"][1]["kernel"] = "5.14"


def engine(run: dict[str, Any]) -> None:
    run["engine"]["l2dsr"] = "ipvs"


CHANGES: dict[str, tuple[str, Callable[[dict[str, Any]], Any], set[tuple[str, str]]]] = {
    "kernel": ("run", kernel, {("kernel", "web")}),
    "nginx": ("run", lambda run: run["versions"].update(nginx="1.27"), {("versions", "nginx")}),
    "load": ("plan", lambda plan: plan["scenario"]["load"].update(concurrency=400), {("load", "concurrency")}),
    "arm": (
        "plan",
        lambda plan: plan["scenario"]["arms"]["proxy"].update(threads=2),
        {("scenario", "arms.proxy.threads")},
    ),
    "kind": ("run", lambda run: run.update(testbed="vm"), {("testbed", "kind")}),
    "cpus": ("run", lambda run: run.update(director_cpus=[1, 2]), {("testbed", "number of the director's CPUs")}),
    # ipvsadm says no version of itself in the demo, so it is the same; the engine is what differs.
    "engine": ("run", engine, {("engine", "l2dsr")}),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_what_must_be_equal_and_is_not(copied: Callable[..., RunDir], kind: str) -> None:
    file, change, expected = CHANGES[kind]
    found = differences([RunDir.open(DEMO), copied("other", **{file: change})])
    assert bad(found) == expected
    group = next(iter(expected))[0]
    with pytest.raises(InputError, match="not measured under the same conditions") as refused:
        refuse(found)
    assert f"--despite {group}" in refused.value.todo
    refuse(found, [group])
    with pytest.raises(InputError):
        refuse(found, [name for name in GROUPS if name != group])


def test_cards_processors_profiles_and_refusals_are_read_from_the_folder(copied: Callable[..., RunDir]) -> None:
    other = copied("other")
    (other.path / "facts/director/ethtool_driver@eth0.once.txt").write_text(
        (DEMO / "facts/director/ethtool_driver@eth0.once.txt").read_text().replace("driver: veth", "driver: mlx5_core")
    )
    lscpu = other.path / "facts/director/lscpu.once.txt"
    lscpu.write_text(lscpu.read_text().replace("EPYC", "Athlon"))
    profile = other.path / "profiles/recommended-web.yml"
    profile.write_text(
        profile.read_text().replace("value: '65535'", "value: '1024'").replace("title: ", "title: Well ")
    )
    changes = json.loads((other.path / "changes/web01.json").read_text())
    changes["not_applied"].append({"host": "web01", "key": "net.x", "want": "1", "now": "0", "why": "no"})
    (other.path / "changes/web01.json").write_text(json.dumps(changes))
    found = differences([RunDir.open(DEMO), other])
    whats = {what for _, what in bad(found)}
    assert {"director", "processor", "refused by web: net.x = 1"} <= whats
    assert [what for what in whats if "title" in what] == []
    assert any(what.startswith("profile recommended-web.sysctl") for what in whats)
    assert found.loc[found["what"] == "refused by web: net.x = 1", "other"].item() == "yes"


def test_what_is_not_known_is_not_equal(copied: Callable[..., RunDir]) -> None:
    def unknown(run: dict[str, Any]) -> None:
        del run["versions"]["haproxy"], run["controller"]

    other = copied("other", run=unknown)
    for path in other.path.glob("facts/*/lscpu.once.txt"):
        path.unlink()
    assert bad(differences([RunDir.open(DEMO), other])) == {("versions", "haproxy"), ("cpu", "processor")}


def test_a_run_is_not_compared_with_itself_nor_by_a_condition_that_is_none(copied: Callable[..., RunDir]) -> None:
    with pytest.raises(InputError, match="is named twice"):
        differences([RunDir.open(DEMO), RunDir.open(DEMO)])
    with pytest.raises(InputError, match="no condition is named 'kernels'"):
        refuse(differences([RunDir.open(DEMO), copied("other")]), ["kernels"])


def test_damaged_profiles_and_plans_are_told(copied: Callable[..., RunDir]) -> None:
    other = copied("other")
    (other.path / "profiles/recommended-web.yml").write_text("a: [")
    with pytest.raises(InputError, match=r"profiles/recommended-web.yml cannot be read"):
        differences([RunDir.open(DEMO), other])


def test_runs_that_did_not_come_far_and_older_ones(copied: Callable[..., RunDir]) -> None:
    def begun(run: dict[str, Any]) -> None:
        unknown = ("fidelity", "privilege", "placement", "controller", "machine", "engine", "versions", "director_cpus")
        run.update(dict.fromkeys(unknown), status="planned", hosts=[], started=None)

    def older(run: dict[str, Any]) -> None:
        for key in ("controller", "sessions", "machine", "stopping"):
            del run[key]

    found = differences([RunDir.open(DEMO), copied("begun", run=begun)])
    assert {("kernel", "director"), ("testbed", "fidelity"), ("engine", "proxy")} <= bad(found)
    assert bad(differences([RunDir.open(DEMO), copied("older", run=older)])) == set()
