"""What a notebook does first: see that its parameters are right, and find the files they name."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

from bmtlib.errors import InputError
from bmtlib.params.paths import project_root
from bmtlib.rundir import RunDir

_WORDS = {str: "a text", bool: "True or False", int: "a whole number", float: "a number"}


def check_parameters(namespace: Mapping[str, Any], **types: type) -> None:
    """Raise one InputError with everything that is wrong with a notebook's parameters.

    `namespace` is the notebook's `globals()`; `types` is each parameter's type by name. papermill only warns of a
    parameter that the notebook does not have, and goes on with the default of the one that was meant. The names given
    are those that the cells before this call assigned: the parameters cell, and the one that papermill puts after it.

    >>> check_parameters({"In": ["", "run = 'data/demo'", "runs = 'data/mine'"], "run": "data/demo"}, run=str)
    Traceback (most recent call last):
    bmtlib.errors.InputError: unknown parameter 'runs'; did you mean 'run'?
    """
    wrong = []
    for name in sorted(_assigned(namespace) - types.keys()):
        close = difflib.get_close_matches(name, types, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(types)}"
        wrong.append(f"unknown parameter {name!r}; {hint}")
    for name, kind in types.items():
        if name not in namespace:
            wrong.append(f"parameter {name!r} is missing")
        elif type(namespace[name]) is not kind:
            wrong.append(f"parameter {name!r} must be {_WORDS[kind]}, found {namespace[name]!r}")
    if wrong:
        raise InputError("\n".join(wrong))


def _assigned(namespace: Mapping[str, Any]) -> set[str]:
    """Names assigned by the cells that ran before the first one with a check; IPython keeps their text in `In`."""
    before = takewhile(lambda cell: "check_parameters(" not in cell, namespace.get("In", []))
    names: set[str] = set()
    for cell in before:
        with suppress(SyntaxError):  # a cell that never ran
            for node in ast.parse(cell).body:
                if isinstance(node, ast.Assign):
                    names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def find(path: str) -> Path:
    """A notebook's path: relative to the current folder if it is there, else to the project.

    papermill works in the folder it is called from, JupyterLab in notebooks/, and both shall understand `data/demo`.
    A path that begins with ".." is always meant from the current folder.
    """
    given = Path(path).expanduser()
    from_project = project_root() / given
    here = given.exists() or given.parts[:1] == ("..",) or not from_project.parent.exists()
    return given if here else from_project


def open_run(path: str) -> RunDir:
    """The run folder that a notebook was told to read. InputError names the ones that there are."""
    found = find(path)
    if not found.exists():
        there = sorted(
            file.parent.relative_to(project_root()).as_posix() for file in project_root().glob("data/*/run.json")
        )
        raise InputError(
            f"there is no run folder {path!r}", todo=f"use one of: {', '.join(there) or 'none is there yet'}"
        )
    return RunDir.open(found)
