"""The documents say what the code has, all of it, and point at nothing that is not there."""

from __future__ import annotations

import ast
import inspect
import json
import pkgutil
import re
import subprocess
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest

from bmtlib.analysis.finding import LIMITS
from bmtlib.analysis.plots import FIGURES
from bmtlib.analysis.schema import COLUMNS, FACTOR_COLUMNS
from bmtlib.analysis.tables import read_tables
from bmtlib.cli import main
from bmtlib.measure import case, guards, in_place, new_run, outcome, preflight, recorded, resume, runner
from bmtlib.measure.guards.guard import Guard
from bmtlib.measure.probes import PROBES
from bmtlib.params.load_yaml import names, profile_sets
from bmtlib.params.scenario import Load
from bmtlib.rundir import FORMAT, RunDir

ROOT = Path(__file__).resolve().parent.parent
DOCS = [
    ROOT / name
    for name in (
        *(
            "README.md",
            "README.ko.md",
            "CONTRIBUTING.md",
            "CHANGELOG.md",
            "data/README.md",
            "figures/README.md",
            "notebooks/README.md",
        ),
        *("docs/fleet.md", "docs/load-engines.md", "docs/use-our-data.md"),
    )
]
DICTIONARY = (ROOT / "data/README.md").read_text()
DEMO = ROOT / "data/demo"

# Folders of the tree, as they begin a path in a text or a command.
_PATH = re.compile(
    r"(?<![\w/.<>*-])(?:bmtlib|params|notebooks|tests|data|figures|benchmarks|\.ci)/[\w./*<>{},@-]*\w[*>}]?"
)


