"""Every sentence that a reader of the report sees, in the reader's language.

The English sentence in the code is the key; `<language>.po` in this folder (gettext's format) has the others. What has
no translation there is said in English. `python -m bmtlib.texts` brings the files up to date after texts changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

from bmtlib.errors import InputError

# Language (BCP 47) -> its name in itself. The first one is that of the code.
LANGUAGES = {"en": "English", "ko": "한국어"}

_CURRENT: ContextVar[str] = ContextVar("language", default="en")


def current() -> str:
    """The language of this thread or task."""
    return _CURRENT.get()


def use_language(name: str) -> None:
    """Speak `name` from here on; raises InputError as `check_language` does."""
    check_language(name)
    _CURRENT.set(name)


def check_language(name: str) -> None:
    """Raise InputError unless there is such a language; it names those that there are."""
    if name not in LANGUAGES:
        raise InputError(f"there is no language {name!r}", todo=f"use one of: {', '.join(LANGUAGES)}")


@contextmanager
def language(name: str) -> Iterator[None]:
    """Speak `name` inside a `with`.

    >>> with language("ko"):
    ...     translated("undecided")
    '판단 보류'
    """
    before = _CURRENT.get()
    use_language(name)
    try:
        yield
    finally:
        _CURRENT.set(before)


def say(text: str, /, **values: object) -> str:
    """`text` in the current language, with `values` in its places.

    >>> say("{count} of {total} cases", count=3, total=9)
    '3 of 9 cases'
    """
    return translated(text).format(**values)


def say_n(one: str, many: str, n: int, /, **values: object) -> str:
    """`one` or `many`, as the language has it for `n` things, with `n` and `values` in its places.

    >>> say_n("{n} block", "{n} blocks", 1), say_n("{n} block", "{n} blocks", 3)
    ('1 block', '3 blocks')
    """
    text = one if n == 1 else many
    if current() != "en":  # Korean has one form for all numbers
        text = _catalogue(current()).get(one, text)
    return text.format(n=n, **values)


def translated(text: str) -> str:
    """`text` in the current language as it stands, braces too: for HTML, and for words that `msg` marked."""
    return text if current() == "en" else _catalogue(current()).get(text, text)


def msg(text: str) -> str:
    """Marks a text that is written down here, and said (by `say` or `translated`) elsewhere."""
    return text


@cache
def _catalogue(name: str) -> Mapping[str, str]:
    """English text (of a plural: for one) -> text; what is not translated yet is not among them."""
    from babel.messages.pofile import read_po  # English readers do without

    with (Path(__file__).parent / f"{name}.po").open("rb") as file:
        entries = [entry for entry in read_po(file, locale=name) if entry.id and not entry.fuzzy]
    first = [(_first(entry.id), _first(entry.string)) for entry in entries if entry.string]
    return {text: string for text, string in first if string}


def _first(text: str | Sequence[str]) -> str:
    return text if isinstance(text, str) else text[0]
