"""Text of a YAML file -> values, with the place of every key, so that each error can name its line.

Built on PyYAML's node tree and stricter than its loader: no duplicate keys, no tags, no dates, a bounded size.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import yaml

from bmtlib.errors import InputError

KeyPath = tuple[str | int, ...]

# A parameter file has some hundred values. An "alias bomb" makes billions of a few lines.
_MOST_VALUES = 20_000
_DEEPEST = 20


class _Loader(yaml.SafeLoader):
    """Without dates: `2022-07-22` stays a text, as everyone who wrote it meant."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (PyYAML's own way; the base class has it without ClassVar)
        first: [(tag, regex) for tag, regex in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


@dataclass(frozen=True, kw_only=True)
class Document:
    """Values with where each key stands ("file:line", or "--set key=value") and how each single value is written."""

    data: Any
    places: dict[KeyPath, str]
    written: dict[KeyPath, str]
    errors: tuple[tuple[KeyPath, str], ...] = ()  # what could not be read: its key path and the whole line of the error

    def error_lines(self, errors: Iterable[tuple[KeyPath, str]]) -> list[str]:
        """`file:line: key.path: why`, in the order of the file; the line is that of the nearest key that is in it."""
        order = {path: i for i, path in enumerate(self.places)}
        found = []
        for path, why in errors:
            nearest = next(path[:n] for n in range(len(path), -1, -1) if path[:n] in self.places)
            text = ": ".join(part for part in (self.places[nearest], path_text(path), why) if part)
            found.append((order[nearest], text))
        return [text for _, text in sorted(found, key=lambda item: item[0])]


def path_text(path: KeyPath) -> str:
    """`("factors", "threads", 0)` -> `factors.threads[0]`. Odd keys are quoted: they may hold anything.

    >>> path_text(("arms", "a b", "threads", 0))
    "arms.'a b'.threads[0]"
    """
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if re.fullmatch(r"[\w.-]{1,80}", part, re.ASCII) else shorten(repr(part))
            text += f".{shown}" if text else shown
    return text


def shorten(text: str, most: int = 80) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def closest(word: str, known: Iterable[str]) -> str:
    """The end of an error on an unknown word: the word that was probably meant, else all that there are.

    >>> closest("concurency", ["concurrency", "requests"])
    "did you mean 'concurrency'?"
    >>> closest("x", ["b", "a"])
    'known: a, b'
    """
    names = sorted(known)
    if match := difflib.get_close_matches(word, names, n=1):
        return f"did you mean {match[0]!r}?"
    return f"known: {', '.join(names)}" if names else "none is known"


def raise_errors(lines: Iterable[str]) -> None:
    """One InputError with all lines, if there are any."""
    if lines := list(lines):
        raise InputError("\n".join(lines))


def read_document(text: str, name: str) -> Document:
    """The values of a YAML text. `name` stands for the file in errors. Raises InputError when it is no YAML."""
    node = _compose(text, name)
    if node is None:
        raise InputError(f"{name}: the file is empty")
    if not isinstance(node, yaml.MappingNode):
        line = node.start_mark.line + 1
        raise InputError(f"{name}:{line}: expected keys and values (key: value), found {_KIND[type(node)]}")
    return _Reader(name).read(node, ())


def read_value(text: str, name: str, path: KeyPath) -> Document:
    """The value of one option, typed as YAML types it; it will stand at `path`.

    Only a bracket, brace or quote makes YAML of it. All else (`a: b`, `#1`, `*x`) is a number, truth value or text.
    """
    if text.startswith(("[", "{", '"', "'")):
        node = _compose(text, name)
    else:
        node = yaml.ScalarNode(_Loader("").resolve(yaml.ScalarNode, text, (True, False)), text)
    assert node is not None  # only an empty text composes to nothing
    return _Reader(name, numbered=False).read(node, path)


def _compose(text: str, name: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        why = f"not valid YAML: {error.problem or error.context}"
        if error.problem and error.context and error.context_mark:
            why += f" ({error.context} that starts at line {error.context_mark.line + 1})"
        if "'\\t'" in why:
            why += " (a tab; YAML indents with spaces)"
        raise InputError(f"{name}:{mark.line + 1 if mark else 1}: {why}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InputError(f"{name}:{line}: not a text file: it holds the character {error.character:#04x}") from None
    except RecursionError:
        raise InputError(f"{name}: too deeply nested to be a parameter file") from None


_KIND = {yaml.ScalarNode: "a single value", yaml.SequenceNode: "a list", yaml.MappingNode: "a mapping"}


class _Reader:
    """Walks the node tree once; gathers values, places and all errors."""

    def __init__(self, name: str, *, numbered: bool = True) -> None:
        self.name, self.numbered = name, numbered
        self.places: dict[KeyPath, str] = {}
        self.written: dict[KeyPath, str] = {}
        self.errors: list[tuple[KeyPath, str]] = []
        self._scalars = _Loader("")
        self._count = 0

    def read(self, node: yaml.Node, path: KeyPath) -> Document:
        self.places[path] = self.name
        data = self.value(node, path)
        return Document(data=data, places=self.places, written=self.written, errors=tuple(self.errors))

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._count += 1
        if self._count > _MOST_VALUES or len(path) > _DEEPEST:
            # Going on would cost memory without end, so this one error stands alone.
            raise InputError(f"{self._place(node)}: too many values or levels for parameters (a YAML alias?)")
        if node.tag not in _TAGS:
            self._error(node, path, f"the YAML tag {shorten(repr(node.tag))} has no meaning here")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._item(item, (*path, i)) for i, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _item(self, node: yaml.Node, path: KeyPath) -> Any:
        self.places[path] = self._place(node)
        return self.value(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            if key is None:
                continue
            here = (*path, key)
            if key in values:
                self._error(key_node, here, f"duplicate key; it stands already at {self.places[here]}")
                continue
            self.places[here] = self._place(key_node)
            values[key] = self.value(value_node, here)
        return values

    def _key(self, node: yaml.Node, path: KeyPath) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._error(node, path, f"a key must be a text, found {_KIND[type(node)]}")
            return None
        # `<<` and `=` have tags of their own; here they are (unknown) keys like any other.
        key = node.value if node.tag in _PLAIN_KEYS else self._scalar(node, path)
        if isinstance(key, str):
            return key
        self._error(node, path, f"a key must be a text; YAML reads {node.value!r} as {describe(key)}: quote it")
        return None

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Any:
        self.written[path] = node.value
        try:
            value: Hashable = self._scalars.construct_object(node)
        except (ValueError, yaml.YAMLError):
            self._error(node, path, f"cannot read {shorten(repr(node.value))} as {node.tag.rpartition(':')[2]}")
            return None
        if isinstance(value, str) and not value.isascii() and re.search("[\ud800-\udfff]", value):
            self._error(node, path, "holds half of a character (a lone surrogate)")
            return None
        return value

    def _place(self, node: yaml.Node) -> str:
        return f"{self.name}:{node.start_mark.line + 1}" if self.numbered else self.name

    def _error(self, node: yaml.Node, path: KeyPath, why: str) -> None:
        self.errors.append((path, ": ".join(part for part in (self._place(node), path_text(path), why) if part)))


_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map")}
_PLAIN_KEYS = {"tag:yaml.org,2002:merge", "tag:yaml.org,2002:value"}


def describe(value: object) -> str:
    """A value for an error message: what it is and what it looks like.

    >>> describe("many"), describe(True), describe(None), describe({})
    ("the text 'many'", 'true', 'nothing', 'a mapping')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return f"the text {shorten(repr(value))}" if isinstance(value, str) else shorten(str(value))