def section(title: str) -> str:
    """The text under a heading of the data dictionary, up to the next heading."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", DICTIONARY, re.MULTILINE | re.DOTALL)
    assert found, f"data/README.md has no section {title!r}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows that document something, which stands in the first cell, in backticks."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in cells] for cells in lines]


def quoted(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


def listed(text: str) -> set[str]:
    """What the first cells of the tables of a text document."""
    return {name for cells in rows(text) for name in quoted(cells[0])}


def parts(text: str) -> set[str]:
    """The keys that a text documents, those inside of others too: `hosts[].name` is two."""
    return {part for key in listed(text) for part in key.replace("[]", "").split(".")}


def nodes(code: Any) -> Iterator[ast.AST]:
    """Everything in the source of a module or function."""
    return ast.walk(ast.parse(textwrap.dedent(inspect.getsource(code))))


def keys(*code: Any) -> set[str]:
    """The keys of all dictionaries that are written out in these modules or functions."""
    dicts = [node for part in code for node in nodes(part) if isinstance(node, ast.Dict)]
    return {key.value for node in dicts for key in node.keys if isinstance(key, ast.Constant)}


def calls(module: Any, *callees: str) -> list[ast.Call]:
    found = [node for node in nodes(module) if isinstance(node, ast.Call)]
    return [call for call in found if ast.unparse(call.func).split(".")[-1] in callees]


def arguments(module: Any, *callees: str) -> set[str]:
    """The first argument (or `name=`) of each call of these functions in a module, where it is a text."""
    found = calls(module, *callees)
    given = [value for call in found for value in call.args[:1]]
    given += [word.value for call in found for word in call.keywords if word.arg == "name"]
    return {value.value for value in given if isinstance(value, ast.Constant)}


def same(documented: Iterable[str], real: Iterable[str]) -> None:
    documented, real = set(documented), set(real)
    assert not (missing := real - documented), f"not documented: {sorted(missing)}"
    assert not (gone := documented - real), f"documented, and not there: {sorted(gone)}"


def test_format() -> None:
    assert f"**Format {FORMAT}.**" in DICTIONARY


def test_keys_of_run_json() -> None:
    same(parts(section("run.json")), keys(new_run, runner, recorded.describe, resume.controller))


def test_keys_of_case_json() -> None:
    written = keys(case, in_place, outcome.request_counts)
    rows_of = (outcome.ClientOutcome, Guard)
    written |= {field.name for kind in rows_of for field in fields(kind)} | set(Load.model_fields)
    same(parts(section("case.json")), written)


def test_statuses_phases_guards_and_proofs() -> None:
    rooms = [import_module(f"{guards.__name__}.{room.name}") for room in pkgutil.iter_modules(guards.__path__)]
    found = {name for room in (case, *rooms) for name in arguments(room, "Guard", "graded", "_known")}
    same(listed(section("Guards")), found)
    same(listed(section("Proofs")), arguments(preflight, "Proof"))
    events = quoted(section("events.jsonl"))
    assert arguments(case, "_phase") <= events
    assert arguments(runner, "event") <= events
    assert {word.arg for call in calls(runner, "event", "tell") for word in call.keywords if word.arg} <= events


def test_probes() -> None:
    documented = {next(iter(quoted(cells[0]))): cells for cells in rows(section("Probes"))}
    same(documented, (probe.name for probe in PROBES))
    for probe in PROBES:
        when, on, parser = documented[probe.name][2:5]
        module = inspect.getmodule(probe.parse)
        assert module is not None
        assert (when, parser) == (probe.when, f"`{module.__name__.split('.')[-1]}.{probe.parse.__name__}`"), probe.name
        assert ("machine" in on) == probe.machine, probe.name
        assert all(word in on for word in probe.engines or ()), probe.name
        assert on == "all" or all(role in on for role in probe.roles) or probe.machine, probe.name


def test_tables_and_columns() -> None:
    same(re.findall(r"^### `(\w+)`$", DICTIONARY, re.MULTILINE), COLUMNS)
    common = listed(section("Tables"))
    for table, columns in COLUMNS.items():
        documented = listed(section(f"`{table}`"))
        assert set(columns) - common == documented - common, table


def test_limits() -> None:
    same(listed(section("Limits")), LIMITS)


def test_figures() -> None:
    table_rows = rows((ROOT / "figures/README.md").read_text())
    documented = {next(iter(quoted(cells[0]))): quoted(cells[2]) for cells in table_rows}
    same(documented, FIGURES)
    tables = read_tables(RunDir.open(DEMO))
    for name, (_, table) in FIGURES.items():
        same(documented[name], set(table(tables).columns) - {"arm", "kind", "engine", *FACTOR_COLUMNS.values()})


def test_reference() -> None:
    heading = (ROOT / "data/reference/seed-2022.csv").read_text().splitlines()[0]
    same(listed(section("seed-2022.csv")), heading.split(","))


def verbs(group: click.Group, before: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from verbs(command, f"{before}{name} ")
        else:
            yield f"{before}{name}"


def test_verbs_scenarios_testbeds_and_profiles() -> None:
    text = "".join((ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md"))
    missing = [verb for verb in verbs(main) if not re.search(rf"(bmt |`){verb}\b", text)]
    known = [*names("scenarios"), *names("testbeds"), *profile_sets()]
    missing += [name for name in known if not re.search(rf"`{name}`|\[{name}\]|bmt \w+ {name}\b", text)]
    assert not missing


def test_the_korean_readme_names_what_the_english_one_does() -> None:
    """The same verbs, options, scenarios, files and links; its words are its own."""
    english, korean = (
        re.sub(r"^\*?\*?\[?(?:English|한국어).*$", "", (ROOT / name).read_text(), flags=re.MULTILINE)
        for name in ("README.md", "README.ko.md")
    )
    for pattern in (r"\./bmt (?:--no-install )?[a-z]+", r"`([a-z][\w.-]*)`", r"\]\(([^)]+)\)", r"(?<= )--[a-z]+"):
        assert set(re.findall(pattern, english)) - set(re.findall(pattern, korean)) == set(), pattern
    assert english.count("\n## ") == korean.count("\n## ")
    assert english.count("\n| ") == korean.count("\n| ")


@pytest.mark.parametrize("doc", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_points_at_what_is_there(doc: Path) -> None:
    text = doc.read_text()
    assert text.startswith("# ")
    assert not re.search(r"(?<![\w.>])/(?:work|root|home)/", text), "a path of one machine"
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if "://" not in target:
            assert (doc.parent / path).exists(), target
        if anchor and "://" not in target:
            titles = re.findall(r"^#+ (.*)", (doc.parent / path).read_text() if path else text, re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, target
    for path in _PATH.findall(text):
        if not path.startswith(("data/<", "data/*", "figures/<")):  # a run's, which a clone need not have
            pattern = re.sub(r"<[^>]*>|\{[^}]*\}", "*", path)
            assert list(ROOT.glob(pattern)), f"{path} is not there"


def test_the_figure_by_hand_is_the_cases_figure() -> None:
    script = re.findall(r"```sh\n(.*?)```", section("A figure by hand"), re.DOTALL)[0]
    said = subprocess.run(["bash", "-ec", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    record = json.loads((DEMO / "cases/b1-proxy/case.json").read_text())
    completed, window_s = record["requests"]["completed"], record["window_s"]
    assert said == f"{completed} requests / {window_s:.6f} s = {completed / window_s:.1f} requests/s\n"
