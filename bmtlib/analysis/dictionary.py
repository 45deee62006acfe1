"""The data dictionary, read from where it is written for people: data/README.md. No meaning is written down twice."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from bmtlib.analysis.schema import COLUMNS
from bmtlib.errors import BmtError
from bmtlib.params.paths import project_root

# As the dictionary says it: the end of a name is its unit.
UNITS = {
    "": "",
    "_per_s": "1/s",
    "_bytes_per_s": "bytes/s",
    "_mbit_per_s": "Mbit/s",
    "_epoch_s": "seconds since 1970-01-01T00:00:00Z",
    "_bytes": "bytes",
    "_ms": "ms",
    "_us": "µs",
    "_s": "s",
}
_CODE = re.compile(r"`([^`]+)`")
_EMPHASIS = re.compile(r"(?<!\w)\*{1,2}(\w[^*]*)\*{1,2}")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_Texts = dict[str, dict[str, str]]
# "as in case.json", "as under `requests`", "`requests` of case.json": said there.
_ELSEWHERE = re.compile(r"^(?:as in case\.json|as under `requests`|`requests` of `?case\.json`?)")
_SEMICOLON = re.compile(r"; (?=(?:[^`]*`[^`]*`)*[^`]*$)")  # not within code
_OTHER_TABLE = re.compile(r"^as in `(\w+)`$")


def unit(column: str) -> str:
    """The unit that a column's name ends in, empty for a count, a name or a text.

    >>> unit("wait_us"), unit("requests_per_s"), unit("start_epoch_s"), unit("sessions_per_s_max"), unit("requests")
    ('µs', '1/s', 'seconds since 1970-01-01T00:00:00Z', '1/s', '')
    """
    name = f"_{column.removesuffix('_max')}"
    return UNITS[max((end for end in UNITS if name.endswith(end)), key=len, default="")]


@cache
def describe() -> dict[str, dict[str, str]]:
    """What each column of each table means, in plain text: table -> column -> meaning.

    Raises BmtError when the dictionary lacks a column, or is not there.
    """
    text = _text()
    common, case = _rows(_section(text, "Tables")), _rows(_section(text, "case.json"))
    own = {table: _rows(_section(text, f"`{table}`")) for table in COLUMNS}
    return {
        table: {column: _meaning(table, column, own, common, case) for column in columns}
        for table, columns in COLUMNS.items()
    }


@cache
def about(table: str) -> str:
    """The sentences under a table's heading."""
    return _plain(" ".join(_section(_text(), f"`{table}`").partition("\n|")[0].split()))


def _meaning(table: str, column: str, own: _Texts, common: dict[str, str], case: dict[str, str]) -> str:
    text = own[table].get(column, common.get(column))
    if text is None:
        raise BmtError(f"data/README.md does not say what {column} of the table {table} is")
    if other := _OTHER_TABLE.match(text):
        return _meaning(other[1], column, own, common, case)
    if found := _ELSEWHERE.match(text):
        there = (case.get(key, "") for key in (f"{table}[].{column}", f"requests.{column}", column))
        said = next((words for words in there if words and not _ELSEWHERE.match(words)), "")
        text = "; ".join(filter(None, [said, text[found.end() :].lstrip(" ,;")]))
    return _plain(text)


def _rows(section: str) -> dict[str, str]:
    """Name -> meaning of all that a section's tables document; of a name that is there twice the first."""
    found: dict[str, str] = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            names = _CODE.findall(cells[0])
            for name, meaning in zip(names, _shared_out(names, cells[-1]), strict=True):
                found.setdefault(name, meaning)
    return found


def _shared_out(names: list[str], text: str) -> list[str]:
    """The meaning of each of the names that a row has.

    Parts between semicolons belong to one name each when there are as many; a part that begins with a name is of that
    name alone; all others are of all.

    >>> _shared_out(["a", "b"], "the first; the `;` second")
    ['the first', 'the `;` second']
    >>> _shared_out(["a", "b"], "one of both; `b` may be none; or so")
    ['one of both; or so', 'one of both; `b` may be none; or so']
    """
    parts = _SEMICOLON.split(text)
    own = [next((name for name in names if part.startswith(f"`{name}` ")), None) for part in parts]
    if len(names) == len(parts) > 1 and not any(own):
        return parts
    return ["; ".join(part for part, of in zip(parts, own, strict=True) if of in (None, name)) for name in names]


def _section(text: str, title: str) -> str:
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise BmtError(f"data/README.md has no section {title!r}")
    return found[1]


def _plain(text: str) -> str:
    """Without Markdown.

    >>> _plain("the `case` that [ended](#a) *it*"), _plain("4 * `x`")
    ('the case that ended it', '4 * x')
    """
    return _EMPHASIS.sub(r"\1", _CODE.sub(r"\1", _LINK.sub(r"\1", text)))


def _text() -> str:
    path: Path = project_root() / "data" / "README.md"
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BmtError(f"the data dictionary cannot be read: {error.strerror}", where=str(path)) from error
