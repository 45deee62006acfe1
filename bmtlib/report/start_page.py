"""The start page of the notebooks, notebooks/README.md: each question with its notebook, and what the demo answers.

    python -m bmtlib.report.start_page     # writes it anew, from the notebooks and data/demo

`bmt jupyter` opens it, so that nothing has to be executed to see what a run gives.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bmtlib.analysis import conclusions
from bmtlib.analysis.answer import answer
from bmtlib.analysis.tables import Tables, read_tables
from bmtlib.params.paths import project_root
from bmtlib.rundir import RunDir

DEMO = "data/demo"
_REPORT = "All of it on one page"  # a report's own title is that of its run
# Notebooks whose answer stands on the page: figures of the demo, what to see in each, and who concludes.
_SHOWN = {
    "20-compare-arms": ({"throughput": "Requests per second of each arm, each block a dot"}, "answer"),
    "21-waits": ({"waits": "Share of requests that waited longer than a time, by arm"}, "waits"),
    "22-director-cost": (
        {
            "director-cpu": "CPU time of the director per request, by arm and kind",
            "director-bytes": "Bytes through the director per request, in and out, by arm",
        },
        "director_cost",
    ),
    "30-irq-and-drops": ({"packets-by-cpu": "Packets on each CPU of the director, by arm"}, "packets_and_losses"),
}

_HEAD = """\
# Notebooks

Each asks one question, and ends with what follows, computed from its tables. All but `00` and `10` read a run folder
and need no host: open one, and press ▶▶ (*Restart the kernel and run all cells*). To ask the same of a run of yours,
name its folder in the first cell with code.

| question | notebook | reads |
|---|---|---|
"""
_DEMO = """
## What the demo answers

[data/demo](../data/demo) is one small run of the scenario `quick`, kept as it was measured; its
[run.json](../data/demo/run.json) has the conditions. Nothing below was written by hand:
`.venv/bin/python -m bmtlib.report.start_page` makes this page.
"""


def start_page(root: Path | None = None) -> str:
    """The page's text, from the notebooks and the demo of the project in `root`."""
    root = project_root() if root is None else root
    notebooks = {path.stem: json.loads(path.read_text()) for path in sorted((root / "notebooks").glob("*.ipynb"))}
    lines = [f"| {_question(it)} | [{name}]({name}.ipynb) | {_reads(it)} |" for name, it in notebooks.items()]
    tables = read_tables(RunDir.open(root / DEMO))
    parts = [_part(name, _question(notebooks[name]), figures, tables) for name, (figures, _) in _SHOWN.items()]
    return _HEAD + "\n".join(lines) + "\n" + _DEMO + "".join(parts)


def _question(notebook: dict[str, Any]) -> str:
    first = "".join(notebook["cells"][0]["source"]).splitlines()[0]
    return first.removeprefix("# ") if first.startswith("# ") else _REPORT


def _reads(notebook: dict[str, Any]) -> str:
    """The run folders that a notebook reads as it is kept, in words for a table."""
    given = next(cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", []))
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse("".join(given["source"])).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    runs = str(values.get("run") or values.get("runs") or "").split()
    return " ".join(f"`{run}`" for run in runs) or "your hosts, or this machine"


def _part(name: str, question: str, figures: dict[str, str], tables: Tables) -> str:
    pictures = "\n\n".join(f"![{words}](../figures/demo/{figure}.png)" for figure, words in figures.items())
    _, who = _SHOWN[name]
    said = answer(tables).sentences if who == "answer" else getattr(conclusions, who)(tables)
    return f"\n### {question}\n\n{pictures}\n\n{_list(said)}\n\nThe notebook: [{name}]({name}.ipynb).\n"


def _list(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {_plain(text)}" for text in sentences)


def _plain(text: str) -> str:
    """A sentence that Markdown takes for nothing else.

    >>> _plain("a_b <c> costs 5 %")
    'a\\\\_b \\\\<c> costs 5 %'
    """
    return re.sub(r"([\\`*_<\[\]|])", r"\\\1", text)


if __name__ == "__main__":
    (project_root() / "notebooks" / "README.md").write_text(start_page())
