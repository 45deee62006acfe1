"""What a scenario varies: the factors, their levels, and how a choice of levels is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, ConfigDict, Field
from typing_extensions import TypedDict

from bmtlib.params.units import FileSize, Params, size_text

Level = int | bool | str
T = TypeVar("T")


def _all_different(levels: tuple[T, ...]) -> tuple[T, ...]:
    for i, level in enumerate(levels):
        if level in levels[:i]:
            raise ValueError(f"the level {level} stands twice")
    return levels


# One type for a key and for the levels that stand in for it.
Concurrency = Annotated[int, Field(ge=1, le=10_000_000)]
Rate = Annotated[int, Field(ge=1, le=10_000_000)]
Threads = Annotated[int, Field(ge=1, le=64)]
Queues = Annotated[int, Field(ge=1, le=256)]
# Names become parts of folder names.
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]

# A list in YAML, kept immutable.
_Levels = Annotated[tuple[T, ...], Field(strict=False, min_length=1), AfterValidator(_all_different)]


class Factors(TypedDict, total=False):
    """Factor -> levels. Every combination of levels is measured in every block."""

    __pydantic_config__ = ConfigDict(**Params.model_config)  # type: ignore[misc]

    file_size: Annotated[_Levels[FileSize], Field(description="Varies load.file_size, e.g. [1 KiB, 64 KiB].")]
    concurrency: Annotated[_Levels[Concurrency], Field(description="Varies load.concurrency (over all clients).")]
    rate: Annotated[
        _Levels[Rate], Field(description="Varies load.rate: requests/s over all clients, of the engine open_loop.")
    ]
    keepalive: Annotated[_Levels[bool], Field(description="Varies load.keepalive: [false, true].")]
    threads: Annotated[
        _Levels[Threads],
        Field(description="Varies the threads of the arms of kind proxy; other arms have one case without this level."),
    ]
    queues: Annotated[
        _Levels[Queues],
        Field(
            description="Varies the director's receive queues (nic.channels), their IRQs over its CPUs; where its "
            "interfaces have no queues to choose, the CPUs that RPS gives packets to. Not for arms of kind direct."
        ),
    ]
    tuning: Annotated[
        _Levels[Slug],
        Field(
            description="Varies `tuning`, the sets of profiles that all hosts are tuned to, e.g. [seed, recommended]."
        ),
    ]
    lever: Annotated[
        _Levels[Slug],
        Field(description="Varies the director's settings: names under `levers`. Not for arms of kind direct."),
    ]


class Combination(TypedDict, total=False):
    """One choice of levels, a level of each factor that it names."""

    __pydantic_config__ = ConfigDict(**Params.model_config)  # type: ignore[misc]

    file_size: Annotated[FileSize, Field(description="Level of load.file_size, e.g. 5 KiB.")]
    concurrency: Annotated[Concurrency, Field(description="Level of load.concurrency.")]
    rate: Annotated[Rate, Field(description="Level of load.rate.")]
    keepalive: Annotated[bool, Field(description="Level of load.keepalive.")]
    threads: Annotated[Threads, Field(description="Level of the threads of the arms of kind proxy.")]
    queues: Annotated[Queues, Field(description="Level of the director's receive queues.")]
    tuning: Annotated[Slug, Field(description="Level of `tuning`: a set of profiles.")]
    lever: Annotated[Slug, Field(description="Name under `levers`.")]


# Of the director: clients that ask the web hosts directly do not notice them.
DIRECTOR_FACTORS = ("queues", "lever")


def varies(factor: str, kind: str) -> bool:
    """Whether an arm of this kind has a case for each level of a factor."""
    if factor == "threads":
        return kind == "proxy"
    return kind != "direct" or factor not in DIRECTOR_FACTORS


def combinations(factors: Factors, kind: str, listed: Sequence[Combination] = ()) -> list[dict[str, Level]]:
    """All choices of levels for an arm of this kind: of `listed` each, with every combination of `factors`.

    The last factor varies fastest. What differs only in factors that the arm does not have is one choice.

    >>> combinations({"file_size": (1024, 5120), "threads": (1, 2)}, "l2dsr")
    [{'file_size': 1024}, {'file_size': 5120}]
    >>> combinations({}, "proxy", [{"file_size": 1024, "threads": 1}, {"file_size": 5120, "threads": 2}])
    [{'file_size': 1024, 'threads': 1}, {'file_size': 5120, 'threads': 2}]
    """
    levels: dict[str, Any] = {name: values for name, values in factors.items() if varies(name, kind)}
    found: list[dict[str, Level]] = []
    for chosen in listed or [Combination()]:
        own: dict[str, Any] = {name: level for name, level in chosen.items() if varies(name, kind)}
        choices = [own | dict(zip(levels, choice, strict=True)) for choice in product(*levels.values())]
        found += [choice for choice in choices if choice not in found]
    return found


def level_text(factor: str, level: Level) -> str:
    """A level as people read it.

    >>> level_text("file_size", 5120), level_text("keepalive", True), level_text("threads", 2)
    ('5 KiB', 'yes', '2')
    """
    if factor == "file_size":
        return size_text(int(level))
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
