"""Ranges of host names as Ansible writes them: `web[01:25]`."""

from __future__ import annotations

import re
from itertools import product
from string import ascii_lowercase, ascii_uppercase

MOST_HOSTS = 1000

_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_NUMBERS = re.compile(r"(\d{0,9}):(\d{1,9})(?::(\d{1,9}))?", re.ASCII)
_LETTERS = re.compile(r"([a-z]):([a-z])(?::(\d{1,2}))?|([A-Z]):([A-Z])(?::(\d{1,2}))?", re.ASCII)


def expand(text: str) -> list[str]:
    """All names of a text with ranges, in order; the text itself where it has none. Ends belong to a range.

    Raises ValueError for a range that is none, runs backwards, or makes more than a thousand names. Source: Ansible,
    "How to build your inventory" (adding ranges of hosts).

    >>> expand("web[08:10]")
    ['web08', 'web09', 'web10']
    >>> expand("r[1:2]-[a:c:2]")
    ['r1-a', 'r1-c', 'r2-a', 'r2-c']
    """
    parts = _BRACKETS.split(text)  # texts and ranges take turns
    count = 1
    choices = []
    for i, part in enumerate(parts):
        if i % 2 == 0 and ("[" in part or "]" in part):
            raise ValueError(f"{text!r} has a bracket without its other half")
        words = _range(part, text) if i % 2 else [part]
        count *= len(words)
        if count > MOST_HOSTS:
            raise ValueError(f"{text!r} makes more than {MOST_HOSTS} names")
        choices.append(words)
    return ["".join(words) for words in product(*choices)]


def _range(inside: str, text: str) -> list[str]:
    if match := _NUMBERS.fullmatch(inside):
        first, last = match[1] or "0", match[2]
        width = len(first) if len(first) > 1 and first[0] == "0" else 0
        if width and len(last) != width:
            raise ValueError(f"[{inside}] in {text!r}: with leading zeros both ends must have as many digits")
        numbers = range(int(first), int(last) + 1, _step(match[3], inside, text))
        if len(numbers) > MOST_HOSTS:
            raise ValueError(f"{text!r} makes more than {MOST_HOSTS} names")
        words = [str(number).zfill(width) for number in numbers]
    elif match := _LETTERS.fullmatch(inside):
        letters = ascii_lowercase if match[1] else ascii_uppercase
        begin, end, step = match.groups()[:3] if match[1] else match.groups()[3:]
        words = list(letters[letters.index(begin) : letters.index(end) + 1 : _step(step, inside, text)])
    else:
        raise ValueError(f"[{inside}] in {text!r} is not a range such as [01:25], [a:f] or [0:10:2]")
    if not words:
        raise ValueError(f"the range [{inside}] in {text!r} runs backwards")
    return words


def _step(digits: str | None, inside: str, text: str) -> int:
    if digits is not None and int(digits) == 0:
        raise ValueError(f"[{inside}] in {text!r} has a step of 0")
    return int(digits or 1)
