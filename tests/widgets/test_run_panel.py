"""The run panel without a browser: plans of real scenarios, and processes that do as `bmt run` does."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bmtlib.panel import Bmt, Child, wanted
from bmtlib.widgets.run_panel import RunPanel
from bmtlib.widgets.run_panel_state import Choice

# A run of two cases: it tells its folder, writes its events, and ends when it is interrupted.
_RUN = """
import sys, time
from bmtlib.rundir import RunDir
folder = RunDir(sys.argv[1])
folder.path.mkdir(parents=True)
folder.write_json("run.json", {"format": 1, "status": "running"})
folder.write_json("plan.json", {"cases": []})
print(f"run folder: {folder.path}", flush=True)
folder.event("run", "start", cases=2, estimate_s=4.0, other_cpus=[])
folder.event("case", "start", case="b1-<i>proxy", number=1, arm="proxy", block=1)
folder.event("case", "done", case="b1-<i>proxy", number=1, requests_per_s=7000.0, error=None)
folder.event("case", "load", case="b2-proxy", number=2, arm="proxy", block=2)
status, code = "done", 0
try:
    time.sleep(float(sys.argv[2]))
except KeyboardInterrupt:
    status, code = "interrupted", 1
folder.event("run", status)
folder.write_json("run.json", {"format": 1, "status": status})
sys.exit(code)
"""


class Scripted(Bmt):
    """Plans as `bmt` does; runs a script in its place."""

    def __init__(self, out: Path, seconds: float) -> None:
        super().__init__(out)
        self._folder, self._seconds = out / "run", seconds

    def start(self, choice: Choice) -> Child:
        return Child([sys.executable, "-c", _RUN, str(self._folder), str(self._seconds)])


def panel(out: Path, seconds: float = 0.0, **wishes: str) -> RunPanel:
    first = Choice(**{"scenario": "quick", "testbed": "netns", **wishes})
    return RunPanel(Scripted(out, seconds), first, scenarios=["file-size", "quick"], testbeds=["netns"])


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)


def test_the_plan_follows_the_choice(tmp_path: Path) -> None:
    shown = panel(tmp_path)
    assert "9 cases, about " in shown.plan.value
    assert f"./bmt run quick --testbed netns --out {tmp_path}" in shown.plan.value
    shown.settings.value = "repetitions=1 load.seconds=1"
    assert "3 cases, about " in shown.plan.value
    assert not shown.start.disabled


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("scenario", "quik", "did you mean &#39;quick&#39;?"),
        ("scenario", "<script>", "&lt;script&gt;"),
        ("testbed", "nowhere", "no testbed is named"),
        ("settings", "load.concurency=4", "did you mean &#39;concurrency&#39;?"),
        ("settings", "load='", "No closing quotation"),
    ],
)
def test_what_is_wrong_is_said_in_words_and_cannot_be_started(
    tmp_path: Path, field: str, value: str, said: str
) -> None:
    shown = panel(tmp_path, **{field: value})
    assert said in shown.plan.value
    assert "<script>" not in shown.plan.value
    assert shown.start.disabled
    shown.scenario.value, shown.testbed.value, shown.settings.value = "file-size", "netns", ""
    assert not shown.start.disabled


def test_a_run_to_its_end(tmp_path: Path) -> None:
    shown = panel(tmp_path)
    shown.start.click()
    assert shown.start.disabled
    assert shown.scenario.disabled
    shown.wait(60)
    assert "The run is done." in shown.status.value
    assert (shown.bar.value, shown.bar.max, shown.bar.bar_style) == (1, 2, "success")
    assert "&lt;i&gt;proxy" in shown.rates.value
    assert "7,000" in shown.rates.value
    assert not shown.start.disabled
    assert shown.stop.disabled


def test_stop_ends_it_in_good_order(tmp_path: Path) -> None:
    shown = panel(tmp_path, seconds=60)
    shown.start.click()
    wait_for(lambda: "b2-proxy, load" in shown.status.value, "the second case is under way")
    shown.stop.click()
    assert "stopping" in shown.status.value
    assert shown.stop.disabled
    shown.wait(60)
    assert "The run was stopped." in shown.status.value
    assert "--resume" in shown.status.value
    assert not shown.start.disabled


def test_an_error_of_bmt_is_shown_in_its_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    shown = RunPanel(
        Bmt(tmp_path / "file"), Choice(scenario="quick", testbed="netns"), scenarios=["quick"], testbeds=["netns"]
    )
    shown.settings.value = "arms.proxy.threads=64"
    shown.start.click()
    shown.wait(120)
    assert 'role="alert"' in shown.status.value
    assert "Traceback" not in shown.status.value
    assert not shown.start.disabled


@pytest.mark.parametrize(
    ("parameter", "opened", "asks"),
    [("auto", "x.ipynb", True), ("auto", "", False), ("yes", "", True), ("no", "x", False)],
)
def test_who_is_asked(monkeypatch: pytest.MonkeyPatch, parameter: str, opened: str, asks: bool) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", opened)
    assert wanted(parameter) is asks
