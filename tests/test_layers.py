"""Who may import whom: the rules of the layers, read from the imports of every module."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# The layer of a module is that of its longest prefix here. A module in none fails the tests: say where it belongs.
LAYERS = {
    "bmtlib": "ground",
    "bmtlib.errors": "ground",
    "bmtlib.cpus": "ground",
    "bmtlib.files": "ground",
    "bmtlib.texts": "ground",
    "bmtlib.parsers": "ground",
    "bmtlib.params": "pure",
    "bmtlib.plan": "pure",
    "bmtlib.knee_plan": "pure",
    "bmtlib.search": "pure",
    "bmtlib.stats": "pure",
    "bmtlib.setup": "pure",
    "bmtlib.measure.capacity": "pure",
    "bmtlib.measure.client_means": "pure",
    "bmtlib.measure.estimate": "pure",
    "bmtlib.measure.load": "pure",
    "bmtlib.measure.probe_choice": "pure",
    "bmtlib.measure.probes": "pure",
    "bmtlib.measure.stopping": "pure",
    "bmtlib.measure": "world",
    "bmtlib.hosts": "world",
    "bmtlib.testbeds": "world",
    "bmtlib.doctor": "world",
    "bmtlib.fleet_doctor": "world",
    "bmtlib.programs": "world",
    "bmtlib.bundles": "meeting",
    "bmtlib.events": "meeting",
    "bmtlib.rundir": "meeting",
    "bmtlib.analysis": "reading",
    "bmtlib.report": "reading",
    "bmtlib.widgets": "reading",
    "bmtlib.__main__": "top",
    "bmtlib.batch": "top",
    "bmtlib.check_testbed": "top",
    "bmtlib.cli": "top",
    "bmtlib.cli_claims": "top",
    "bmtlib.cli_fleet": "top",
    "bmtlib.cli_lab": "top",
    "bmtlib.cli_options": "top",
    "bmtlib.cli_report": "top",
    "bmtlib.fleet": "top",
    "bmtlib.keeper": "top",
    "bmtlib.lab": "top",
    "bmtlib.panel": "top",
    "bmtlib.rerun": "top",
    "bmtlib.run": "top",
    "bmtlib.show": "top",
    "bmtlib.show_capacity": "top",
    "bmtlib.show_claims": "top",
    "bmtlib.show_fleet": "top",
    "bmtlib.show_lint": "top",
}

# layer -> layers of bmtlib that it may reach, directly or through others
MAY_REACH = {
    "ground": {"ground"},
    "pure": {"ground", "pure"},
    "world": {"ground", "pure", "world", "meeting"},
    "meeting": {"ground", "pure", "meeting"},
    "reading": {"ground", "pure", "meeting", "reading"},
    "top": {"ground", "pure", "world", "meeting", "reading", "top"},
}

# layer -> foreign modules that it may not reach, directly or through others
FOREIGN = {
    "ground": {"subprocess", "socket", "asyncio", "pandas", "matplotlib"},
    "pure": {"subprocess", "socket", "asyncio", "pandas", "matplotlib"},
    "world": {"pandas", "matplotlib"},
    "meeting": {"subprocess", "socket", "pandas", "matplotlib"},
    "reading": {"fabric", "paramiko"},
    "top": set(),
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.glob("bmtlib/**/*.py"))}


def layer(module: str) -> str:
    """The layer of a module of bmtlib. A module right below the package has to be named: it has no prefix to go by."""
    prefix = module
    while prefix not in LAYERS or (prefix == "bmtlib" and prefix != module):
        if "." not in prefix:
            pytest.fail(f"{module} belongs to no layer: add it to LAYERS in {Path(__file__).name}")
        prefix = prefix.rpartition(".")[0]
    return LAYERS[prefix]


@cache
def imports(module: str) -> frozenset[str]:
    """What a module imports, wherever in the file: modules of bmtlib by full name, others by their first word."""
    tree = ast.parse(MODULES[module].read_text())
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            # `from bmtlib import errors` names a module, `from bmtlib.errors import InputError` names a thing in one.
            found |= {f"{base}.{a.name}" if f"{base}.{a.name}" in MODULES else base for a in node.names}
    return frozenset(name if name.split(".")[0] == "bmtlib" else name.split(".")[0] for name in found)


def paths(module: str) -> dict[str, list[str]]:
    """Everything that a module reaches -> the shortest chain of imports that leads there."""
    chains = {module: [module]}
    queue = [module]
    for current in queue:
        for name in sorted(imports(current)):
            if name not in chains:
                chains[name] = [*chains[current], name]
                if name in MODULES:
                    queue.append(name)
    return chains


@pytest.mark.parametrize("module", MODULES)
def test_module_keeps_to_its_layer(module: str) -> None:
    own = layer(module)
    breaches = []
    for name, chain in paths(module).items():
        forbidden = layer(name) not in MAY_REACH[own] if name in MODULES else name in FOREIGN[own]
        if forbidden:
            breaches.append(" -> ".join(chain))
    assert not breaches, f"{module} is in layer '{own}' and may not reach these:\n" + "\n".join(breaches)


def test_a_module_in_no_layer_is_told() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"bmtlib\.utils belongs to no layer"):
        layer("bmtlib.utils")
    assert layer("bmtlib.measure.load") == "pure"
    assert layer("bmtlib.measure.anything_else") == "world"


def test_imports_are_seen_in_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "probes.py"
    forms = ["import os.path", "from . import load", "from ..errors import X", "from bmtlib import cpus"]
    file.write_text("\n".join([*forms, "def f():", "    import pandas as p"]))
    monkeypatch.setitem(MODULES, "bmtlib.measure.made_up", file)
    monkeypatch.setitem(MODULES, "bmtlib.measure.load", file)
    assert imports("bmtlib.measure.made_up") == {"os", "pandas", "bmtlib.measure.load", "bmtlib.errors", "bmtlib.cpus"}
