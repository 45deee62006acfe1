"""Values -> a parameter type, with every error in words: where, what was expected, what was found, what was meant."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from bmtlib.params.document import Document, KeyPath, closest, describe
from bmtlib.params.units import Params

P = TypeVar("P", bound=Params)
_Schema = Mapping[str, Any]

# pydantic's name for a value of the wrong type -> what the user is told that we expected.
_EXPECTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
}

# pydantic's name for another error -> words with its context filled in, where its own words do not suit YAML.
_WRONG = {
    "missing": "missing; this key is required",
    "too_short": "needs at least one entry",
    "string_too_short": "must not be empty",
    "string_too_long": "too long: at most {max_length} characters",
    "greater_than_equal": "must be at least {ge}, found {found}",
    "less_than_equal": "must be at most {le}, found {found}",
    "string_pattern_mismatch": "{found} is not a name: lower-case letters, digits, '-' and '_', 40 at most",
    "value_error": "{error}",
}


@dataclass(kw_only=True)
class _Complaint:
    """All that was said of one key. The members of a union complain one by one of the same value: one line for all."""

    value: object
    expected: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def check(document: Document, model: type[P]) -> tuple[P | None, list[str]]:
    """The document as `model`, or all its errors, one line each, in the order of the file."""
    unread = {path for path, _ in document.errors}
    complaints: dict[KeyPath, _Complaint] = {}
    try:
        params = model.model_validate(document.data)
    except ValidationError as error:
        schema = _schema(model)
        for detail in error.errors():
            _add(complaints, detail, *_locate(detail["loc"], schema, document.data))
    lines = [line for _, line in document.errors] + document.error_lines(
        (path, why)
        for path, complaint in complaints.items()
        if path not in unread
        for why in _words(complaint, document.written.get(path))
    )
    return (None, lines) if lines else (params, [])


@cache
def _schema(model: type[Params]) -> _Schema:
    return model.model_json_schema()


def _locate(loc: Sequence[str | int], schema: _Schema, data: Any) -> tuple[KeyPath, list[str]]:
    """pydantic's location -> key path in the file, and the words known there (keys, or kinds of an arm).

    pydantic's locations hold parts that are no keys: the tag of a discriminated union, the members of a plain one.
    """
    path: list[str | int] = []
    node, beside = schema, schema
    for i, part in enumerate(loc):
        tags = node.get("discriminator", {}).get("mapping", {})
        if part in tags:
            node = _definition(schema, {"$ref": tags[part]})
            continue
        holds = part in data if isinstance(data, dict) else isinstance(data, list) and isinstance(part, int)
        absent_key = isinstance(data, dict) and i == len(loc) - 1 and part != "[key]"
        if holds or absent_key:
            path.append(part)
            data = data[part] if holds else None
            beside, node = node, _definition(schema, _member(node, part))
    return tuple(path), list(node.get("discriminator", {}).get("mapping") or beside.get("properties", {}))


def _member(node: _Schema, part: str | int) -> _Schema:
    if isinstance(part, int):
        items: _Schema = node.get("items", {})
        return items
    members: dict[Any, _Schema] = node.get("properties", {})
    # Of a mapping whose keys the user names; with a pattern for them its values stand below that.
    others = [node.get("additionalProperties"), *node.get("patternProperties", {}).values()]
    return members.get(part) or next((other for other in others if isinstance(other, dict)), {})


def _definition(schema: _Schema, node: _Schema) -> _Schema:
    """The definition behind a reference, also one of several forms. A kind with a name is looked up by it."""
    forms = [] if "discriminator" in node else node.get("oneOf", [])
    for member in (node, *node.get("anyOf", []), *forms):
        if "$ref" in member:
            found: _Schema = schema["$defs"][member["$ref"].rpartition("/")[2]]
            return found
    return node


def _add(complaints: dict[KeyPath, _Complaint], detail: ErrorDetails, path: KeyPath, known: list[str]) -> None:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    expected = wrong = ""
    if kind in _EXPECTED:
        expected = _EXPECTED[kind]
    elif kind == "literal_error":
        expected = context["expected"]
    elif kind == "union_tag_invalid":
        path, value, expected = (*path, "kind"), context["tag"], context["expected_tags"]
    elif kind == "union_tag_not_found":
        wrong = f"needs a 'kind', as its name is not one; {closest(str(path[-1]), known)}"
    elif kind == "extra_forbidden":
        wrong = f"unknown key; {closest(str(path[-1]), known)}"
    else:
        wrong = _WRONG[kind].format(found=describe(value), **context) if kind in _WRONG else detail["msg"]
    complaint = complaints.setdefault(path, _Complaint(value=value))
    complaint.expected += [expected] if expected else []
    complaint.wrong += [wrong] if wrong else []


def _words(complaint: _Complaint, written: str | None) -> list[str]:
    if complaint.wrong:  # the value was of a type that fits, so what other types a union has does not matter
        return list(dict.fromkeys(complaint.wrong))
    value = complaint.value
    why = f"expected {' or '.join(dict.fromkeys(complaint.expected))}, found {describe(value)}"
    if isinstance(value, bool | int | float) and written not in (None, describe(value)):
        why += f" (so YAML reads {written}{'; quotes make it a text' if 'a text' in complaint.expected else ''})"
    choices = re.findall(r"'([^']*)'", " ".join(complaint.expected))
    if isinstance(value, str) and choices and (hint := closest(value, choices)).startswith("did"):
        why += f"; {hint}"
    return [why]
