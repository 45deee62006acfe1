"""The texts of the code that have to be in a catalogue: found by reading it, as gettext does."""

from __future__ import annotations

import ast
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from babel.messages.catalog import Catalog
from jinja2.ext import babel_extract

PACKAGE = Path(__file__).resolve().parent.parent
# The notebooks whose text cells are sections of a page; an installed package keeps them in share/.
_PAGES = ("notebooks/60-compare-runs.ipynb", "notebooks/90-report.ipynb")

# Scenarios of the project: pages show their words. Those of one's own stay in the words of who wrote them.
_SCENARIOS = "params/scenarios"

# Function -> how many of its first arguments are texts.
KEYWORDS = {"say": 1, "say_html": 1, "translated": 1, "msg": 1, "say_n": 2}
_Text = str | tuple[str, ...]


def texts() -> Iterator[tuple[_Text, str, int]]:
    """Every text (of a plural: its two forms), the file that has it, and the line, in an order that stays."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.parent != Path(__file__).parent:
            yield from _in_python(path)
    for path in sorted(PACKAGE.rglob("*.j2")):
        yield from _in_template(path)
    for path in sorted(_kept(_SCENARIOS).glob("*.yml")):
        for text in _in_scenario(yaml.safe_load(path.read_text())):
            yield text, f"{_SCENARIOS}/{path.name}", 0
    for name in _PAGES:
        for number, cell in enumerate(json.loads(_kept(name).read_text())["cells"]):
            text = "".join(cell["source"])
            if cell["cell_type"] == "markdown" and not text.startswith("# "):  # a page has a title of its own
                yield text, name, number


def _kept(path: str) -> Path:
    """A path of the project, or of the share of an installed package."""
    return next(place for place in (PACKAGE.parent / path, PACKAGE / "share" / path) if place.exists())


def _in_scenario(scenario: dict[str, Any]) -> Iterator[str]:
    yield from (scenario[key].strip() for key in ("title", "question", "expect") if scenario.get(key))
    yield from (claim["text"] for claim in scenario.get("claims") or [])


def template() -> Catalog:
    """All texts without their translations."""
    catalogue = Catalog()
    for text, path, line in texts():
        catalogue.add(text, locations=[(path, line)])
    return catalogue


def calls(path: Path) -> Iterator[tuple[ast.Call, list[ast.expr]]]:
    """The calls of KEYWORDS in a module, in the order of its lines, and what stands where their texts belong."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset)):
        if isinstance(node.func, ast.Name) and node.func.id in KEYWORDS:
            yield node, node.args[: KEYWORDS[node.func.id]]


def _in_python(path: Path) -> Iterator[tuple[_Text, str, int]]:
    for node, given in calls(path):
        found = [arg.value for arg in given if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        if found:
            yield found[0] if len(found) == 1 else tuple(found), _name(path), node.lineno


def _in_template(path: Path) -> Iterator[tuple[_Text, str, int]]:
    found: Any = babel_extract(io.BytesIO(path.read_bytes()), list(KEYWORDS), [], {})
    for line, function, given, _ in found:
        given = [given] if isinstance(given, str) else list(given or ())
        given = [text for text in given[: KEYWORDS[function]] if text]
        if given:
            yield given[0] if len(given) == 1 else tuple(given), _name(path), line


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE.parent).as_posix()
