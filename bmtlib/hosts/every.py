"""Work on many hosts at once, where one that fails must not hide the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from bmtlib.errors import BmtError, MachineError

_AT_ONCE = 32  # each mostly waits for its host


class Named(Protocol):
    """A host, or a login to one."""

    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=Named)
T = TypeVar("T")


def every(items: Iterable[N], work: Callable[[N], T]) -> dict[str, T | BaseException]:
    """Do `work` on all in parallel; by name its result, or the error that it ended with."""

    def attempt(item: N) -> T | BaseException:
        try:
            return work(item)
        except (BmtError, OSError, TimeoutError) as error:
            return error

    items = list(items)
    with ThreadPoolExecutor(max_workers=max(1, min(_AT_ONCE, len(items)))) as pool:
        return dict(zip([item.name for item in items], pool.map(attempt, items), strict=True))


def good(results: Mapping[str, T | BaseException]) -> dict[str, T]:
    """The results of those that did not fail; where one did, the error of `raise_all`."""
    raise_all(results)
    return {name: result for name, result in results.items() if not isinstance(result, BaseException)}


def raise_all(results: Mapping[str, object]) -> None:
    """One error for all hosts that failed; the error itself where it is one."""
    errors = {name: result for name, result in results.items() if isinstance(result, BaseException)}
    if len(errors) == 1:
        raise next(iter(errors.values()))
    if errors:
        lines = "\n    ".join(str(error).replace("\n", "\n    ") for error in errors.values())
        raise MachineError(f"{len(errors)} of {len(results)} hosts:\n    {lines}")
