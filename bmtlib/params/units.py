"""Quantities as people write them in YAML (`5 KiB`, `210s`), and the base of every parameter type."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError


class Params(BaseModel):
    """Base of all parameters: immutable, no unknown key, no silent conversion (`"5"` is not 5, `yes` is not a text)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


# A rule that was broken: the key path below the type that has the rule, and why.
Breach = tuple[tuple[str | int, ...], str]


def rules_broken(breaches: list[Breach]) -> ValidationError:
    """The error to raise for rules over several fields: all breaches at once, each with the key path it belongs to."""
    return ValidationError.from_exception_data(
        "rules",
        [
            InitErrorDetails(type=PydanticCustomError("rule", "{why}", {"why": why}), loc=path, input=None)
            for path, why in breaches
        ],
    )


_UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_SIZE = re.compile(r"(\d{1,12}) ?(B|KiB|MiB|GiB)", re.ASCII)
# A file is written to every web host's disk, which in a lab is memory.
_LARGEST_FILE = 1024**3


def parse_size(value: object) -> object:
    """Bytes of a size such as `5 KiB` (units of 1024: B, KiB, MiB, GiB). What is not a text is left as it is.

    >>> parse_size("5 KiB"), parse_size(1500)
    (5120, 1500)
    """
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    if match is None:
        raise ValueError(f"{value!r} is not a size such as '5 KiB' (units: {', '.join(_UNITS)})")
    return int(match[1]) * _UNITS[match[2]]


def size_text(size: int) -> str:
    """A size in the largest unit that leaves a whole number; `parse_size` reads it back.

    >>> size_text(5120), size_text(1500), size_text(0)
    ('5 KiB', '1500 B', '0 B')
    """
    unit = next((unit for unit in ("GiB", "MiB", "KiB") if size and size % _UNITS[unit] == 0), "B")
    return f"{size // _UNITS[unit]} {unit}"


FileSize = Annotated[
    int,
    Field(ge=1, le=_LARGEST_FILE),
    BeforeValidator(parse_size),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": _LARGEST_FILE},
                {"type": "string", "pattern": f"^{_SIZE.pattern}$"},
            ]
        }
    ),
]

_SHARE = re.compile(r"(\d{1,2}(?:\.\d{1,3})?) ?%", re.ASCII)
_SMALLEST_SHARE, _LARGEST_SHARE = 0.001, 0.5


def parse_share(value: object) -> object:
    """The share that a text such as `5%` means. What is not a text is left as it is.

    >>> parse_share("5%"), parse_share("2.5 %"), parse_share(0.05)
    (0.05, 0.025, 0.05)
    """
    if not isinstance(value, str):
        return value
    match = _SHARE.fullmatch(value)
    if match is None:
        raise ValueError(f"{value!r} is not a share such as '5%'")
    return round(float(match[1]) / 100, 6)


Share = Annotated[
    float,
    Field(ge=_SMALLEST_SHARE, le=_LARGEST_SHARE),
    BeforeValidator(parse_share),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": _SMALLEST_SHARE, "maximum": _LARGEST_SHARE},
                {"type": "string", "pattern": f"^{_SHARE.pattern}$"},
            ]
        }
    ),
]

_DURATION = re.compile(r"([1-9]\d{0,8})(ms|s|m|h)", re.ASCII)
_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
# HAProxy and nginx count milliseconds in 31 bits.
_LONGEST_MS = 2**31 - 1


def _check_duration(text: str) -> str:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a time such as '210s' (a whole number with ms, s, m or h)")
    if int(match[1]) * _MILLISECONDS[match[2]] > _LONGEST_MS:
        raise ValueError(f"{text!r} is too long: HAProxy and nginx take up to 24 days")
    return text


Duration = Annotated[
    str, AfterValidator(_check_duration), WithJsonSchema({"type": "string", "pattern": f"^{_DURATION.pattern}$"})
]
