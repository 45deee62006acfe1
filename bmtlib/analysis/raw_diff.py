"""Two texts of one probe side by side: which lines changed, which numbers in them, and by how much they grew."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

MOST_LINES = 4000  # of each text; more would take seconds to align, and nobody reads them here
_CONTEXT = 2  # lines around a change that stay when all that is equal is left out
# A number that stands by itself: not the 0 of eth0 or the parts of an address.
_NUMBER = re.compile(r"(?<![\w.:-])-?\d+(?:\.\d+)?(?![\w:]|\.\d)")
_HEX = re.compile(r"(?<!\w)[0-9a-f]{8}(?!\w)")  # softnet_stat's counters
_WRAP = 2**32


@dataclass(frozen=True, kw_only=True)
class Part:
    """A piece of a line. changed: it differs from the other side; growth: by how much, of a number: "+12"."""

    text: str
    changed: bool = False
    growth: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of both texts, or of one of them ("before", "after"). "gap": `skipped` equal lines that were left out.

    left_no, right_no: numbers of the line in each text, from 1; None where it has none
    """

    kind: Literal["same", "changed", "before", "after", "gap"]
    left: tuple[Part, ...] = ()
    right: tuple[Part, ...] = ()
    left_no: int | None = None
    right_no: int | None = None
    skipped: int = 0


def readable(text: str) -> str:
    """A text as people read it: JSON in one line is laid out, one value a line.

    >>> readable('{"kernel": {"a": 1}}').splitlines()
    ['{', ' "kernel": {', '  "a": 1', ' }', '}']
    >>> readable("cpu 1")
    'cpu 1'
    """
    if text[:1] not in ("{", "["):
        return text
    try:
        return json.dumps(json.loads(text), indent=1, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def side_by_side(before: str, after: str, *, hexadecimal: bool = False) -> list[Row]:
    """The lines of both texts, those that differ only in numbers beside each other. Only the first MOST_LINES count.

    hexadecimal: words of eight hexadecimal digits are counters of 32 bits too

    >>> row, = side_by_side("eth0: 10 packets", "eth0: 1010 packets")
    >>> row.kind, [(part.text, part.growth) for part in row.right if part.changed]
    ('changed', [('1010', '+1,000')])
    """
    number = _HEX if hexadecimal else _NUMBER
    left, right = before.splitlines()[:MOST_LINES], after.splitlines()[:MOST_LINES]
    shapes = [number.sub("#", line) for line in left], [number.sub("#", line) for line in right]
    if shapes[0] == shapes[1]:
        return [_pair(left, right, i, i, number) for i in range(len(left))]
    rows: list[Row] = []
    matcher = difflib.SequenceMatcher(None, *shapes, autojunk=False)
    for tag, one, one_end, two, two_end in matcher.get_opcodes():
        if tag == "equal":
            rows += [_pair(left, right, one + i, two + i, number) for i in range(one_end - one)]
            continue
        rows += [Row(kind="before", left=(Part(text=left[i]),), left_no=i + 1) for i in range(one, one_end)]
        rows += [Row(kind="after", right=(Part(text=right[i]),), right_no=i + 1) for i in range(two, two_end)]
    return rows


def only_changes(rows: Sequence[Row]) -> list[Row]:
    """Rows that differ, with two lines around each; what is left out between them is a gap.

    >>> [row.kind for row in only_changes(side_by_side("a\\nb\\nc\\nd\\n1", "a\\nb\\nc\\nd\\n2"))]
    ['gap', 'same', 'same', 'changed']
    """
    near = {
        place + step for place, row in enumerate(rows) if row.kind != "same" for step in range(-_CONTEXT, _CONTEXT + 1)
    }
    found: list[Row] = []
    skipped = 0
    for place, row in enumerate(rows):
        if place not in near:
            skipped += 1
            continue
        found += [Row(kind="gap", skipped=skipped)] if skipped else []
        skipped = 0
        found.append(row)
    return [*found, Row(kind="gap", skipped=skipped)] if skipped else found


def _pair(left: Sequence[str], right: Sequence[str], i: int, j: int, number: re.Pattern[str]) -> Row:
    """Two lines that are equal but for their numbers."""
    numbers = {"left_no": i + 1, "right_no": j + 1}
    if left[i] == right[j]:
        same = (Part(text=left[i]),)
        return Row(kind="same", left=same, right=same, **numbers)
    old, new = list(number.finditer(left[i])), list(number.finditer(right[j]))
    grown = [_growth(a[0], b[0], number) for a, b in zip(old, new, strict=True)]
    before = tuple(_parts(left[i], old, [bool(growth) for growth in grown], [""] * len(grown)))
    after = tuple(_parts(right[j], new, [bool(growth) for growth in grown], grown))
    return Row(kind="changed", left=before, right=after, **numbers)


def _parts(line: str, found: Sequence[re.Match[str]], changed: Sequence[bool], growth: Sequence[str]) -> Iterator[Part]:
    at = 0
    for match, differs, grown in zip(found, changed, growth, strict=True):
        if not differs:
            continue
        if match.start() > at:
            yield Part(text=line[at : match.start()])
        yield Part(text=match[0], changed=True, growth=grown)
        at = match.end()
    if at < len(line):
        yield Part(text=line[at:])


def _growth(before: str, after: str, number: re.Pattern[str]) -> str:
    """From one number to the other, with its sign; empty when they are the same.

    >>> _growth("5", "1005", _NUMBER), _growth("2.5", "2.25", _NUMBER), _growth("fffffffb", "00000005", _HEX)
    ('+1,000', '-0.25', '+10')
    """
    if before == after:
        return ""
    if number is _HEX:
        return f"+{(int(after, 16) - int(before, 16)) % _WRAP:,}"
    if "." not in before + after:
        return f"{int(after) - int(before):+,}"
    digits = max(len(text.partition(".")[2]) for text in (before, after))
    return f"{float(after) - float(before):+,.{digits}f}"
