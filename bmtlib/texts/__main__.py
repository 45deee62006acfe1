"""Bring the catalogues up to date with the code: new texts come in, empty; those no longer said go."""

from __future__ import annotations

import io
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from bmtlib.texts import LANGUAGES
from bmtlib.texts.extract import template

_HEAD = """\
# The texts of bmtlib's reports. `python -m bmtlib.texts` brings this file up to date with the code.
msgid ""
msgstr ""
"Language: {name}\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: {plurals}\\n"

"""


def main() -> None:
    """Rewrite each <language>.po, in the order of the code, and say what is left to translate."""
    wanted = template()
    for name in list(LANGUAGES)[1:]:
        path = Path(__file__).parent / f"{name}.po"
        with path.open("rb") as file:
            catalogue = read_po(file, locale=name)
        catalogue.update(wanted, no_fuzzy_matching=True)
        path.write_text(_HEAD.format(name=name, plurals=catalogue.plural_forms) + _written(catalogue))
        print(f"{path.name}: {len(catalogue)} texts, {len(untranslated(catalogue))} to translate")


def untranslated(catalogue: Catalog) -> list[str]:
    """The texts that have no translation yet."""
    left = [message.id for message in catalogue if message.id and (not message.string or not all(message.string))]
    return [text if isinstance(text, str) else text[0] for text in left]


def _written(catalogue: Catalog) -> str:
    buffer = io.BytesIO()
    write_po(
        buffer, catalogue, width=120, omit_header=True, sort_by_file=True, include_lineno=False, ignore_obsolete=True
    )
    return buffer.getvalue().decode().strip() + "\n"


if __name__ == "__main__":
    main()
