"""The capacity planner's controls."""

from __future__ import annotations

import pytest

from bmtlib.analysis.capacity import Demand
from bmtlib.rundir import RunDir
from bmtlib.widgets.planner import Planner, planner


@pytest.fixture
def made(sweep: RunDir) -> Planner:
    found = planner(sweep, demand=Demand(requests_per_s=50_000, kib=64, gbit_per_s=10), directors=6)
    assert found.widget
    return found


def test_the_answer_is_said_drawn_and_in_a_table(made: Planner) -> None:
    assert "proxy: 19 directors" in made.page.value
    assert "6 directors are not enough" in made.page.value
    assert 'alt="Directors for 50,000 requests/s of 64 KiB: proxy 19' in made.page.value
    assert '<td class="number">19</td>' in made.page.value


def test_each_control_changes_the_answer(made: Planner) -> None:
    pages = [made.page.value]
    for control, value in (
        (made.requests, 10_000),
        (made.kib, 512),
        (made.gbit, 0.5),
        (made.use, 50),
        (made.cpus, 4),
        (made.directors, 100),
    ):
        control.value = value
        pages.append(made.page.value)
    assert len(set(pages)) == len(pages)
    assert "CPUs of a director measured: 1" in pages[-1]
    assert "link" in pages[-1]


def test_every_control_has_a_label_and_limits(made: Planner) -> None:
    for control in (made.requests, made.kib, made.gbit, made.use, made.cpus, made.directors):
        assert control.description
        assert control.min >= 0
    made.use.value = 700
    assert made.use.value == 100


def test_a_run_without_sizes_names_the_command(plain: RunDir, made: Planner) -> None:
    page = str(planner(plain)._page)
    assert "bmt run file-size" in page
    assert "<img" not in page
    made.run.value = "demo"
    assert "bmt run file-size" in made.page.value
