"""The catalogues are whole: every text that the code says is there, none else, with the same places for values."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from bmtlib.errors import InputError
from bmtlib.texts import LANGUAGES, current, language, say, say_n, translated
from bmtlib.texts import __main__ as update
from bmtlib.texts.extract import PACKAGE, calls, texts

TODO = "run `python -m bmtlib.texts`, then fill in the empty entries of bmtlib/texts/{}.po"
WANTED = {text if isinstance(text, str) else text[0]: text for text, _, _ in texts()}


@pytest.fixture(params=list(LANGUAGES)[1:])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def catalogue(name: str) -> Catalog:
    with (PACKAGE / "texts" / f"{name}.po").open("rb") as file:
        return read_po(file, locale=name, abort_invalid=True)


def pairs(catalogue: Catalog) -> Iterator[tuple[str, str]]:
    """Every text that is in use (of a plural: the form for many) and its translation."""
    for message in catalogue:
        text, string = (it if isinstance(it, str) else it[-1] for it in (message.id, message.string))
        if text:
            yield text, string


def test_every_text_is_translated_and_no_other(name: str, catalogue: Catalog) -> None:
    there = {entry.id if isinstance(entry.id, str) else entry.id[0] for entry in catalogue if entry.id}
    missing = [*(WANTED.keys() - there), *update.untranslated(catalogue)]
    assert not missing, TODO.format(name)
    assert not there - WANTED.keys(), f"no longer said: {TODO.format(name)}"
    assert not [entry.id for entry in catalogue if entry.fuzzy]


def test_places_tags_and_links_are_those_of_the_text(catalogue: Catalog) -> None:
    for text, string in pairs(catalogue):
        assert places(string) == places(text), text
        assert (string[0] == " ", string[-1] == " ") == (text[0] == " ", text[-1] == " ") or text == " and ", text
        for mark in (r"</?\w+[^>]*>", r"`[^`]+`", r"^#+ "):
            assert sorted(re.findall(mark, string)) == sorted(re.findall(mark, text)), (mark, text)


def places(text: str) -> set[str]:
    try:
        return {f"{field}:{form}" for _, field, form, _ in Formatter().parse(text) if field is not None}
    except ValueError:  # no text with places, but one with a brace
        return set()


def test_what_is_said_is_written_down() -> None:
    """A text put together by an f-string or `+` can be found in no catalogue."""
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node, given in calls(path):
            made = [arg for arg in given if isinstance(arg, ast.JoinedStr | ast.BinOp)]
            wrong += [f"{path.name}:{node.lineno}" for _ in made]
    assert not wrong


def test_language_is_that_of_the_block() -> None:
    with language("ko"):
        assert (current(), translated("undecided")) == ("ko", "판단 보류")
        assert translated("not in any catalogue {") == "not in any catalogue {"
        with language("en"):
            assert translated("undecided") == "undecided"
        assert say_n("{n} block", "{n} blocks", 2) == "블록 2개"
        assert say("{a} not in any catalogue", a=1) == "1 not in any catalogue"
    assert (current(), say_n("{n} block", "{n} blocks", 2)) == ("en", "2 blocks")


def test_unknown_language_is_told() -> None:
    with pytest.raises(InputError, match=r"there is no language 'kr'.*\n.*use one of: en, ko"), language("kr"):
        pass
    assert current() == "en"


def test_update_takes_in_what_is_new_and_drops_what_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = update._HEAD.format(name="ko", plurals="nplurals=1; plural=0;")
    (tmp_path / "ko.po").write_text(head + 'msgid "gone"\nmsgstr "없음"\n\nmsgid "undecided"\nmsgstr "보류"\n')
    monkeypatch.setattr(update, "__file__", str(tmp_path / "__main__.py"))
    update.main()
    written = (tmp_path / "ko.po").read_text()
    assert written.startswith(head)
    assert "gone" not in written
    assert 'msgid "undecided"\nmsgstr "보류"' in written
    assert 'msgid "## Contents"\nmsgstr ""' in written
    update.main()
    assert (tmp_path / "ko.po").read_text() == written
