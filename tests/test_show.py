"""What `bmt plan` prints."""

from __future__ import annotations

import pytest

from bmtlib.run import load
from bmtlib.show import show_plan


def said(capsys: pytest.CaptureFixture[str], scenario: str, *settings: str) -> str:
    show_plan(load(scenario, settings=settings).plan, [])
    return " ".join(capsys.readouterr().out.split())


def test_the_plan_of_a_scenario_with_a_knee_says_what_a_search_would_do(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "knee", "knee.confirm=2", "knee.highest=1600", "knee.shares=[50]")
    assert "The cases above are those of `bmt run`" in text
    assert "searches in each arm from 200 requests/s up to 1,600, to 10%, with 2 cases at a level" in text
    assert "48 cases at the most" in text, "4 doublings, 3 halvings and a share, twice in each of 3 arms"
    assert text.endswith("Nothing was changed.")


def test_a_plan_without_a_knee_says_nothing_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "quick", "repetitions=2")
    assert "bmt knee" not in text
    assert "6 cases" in text
