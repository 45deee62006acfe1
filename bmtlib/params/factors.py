"""What a scenario varies: the factors, their levels, and how a choice of levels is named."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, ConfigDict, Field
from typing_extensions import TypedDict

from bmtlib.params.units import FileSize, Params, size_text

Level = int | bool
T = TypeVar("T")


def _all_different(levels: tuple[T, ...]) -> tuple[T, ...]:
    for i, level in enumerate(levels):
        if level in levels[:i]:
            raise ValueError(f"the level {level} stands twice")
    return levels


# One type for a key and for the levels that stand in for it.
Concurrency = Annotated[int, Field(ge=1, le=10_000_000)]
Threads = Annotated[int, Field(ge=1, le=64)]

# A list in YAML, kept immutable.
_Levels = Annotated[tuple[T, ...], Field(strict=False, min_length=1), AfterValidator(_all_different)]


class Factors(TypedDict, total=False):
    """Factor -> levels. Every combination of levels is measured in every block."""

    __pydantic_config__ = ConfigDict(**Params.model_config)  # type: ignore[misc]

    file_size: Annotated[_Levels[FileSize], Field(description="Varies load.file_size, e.g. [1 KiB, 64 KiB].")]
    concurrency: Annotated[_Levels[Concurrency], Field(description="Varies load.concurrency (over all clients).")]
    keepalive: Annotated[_Levels[bool], Field(description="Varies load.keepalive: [false, true].")]
    threads: Annotated[
        _Levels[Threads],
        Field(description="Varies the threads of the arms of kind proxy; other arms have one case without this level."),
    ]


def combinations(factors: Factors, kind: str) -> list[dict[str, Level]]:
    """All choices of levels for an arm of this kind, the last factor varying fastest.

    >>> combinations({"file_size": (1024, 5120), "threads": (1, 2)}, "l2dsr")
    [{'file_size': 1024}, {'file_size': 5120}]
    """
    levels: dict[str, Any] = {name: values for name, values in factors.items() if name != "threads" or kind == "proxy"}
    return [dict(zip(levels, choice, strict=True)) for choice in product(*levels.values())]


def level_text(factor: str, level: Level) -> str:
    """A level as people read it.

    >>> level_text("file_size", 5120), level_text("keepalive", True), level_text("threads", 2)
    ('5 KiB', 'yes', '2')
    """
    if factor == "file_size":
        return size_text(level)
    if isinstance(level, bool):
        return "yes" if level else "no"
    return str(level)


def slug(arm: str, levels: Mapping[str, Level]) -> str:
    """Name of an arm at a choice of levels, for folders: lower case, so that no file system confuses two of them.

    >>> slug("l2dsr", {"file_size": 5120})
    'l2dsr-file_size-5kib'
    """
    parts = (f"-{factor}-{level_text(factor, level).replace(' ', '').lower()}" for factor, level in levels.items())
    return arm + "".join(parts)
