"""What an error says, what the command line ends with, and that errors survive the way between processes."""

from __future__ import annotations

import copy
import pickle

import pytest

from bmtlib.errors import BmtError, CaseError, HostError, InputError, MachineError, ParseError

ALL = [
    BmtError("what", where="where", todo="todo"),
    InputError("unknown key 'arm'", where="quick.yml line 3", todo="did you mean 'arms'?"),
    MachineError("no nginx"),
    CaseError("preflight: nobody answers", todo="look"),
    ParseError("ab", 3, "Foo: 1", "unknown field"),
    HostError("web01", ["nginx", "-t"], 1, "unknown directive\n"),
    HostError("web01", ["sleep", "60"], None, "no end after 30 s"),
]


@pytest.mark.parametrize("error", ALL, ids=lambda error: type(error).__name__)
def test_errors_can_be_pickled_and_copied(error: BmtError) -> None:
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)
        assert twin.exit_code == error.exit_code


def test_exit_codes() -> None:
    codes = {type(error): error.exit_code for error in ALL}
    assert codes == {BmtError: 1, InputError: 2, MachineError: 3, CaseError: 1, ParseError: 1, HostError: 1}


def test_all_are_caught_as_one() -> None:
    assert all(isinstance(error, BmtError) for error in ALL)


def test_text() -> None:
    assert str(ALL[0]) == "what\n  where: where\n  to do: todo"
    assert str(ALL[2]) == "no nginx"
    assert str(ALL[3]) == "preflight: nobody answers\n  to do: look"


def test_parse_error_shows_the_line_and_not_all_of_it() -> None:
    error = ParseError("ss", 7, "x" * 5000 + "\n", "too long")
    assert (error.tool, error.line_no, error.why) == ("ss", 7, "too long")
    assert error.line == "x" * 5000 + "\n"
    assert len(str(error)) < 300


def test_host_error_shows_the_last_lines() -> None:
    error = HostError("web01", ["sh", "-c", "x" * 5000], 2, "".join(f"line {i}\n" for i in range(30)))
    assert (error.host, error.command[:2], error.rc) == ("web01", ["sh", "-c"], 2)
    assert error.what.endswith("` ended with 2")
    assert len(error.what) < 260
    assert "line 19\n" not in error.where
    assert error.where.endswith("line 28\n    line 29")
