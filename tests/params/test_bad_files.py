"""Every file of tests/bad/params gives exactly the message in the .txt beside it. Its name says what it is meant as."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmtlib.errors import InputError
from bmtlib.params.load_yaml import load_profile, load_scenario, load_testbed

BAD = Path(__file__).parent.parent / "bad" / "params"
LOAD = {"scenario": load_scenario, "testbed": load_testbed, "profile": load_profile}


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yml")), ids=lambda path: path.stem)
def test_each_bad_file_is_explained(path: Path) -> None:
    load = LOAD[path.name.partition("-")[0]]
    with pytest.raises(InputError) as error:
        load(path)
    assert str(error.value).replace(str(path), path.name) + "\n" == path.with_suffix(".txt").read_text()


def test_every_message_has_its_file() -> None:
    assert {path.stem for path in BAD.glob("*.txt")} == {path.stem for path in BAD.glob("*.yml")}
