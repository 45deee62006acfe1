from __future__ import annotations

import re
from pathlib import Path

import pytest

from bmtlib.errors import InputError
from bmtlib.params.load_yaml import (
    find_file,
    load_inputs,
    load_profile_set,
    load_scenario,
    load_testbed,
    names,
    to_yaml,
)
from bmtlib.params.paths import project_root


@pytest.mark.parametrize("name", names("scenarios"))
def test_every_scenario_loads_and_comes_back_from_its_own_yaml(name: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.yml"
    copy.write_text(to_yaml(load_scenario(name)))
    assert load_scenario(copy) == load_scenario(name)


@pytest.mark.parametrize("name", names("testbeds"))
def test_every_testbed_loads_and_comes_back_from_its_own_yaml(name: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.yml"
    copy.write_text(to_yaml(load_testbed(name)))
    assert load_testbed(copy) == load_testbed(name)


def test_quick_is_what_it_says() -> None:
    it = load_scenario("quick")
    assert list(it.arms) == ["direct", "proxy", "l2dsr"]
    assert (it.load.file_size, it.load.concurrency, it.load.seconds, it.load.warmup_seconds) == (5120, 200, 5, 1)
    assert (it.webs, it.clients, it.repetitions) == (4, 4, 3)


def test_a_path_starts_here_or_at_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_scenario("params/scenarios/quick.yml") == load_scenario("quick")
    Path("params/scenarios").mkdir(parents=True)
    Path("params/scenarios/quick.yml").write_text(to_yaml(load_scenario("file-size")))
    assert load_scenario("params/scenarios/quick.yml").title == load_scenario("file-size").title
    Path("mine.yml").write_text(to_yaml(load_scenario("quick")))
    assert load_scenario("mine.yml") == load_scenario("quick")


def test_errors_name_the_file_as_one_would_type_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project_root())
    assert str(find_file("scenarios", "quick")) == "params/scenarios/quick.yml"


@pytest.mark.parametrize("wish", ["quik", "", "quick ", "$(reboot)", "-x"])
def test_an_unknown_name_lists_those_that_exist(wish: str) -> None:
    with pytest.raises(InputError) as caught:
        load_scenario(wish)
    assert f"no scenario is named {wish!r}" in caught.value.what
    assert {"file-size", "quick"} <= set(re.findall(r"[\w-]+", caught.value.todo))


def test_an_unknown_name_that_is_close_is_suggested() -> None:
    with pytest.raises(InputError, match="did you mean 'quick'"):
        load_scenario("quik")
    with pytest.raises(InputError, match="did you mean 'netns'"):
        load_testbed("netsn")


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ("no/such.yml", "does not exist"),
        ("/dev/zero", "is not a file"),
        ("/tmp/", "is not a file"),
        ("a\0/b.yml", "does not exist"),
    ],
)
def test_what_is_no_file_is_an_error(wish: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        load_scenario(wish)


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "large.yml").write_bytes(b"a: " + b"x" * 300_000)
    with pytest.raises(InputError, match="larger than 256 KiB"):
        load_scenario(tmp_path / "large.yml")


def test_errors_of_both_files_come_together(tmp_path: Path) -> None:
    (tmp_path / "s.yml").write_text("titel: A\n")
    (tmp_path / "t.yml").write_text("kid: netns\n")
    with pytest.raises(InputError) as caught:
        load_inputs(tmp_path / "s.yml", tmp_path / "t.yml")
    assert "titel: unknown key; did you mean 'title'?" in caught.value.what
    assert "kid: unknown key; did you mean 'kind'?" in caught.value.what


def test_profiles_of_a_set() -> None:
    assert load_profile_set("none", "web") is None
    web = load_profile_set("seed", "web")
    assert web is not None
    assert web.nginx is not None
    assert web.nginx.backlog == 300_000
    with pytest.raises(InputError, match="did you mean 'seed'"):
        load_profile_set("sead", "web")
