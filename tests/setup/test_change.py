"""Commands and changes."""

from __future__ import annotations

from bmtlib.setup.change import Change, Command, change_row, command


def test_command() -> None:
    assert command("a b", "$(c)", stdin="d") == Command(argv=("a b", "$(c)"), stdin="d")
    assert command("true").stdin == ""


def test_what_a_run_folder_keeps_of_a_change() -> None:
    do = command("nft", "-f", "-", stdin="a ruleset")
    change = Change(host="web01", what="table", before=None, want="new", do=do, undo=command("true"), reason="why")
    assert change_row(change) == {
        "what": "table",
        "before": None,
        "want": "new",
        "scope": "host",
        "reason": "why",
        "profile": "",
        "text": "a ruleset",
    }
