"""Every sentence that a reader of the report sees, in the reader's language."""

from __future__ import annotations


def say(text: str, /, **values: object) -> str:
    """`text` with `values` in its places.

    >>> say("{count} of {total} cases", count=3, total=9)
    '3 of 9 cases'
    """
    return text.format(**values)
