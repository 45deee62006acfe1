"""What the sampler writes while a load runs: a text again and again, each behind a line "### <epoch seconds>"."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bmtlib.errors import ParseError

_SAMPLE = re.compile(r"^### (\d+\.\d+)\n", re.MULTILINE)


def split_samples(text: str) -> Iterable[tuple[float, str]]:
    """Samples of a `during` file.

    >>> list(split_samples("### 10.5\\na\\nb\\n### 11.5\\nc\\n"))
    [(10.5, 'a\\nb\\n'), (11.5, 'c\\n')]
    """
    before, *parts = _SAMPLE.split(text)
    if before:
        raise ParseError("sampler", 1, before.splitlines()[0], "expected '### <epoch seconds>'")
    return zip(map(float, parts[::2]), parts[1::2], strict=True)
