"""What the run panel says of a run, from its events and from what `bmt` printed."""

from __future__ import annotations

import pytest

from bmtlib.errors import InputError
from bmtlib.widgets.run_panel_state import Choice, Live, ending, folder_in


def case(state: str, name: str, block: int, at: float, **fields: object) -> dict[str, object]:
    return {"time_s": at, "step": "case", "state": state, "case": name, "number": 1, "block": block, **fields}


def live(*events: dict[str, object]) -> Live:
    found = Live()
    found.add({"time_s": 0.0, "step": "run", "state": "start", "cases": 6, "estimate_s": 60.0, "other_cpus": [0]})
    for event in events:
        found.add(event)
    return found


def test_rates_are_kept_apart_by_arm_and_levels_and_only_of_done_cases() -> None:
    found = live(
        case("done", "b1-proxy-5KiB", 1, 1, requests_per_s=100.0),
        case("done", "b2-proxy-5KiB", 2, 2, requests_per_s=300.0),
        case("done", "b1-proxy-64KiB", 1, 3, requests_per_s=50.0),
        case("rejected", "b3-proxy-5KiB", 3, 4, requests_per_s=9999.0),
        case("done", "b3-proxy-64KiB", 3, 5, requests_per_s=None),
    )
    large, small = found.rates()
    assert small["arm and levels"] == "proxy-5KiB"
    assert [small[name] for name in ("median requests/s", "lowest – highest", "latest", "cases")] == [
        "200",
        "100 – 300",
        "300",
        "2",
    ]
    assert (small["of the highest"], large["of the highest"]) == (1.0, 0.25)
    assert (large["median requests/s"], large["cases"]) == ("50.0", "1")


def test_the_phase_and_how_long_it_has_lasted() -> None:
    found = live(case("load", "b1-proxy", 1, 10.0, arm="proxy"))
    assert found.text(13.2).startswith("case 1 of 6: b1-proxy, load for 3 s · about ")
    assert found.other_cpus == [0]


def test_before_the_first_event() -> None:
    assert Live().text(5.0) == "starting"
    assert Live().rates() == []


@pytest.mark.parametrize(
    ("code", "said", "status", "stopped", "words"),
    [
        (1, "run folder: data/x\n", "interrupted", True, "./bmt run --resume data/x"),
        (1, "run folder: data/x\n", "interrupted", False, "The run was stopped."),  # the kernel was interrupted
        (130, "", "", True, "before anything was measured"),
        (1, "case b1 failed: no\n", "done", False, "Not all of its cases"),
        (3, "bmt: programs are missing: ab\n  to do: apt-get install\n", "", False, "programs are missing: ab"),
        (1, "bmt: what\nTraceback (most recent call last):\n secret", "", False, "what"),
        (137, "", "", False, "exit code 137"),
    ],
)
def test_ending(code: int, said: str, status: str, stopped: bool, words: str) -> None:
    well, text = ending(code, said, status=status, stopped=stopped)
    assert not well
    assert words in text
    assert "Traceback" not in text


def test_a_folder_is_named_only_once_its_line_is_whole() -> None:
    assert folder_in("run folder: data/2026") is None
    assert folder_in("run folder: data/20261127-quick\n") == "data/20261127-quick"


def test_settings_that_cannot_be_read() -> None:
    with pytest.raises(InputError, match="No closing quotation"):
        _ = Choice(scenario="quick", testbed="netns", settings="a='b").overrides
