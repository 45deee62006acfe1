"""The report's tables and sentences in Korean: the same figures in the same places, other words."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import pytest

from bmtlib.params.paths import project_root
from bmtlib.texts import LANGUAGES, language

ROOT = project_root()
HANGUL = re.compile("[가-힣]")
TAGS = ("<th", "<td", "<tr", "<li", "<dt", "<dd", "<a ", "<p", "<details")


def cells(run: str, spoken: str) -> dict[str, str]:
    """What the report's cells show, but for figures, by the cells' last line: run here, without a kernel."""
    notebook = json.loads((ROOT / "notebooks/90-report.ipynb").read_text())
    first, *others = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"][1:]
    names: dict[str, Any] = {"run": str(ROOT / run), "language": spoken}
    with language(spoken):
        exec(first, names)
        shown = {}
        for source in others:
            line = source.splitlines()[-1]
            if not line.startswith("figure("):
                tree = ast.parse(source)
                value = tree.body.pop()
                assert isinstance(value, ast.Expr)
                exec(compile(tree, "cell", "exec"), names)
                shown[line] = str(eval(compile(ast.Expression(value.value), "cell", "eval"), names))
    return shown


@pytest.fixture(scope="module", params=["data/demo", "data/demo-sizes"])
def both(request: pytest.FixtureRequest) -> dict[str, dict[str, str]]:
    return {name: cells(request.param, name) for name in LANGUAGES}


def test_nothing_is_lost_on_the_way(both: dict[str, dict[str, str]]) -> None:
    """Two heads of a table that are the same word in Korean would be one column."""
    english, korean = both["en"], both["ko"]
    assert english.keys() == korean.keys()
    for line, shown in english.items():
        # A sentence for readers of another language, and the name of the run's language in a command, are Korean's own.
        own = korean[line].count("영어로 기록되었으며")
        counts = {tag: (shown.count(tag), korean[line].count(tag) - (own if tag == "<p" else 0)) for tag in TAGS}
        assert not {tag: found for tag, found in counts.items() if found[0] != found[1]}, line


def test_every_part_speaks_korean_and_english_has_none(both: dict[str, dict[str, str]]) -> None:
    for line, shown in both["ko"].items():
        assert not shown or HANGUL.search(shown), line
    assert not [line for line, shown in both["en"].items() if HANGUL.search(shown)]


def test_figures_are_the_same(both: dict[str, dict[str, str]]) -> None:
    """Numbers with a decimal point, which no text has of its own."""
    for line, shown in both["en"].items():
        numbers = [sorted(re.findall(r"\d+\.\d+", text)) for text in (shown, both["ko"][line])]
        assert numbers[0] == numbers[1], line
