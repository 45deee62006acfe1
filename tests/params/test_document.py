from __future__ import annotations

import contextlib
import random

import pytest

from bmtlib.errors import InputError
from bmtlib.params.document import read_document, read_value


def test_places_are_lines_and_values_are_typed_as_yaml_types_them() -> None:
    document = read_document("a: 1\nb:\n  c: yes\n  d: [x, 1.5]\n", "f.yml")
    assert document.data == {"a": 1, "b": {"c": True, "d": ["x", 1.5]}}
    assert document.places[("b", "c")] == "f.yml:3"
    assert document.written[("b", "c")] == "yes"
    assert document.error_lines([(("b", "d", 1), "no"), (("b", "new"), "no"), ((), "no")]) == [
        "f.yml: no",
        "f.yml:2: b.new: no",
        "f.yml:4: b.d[1]: no",
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("400", 400),
        ("", None),
        ("null", None),
        ("false", False),
        ("5 KiB", "5 KiB"),
        ("[1 KiB, 64 KiB]", ["1 KiB", "64 KiB"]),
        ("{threads: 2}", {"threads": 2}),
        ("'400'", "400"),
        ("What: a # title", "What: a # title"),
        ("*anchor", "*anchor"),
        ("$(reboot)", "$(reboot)"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("2022-07-22", "2022-07-22"),
    ],
)
def test_the_value_of_an_option(text: str, value: object) -> None:
    assert read_value(text, "--set a", ("a",)).data == value


def test_an_option_that_is_no_yaml_names_itself() -> None:
    with pytest.raises(InputError, match=r"^--set a=\[1"):
        read_value("[1, 2", "--set a=[1, 2", ("a",))


def test_a_key_with_control_characters_cannot_reach_the_terminal() -> None:
    (line,) = read_document("a: 1\n", "f.yml").error_lines([(("\x1b[31m",), "no")])
    assert line == r"f.yml: '\x1b[31m': no"


def test_no_text_gives_a_traceback() -> None:
    chance = random.Random(7)
    pieces = [
        "a: ",
        "b",
        "\n",
        "  ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "&x ",
        "*x",
        "!t ",
        '"',
        "'",
        "#",
        ": ",
        "\t",
        "<<: ",
        "~",
        "1",
    ]
    for _ in range(2000):
        text = "".join(chance.choice(pieces) for _ in range(chance.randrange(25)))
        with contextlib.suppress(InputError):  # any other error fails the test
            read_document(text, "f.yml")


@pytest.mark.parametrize("text", ["[" * 20_000, "a: " + "{a: " * 5000, "? " * 5000, "- " * 5000])
def test_deep_nesting_is_an_error(text: str) -> None:
    with pytest.raises(InputError, match=r"^f\.yml"):
        read_document(text, "f.yml")
