"""Letters that matplotlib's own font lacks: Hangul. They come from a font of the system, where there is one."""

from __future__ import annotations

import textwrap
import unicodedata
from functools import cache
from pathlib import Path

from matplotlib import font_manager

# Regular and bold of fonts that systems bring along, the fullest first.
_FILES = (
    ("NotoSansCJK-Regular.ttc", "NotoSansCJK-Bold.ttc"),
    ("NotoSansKR-Regular.otf", "NotoSansKR-Bold.otf"),
    ("NanumGothic.ttf", "NanumGothicBold.ttf"),
    ("NanumBarunGothic.ttf", "NanumBarunGothicBold.ttf"),
    ("malgun.ttf", "malgunbd.ttf"),
    ("UnDotum.ttf", "UnDotumBold.ttf"),
)
_FILL = "\u200b"  # no letter: stands for the second column of a wide one


@cache
def hangul_family() -> str | None:
    """The name of a font with Hangul, known to matplotlib from here on; None when the system has none."""
    found = {Path(path).name: path for path in font_manager.findSystemFonts()}
    for regular, bold in _FILES:
        if regular in found:
            for name in (regular, bold):
                if name in found:
                    font_manager.fontManager.addfont(found[name])
            return font_manager.get_font(found[regular]).family_name
    return None


def wide(text: str) -> int:
    """So many columns a text takes: two for a syllable of Hangul.

    >>> wide("wait, ms"), wide("대기, ms")
    (8, 8)
    """
    return sum(_columns(letter) for letter in text)


def wrapped(text: str, width: int) -> list[str]:
    """Lines of `text` that are at most `width` columns wide.

    >>> wrapped("부하가 걸린 동안의 초당 요청 수", 20)
    ['부하가 걸린 동안의', '초당 요청 수']
    """
    padded = "".join(letter + _FILL * (_columns(letter) - 1) for letter in text)
    return [line.replace(_FILL, "") for line in textwrap.wrap(padded, width, break_on_hyphens=False)]


def _columns(letter: str) -> int:
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
