"""What every parser needs: a strict walk over lines, strict JSON, and one way to refuse.

A parser must account for every line. So it never searches: it takes the next line, says what it must look like,
and gets a `ParseError` that names the line when it looks different.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from bmtlib.errors import ParseError

COUNT = r"\d{1,20}"
"""A counter as the kernel prints it: up to 2**64 - 1. The bound keeps garbage from reaching int()."""


class Lines:
    """The lines of a tool's output, taken one after the other.

    Every line ends in a newline in what the tools print, so a missing last newline is a truncated file.

    >>> lines = Lines("demo", "a: 1\\nb: 2\\n")
    >>> lines.take(r"a: (?P<n>\\d+)", "field a")["n"]
    '1'
    >>> lines.take(r"c: (\\d+)", "field c")
    Traceback (most recent call last):
        ...
    bmtlib.errors.ParseError: demo: expected field c
      where: line 2: 'b: 2'
    """

    def __init__(self, tool: str, text: str) -> None:
        self.tool = tool
        if not text.strip():
            raise ParseError(tool, 1, text[:200], "empty output")
        self._lines = text.split("\n")
        if self._lines.pop():
            self._at = len(self._lines)
            raise ParseError(tool, self._at + 1, text[text.rfind("\n") + 1 :], "last line is cut off (no newline)")
        self._at = 0

    def __bool__(self) -> bool:
        """True while lines are left."""
        return self._at < len(self._lines)

    @property
    def next(self) -> str:
        """The next line without taking it; "" at the end."""
        return self._lines[self._at] if self else ""

    def fail(self, why: str) -> NoReturn:
        """Refuse the next line (or the end of the text)."""
        if not self:
            raise ParseError(self.tool, self._at + 1, "", f"output ends here: {why}")
        raise ParseError(self.tool, self._at + 1, self.next, why)

    def take(self, pattern: str | re.Pattern[str], what: str) -> re.Match[str]:
        """The next line, which must match the whole pattern; `what` names it in the error."""
        match = self.take_if(pattern)
        if match is None:
            self.fail(f"expected {what}")
        return match

    def take_if(self, pattern: str | re.Pattern[str]) -> re.Match[str] | None:
        """The next line if it matches the whole pattern, else None and nothing is taken.

        A pattern for thousands of lines is compiled once, with re.ASCII.
        """
        if not self:
            return None
        compiled = re.compile(pattern, re.ASCII) if isinstance(pattern, str) else pattern
        match = compiled.fullmatch(self._lines[self._at])
        if match is not None:
            self._at += 1
        return match

    def end(self) -> None:
        """Refuse whatever is left."""
        if self:
            self.fail("unexpected line after the end of the output")


class Json:
    """A value inside a tool's JSON, which knows its own address, so that an error can name it.

    >>> doc = Json.load("demo", '{"rx": [{"bytes": 5}]}')
    >>> doc["rx"].items()[0]["bytes"].count()
    5
    >>> doc["rx"].items()[0]["packets"]
    Traceback (most recent call last):
        ...
    bmtlib.errors.ParseError: demo: $.rx[0].packets is missing
      where: line 1: "{'bytes': 5}"
    """

    def __init__(self, tool: str, value: Any, address: str = "$") -> None:
        self.tool, self.value, self.address = tool, value, address

    @classmethod
    def load(cls, tool: str, text: str) -> Json:
        """Read JSON text; anything that is not exactly one JSON value is refused."""
        if not text.strip():
            raise ParseError(tool, 1, text[:200], "empty output")

        def no_constant(name: str) -> NoReturn:
            raise ParseError(tool, 1, name, f"{name} is not JSON")

        def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            members = dict(pairs)
            if len(members) != len(pairs):
                raise ParseError(tool, 1, repr(pairs), "a key stands twice in one object")
            return members

        try:
            return cls(tool, json.loads(text, parse_constant=no_constant, object_pairs_hook=unique))
        except json.JSONDecodeError as error:
            line = text.split("\n")[error.lineno - 1]
            raise ParseError(tool, error.lineno, line, f"not JSON: {error.msg} (column {error.colno})") from None
        except (RecursionError, ValueError) as error:
            raise ParseError(tool, 1, text[:200], f"not JSON: {error}") from None

    def fail(self, why: str) -> NoReturn:
        """Refuse this value. These tools print one line, so the address says more than the line number 1."""
        raise ParseError(self.tool, 1, repr(self.value), f"{self.address} {why}")

    def has(self, key: str) -> bool:
        return isinstance(self.value, dict) and key in self.value

    def __getitem__(self, key: str) -> Json:
        if not isinstance(self.value, dict):
            self.fail("is not an object")
        if key not in self.value:
            raise ParseError(self.tool, 1, repr(self.value), f"{self.address}.{key} is missing")
        return Json(self.tool, self.value[key], f"{self.address}.{key}")

    def items(self) -> list[Json]:
        """The members of an array."""
        if not isinstance(self.value, list):
            self.fail("is not an array")
        return [Json(self.tool, value, f"{self.address}[{i}]") for i, value in enumerate(self.value)]

    def fields(self) -> list[tuple[str, Json]]:
        """The members of an object."""
        if not isinstance(self.value, dict):
            self.fail("is not an object")
        return [(key, self[key]) for key in self.value]

    def text(self) -> str:
        if not isinstance(self.value, str):
            self.fail("is not a string")
        return self.value

    def count(self) -> int:
        """A whole number, zero or more (true and false are not numbers here)."""
        if type(self.value) is not int or self.value < 0:
            self.fail("is not a count")
        return self.value
