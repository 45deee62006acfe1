"""What a report carries of its run: whole, harmless, and clear errors for pages that do not carry it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from bmtlib.cli import main
from bmtlib.errors import InputError
from bmtlib.params.paths import project_root
from bmtlib.report.embedded import FORM, embedded, read_embedded
from bmtlib.rerun import load_again
from bmtlib.rundir import RunDir

MakeRun = Callable[..., RunDir]
DEMO = project_root() / "data/demo"


def page(folder: Path, content: str) -> Path:
    path = folder / "report.html"
    path.write_text(f"<!DOCTYPE html><html><head>{content}</head><body><p id='other'>b</p></body></html>")
    return path


def element(content: str) -> str:
    return f'<script type="application/json" id="bmt-run">{content}</script>'


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    found = read_embedded(page(tmp_path, element(embedded(RunDir.open(DEMO)))))
    assert found.scenario == (DEMO / "scenario.yml").read_text()
    assert found.testbed == (DEMO / "testbed.yml").read_text()
    assert set(found.profiles) == {path.name for path in DEMO.glob("profiles/*.yml")}
    assert (found.name, found.versions["nginx"], found.search) == ("quick", "1.22.1", "")


def test_no_text_of_a_scenario_ends_the_element(make_run: MakeRun, tmp_path: Path, hostile: str) -> None:
    run = make_run(tmp_path / "run", said=hostile)
    for name in ("scenario.yml", "testbed.yml"):
        run.write(name, f"title: '</script><!--<script>{hostile}'")
    text = embedded(run)
    assert "<" not in text
    assert read_embedded(page(tmp_path, element(text))).scenario.endswith(f"{hostile}'")


def test_a_run_that_lost_its_inputs(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run.path / "testbed.yml").unlink(missing_ok=True)
    with pytest.raises(InputError, match=r"had lost its scenario.yml or testbed.yml"):
        read_embedded(page(tmp_path, element(embedded(run))))


BAD = {
    "no report": ("<p>hello</p>", "is no report of bmtlib"),
    "cut": ('<script type="application/json" id="bmt-run">{"form": 1, "sce', "is damaged"),
    "empty": ('<script id="bmt-run"></script>', "is damaged"),
    "a list": ('<script id="bmt-run">[]</script>', "is damaged"),
    "no form": ('<script id="bmt-run">{}</script>', "is damaged.*form"),
    "lacks": ('<script id="bmt-run">{"form": 1, "scenario": "a", "testbed": "b"}</script>', "is damaged.*profiles"),
    "other kind": (
        '<script id="bmt-run">{"form": 1, "scenario": [], "testbed": "", "profiles": {}, "versions": {}}</script>',
        "is damaged.*scenario is something else",
    ),
    "newer": (f'<script id="bmt-run">{{"form": {FORM + 1}, "version": "9.0"}}</script>', "is of a newer bmtlib .9.0."),
}


@pytest.mark.parametrize("kind", BAD)
def test_pages_that_cannot_be_run_again(tmp_path: Path, kind: str) -> None:
    content, said = BAD[kind]
    with pytest.raises(InputError, match=said):
        read_embedded(page(tmp_path, content))


def test_what_is_no_page(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff")
    for path in (tmp_path, tmp_path / "none.html", tmp_path / "picture.png"):
        with pytest.raises(InputError, match="cannot be read"):
            read_embedded(path)


@pytest.fixture
def demo(tmp_path: Path) -> RunDir:
    """The demo's inputs as today's bmtlib plans them: nothing differs."""
    shutil.copytree(DEMO, tmp_path / "demo", ignore=shutil.ignore_patterns("cases", "facts", "changes", "*.html"))
    return RunDir.open(tmp_path / "demo")


def test_a_plan_is_made_from_the_page_alone(demo: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = demo.run_json()["versions"]
    monkeypatch.setattr("bmtlib.rerun.program_versions", lambda: {**versions, "haproxy": "3.0"})
    demo.write("profiles/recommended-web.yml", "title: Of another time\n")
    path = page(tmp_path, element(embedded(demo)))
    loaded, differs = load_again(path)
    assert (loaded.name, loaded.plan.testbed.kind, len(loaded.plan.cases)) == ("quick", "netns", 9)
    assert "haproxy: was 2.6.12-1+deb12u4, is 3.0" in differs
    assert any(line.startswith("profile recommended-web.yml: params/profiles has another one") for line in differs)
    again, _ = load_again(path, settings=["repetitions=1"])
    assert len(again.plan.cases) == 3
    monkeypatch.setattr("bmtlib.rerun.program_versions", dict)
    assert "nginx: was 1.22.1, is absent" in load_again(path)[1]


def test_nothing_differs_from_a_run_of_today(demo: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bmtlib.rerun.program_versions", lambda: demo.run_json()["versions"])
    loaded, _ = load_again(page(tmp_path, element(embedded(demo))))
    for name, text in loaded.texts.items():
        demo.write(name, text)
    demo.write_json("run.json", demo.run_json() | {"digest": loaded.plan.digest})
    assert load_again(page(tmp_path, element(embedded(demo))))[1] == []


def test_inputs_that_this_bmtlib_does_not_take_are_named_by_the_page(demo: RunDir, tmp_path: Path) -> None:
    demo.write("scenario.yml", (demo.path / "scenario.yml").read_text() + "warp: 9\n")
    path = page(tmp_path, element(embedded(demo)))
    with pytest.raises(InputError, match="warp") as refused:
        load_again(path)
    assert f"{path}: quick.yml:" in str(refused.value)
    assert "/bmt-rerun-" not in str(refused.value)


def test_the_verb(demo: RunDir, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["rerun", str(page(tmp_path, element(embedded(demo)))), "--dry-run"])
    assert done.exit_code == 0
    assert done.stdout.split() == [f"b{block}-{arm}" for block, arm in _order(demo)]
    assert CliRunner().invoke(main, ["rerun", str(tmp_path / "none.html")]).exit_code == 2


def _order(demo: RunDir) -> list[tuple[int, str]]:
    return [(case["block"], case["arm"]) for case in demo.read_json("plan.json")["cases"]]
