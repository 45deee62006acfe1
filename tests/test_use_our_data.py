"""docs/use-our-data.md: its commands and queries are run as they stand, and say what bmtlib says."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from bmtlib.analysis.compare import df_ratio, df_throughput, df_trials
from bmtlib.analysis.tables import Tables, read_tables
from bmtlib.cli import main
from bmtlib.rundir import RunDir

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs/use-our-data.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's first commands were given, beside a folder data with the demo in it."""
    place = tmp_path_factory.mktemp("reader")
    (place / "data").mkdir()
    (place / "data/demo").symlink_to(ROOT / "data/demo")
    with contextlib.chdir(place):
        for line in blocks("sh")[0].splitlines():
            words = shlex.split(line, comments=True)
            assert words[0] == "./bmt"
            done = CliRunner().invoke(main, words[1:])
            assert done.exit_code == 0, done.output
    return place


@pytest.fixture(scope="module")
def tables() -> Tables:
    return read_tables(RunDir.open(ROOT / "data/demo"))


def test_queries_say_what_bmtlib_says(folder: Path, tables: Tables) -> None:
    duckdb = pytest.importorskip("duckdb")
    with contextlib.chdir(folder):
        rates, ratios, cpu = (duckdb.sql(query).df() for query in blocks("sql"))
    ours = df_throughput(tables).sort_values("arm")
    assert list(rates["requests_per_s"]) == pytest.approx(list(ours["requests_per_s"]))
    assert list(rates["blocks"]) == list(ours["n"])
    found = df_ratio(tables).set_index("measure").loc["requests_per_s"]
    assert ratios["ratio"].median() == pytest.approx(found["ratio"])
    trials = df_trials(tables).sort_values(["arm", "block"])
    assert list(cpu["director_cpu_us"]) == pytest.approx(list(trials["director_cpu_us"]))


def test_the_percentile_is_ours(folder: Path, tables: Tables) -> None:
    said = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(said):
        exec(compile(blocks("python")[0], "use-our-data.md", "exec"), {})
    printed = {line.split()[0]: float(line.split()[-1]) for line in said.getvalue().splitlines()[2:]}
    assert printed == df_trials(tables).set_index("case")["wait_p99_ms"].to_dict()


def test_the_description_names_every_table(folder: Path) -> None:
    package = json.loads((folder / "demo-csv/datapackage.json").read_text())
    assert {it["path"] for it in package["resources"]} == {path.name for path in (folder / "demo-csv").glob("*.csv")}


@pytest.mark.parametrize("name", ["github-pages", "gitlab-pages"])
def test_examples_of_publishing(name: str, tmp_path: Path) -> None:
    """Their YAML is sound, and the commands that name run folders find them."""
    text = (ROOT / f"docs/examples/{name}.yml").read_text()
    assert text.startswith("# An example")
    jobs = yaml.safe_load(text)
    steps = jobs["jobs"]["publish"]["steps"] if "jobs" in jobs else [{"run": "\n".join(jobs["pages"]["script"])}]
    script = "\n".join(step["run"] for step in steps if "run" in step)
    for run in ("demo", "a b"):
        (tmp_path / "data" / run).mkdir(parents=True)
        (tmp_path / "data" / run / "run.json").write_text("{}")
    (tmp_path / "data/reference").mkdir()
    stand_ins = "pip() { :; }; bmt() { printf '%s\\n' \"$@\"; }\n"
    done = subprocess.run(
        ["bash", "-euc", stand_ins + script],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "SITE_URL": "https://example.org/", "CI_PAGES_URL": "https://example.org"},
        capture_output=True,
        text=True,
        check=True,
    )
    words = done.stdout.splitlines()
    assert words[:3] == ["site", "data/a b", "data/demo"]
    options = {option.opts[0] for option in main.commands["site"].params}
    assert {word for word in words if word.startswith("--")} <= options
