"""Figures: every one of every run, files, headings; and the helpers that place labels."""

from __future__ import annotations

import re
import struct
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.figure import Figure

from bmtlib.analysis import plots
from bmtlib.analysis.plots import FIGURES, fonts, save_figure, save_figures, style
from bmtlib.analysis.plots.series import all_series
from bmtlib.analysis.plots.style import lay_out
from bmtlib.analysis.tables import Tables
from bmtlib.errors import MachineError
from bmtlib.texts import language


@pytest.fixture(scope="module")
def figures(tables: Tables) -> dict[str, Figure]:
    return {name: plot(tables) for name, (plot, _) in FIGURES.items()}


def words(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.texts).replace("\n", " ").replace("\u00a0", " ")


def smallest_font(figure: Figure) -> float:
    found = figure.findobj(lambda item: hasattr(item, "get_fontsize") and bool(str(item.get_text()).strip()))
    return min(item.get_fontsize() for item in found)


def test_all_files_of_a_run(tables: Tables, tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    written = save_figures(tables, tmp_path / "figures" / "run")
    assert list(written) == list(FIGURES)
    for name, paths in written.items():
        svg, png, table = paths
        assert [path.name for path in paths] == [f"{name}.svg", f"{name}.png", f"{name}.csv"]
        assert svg.read_text().rstrip().endswith("</svg>")
        assert "<metadata>" not in svg.read_text()
        assert struct.unpack(">II", png.read_bytes()[16:24])[0] == 7 * plots.DOTS_PER_IN
        assert list(pd.read_csv(table).columns) == list(FIGURES[name][1](tables).columns)
    assert dict(mpl.rcParams) == before


def test_the_same_run_gives_the_same_files(tables: Tables, tmp_path: Path) -> None:
    plot, df = FIGURES["throughput"]
    contents = [
        [path.read_bytes() for path in save_figure(plot(tables), df(tables), tmp_path / str(i), "t")] for i in (1, 2)
    ]
    assert contents[0] == contents[1]


@pytest.mark.parametrize("name", FIGURES)
def test_figures_over_factors(sizes: Tables, levers: Tables, name: str) -> None:
    for tables in (sizes, levers):
        figure = FIGURES[name][0](tables)
        figure.draw_without_rendering()
        assert smallest_font(figure) >= 9


@pytest.mark.parametrize("name", FIGURES)
def test_letters_can_be_read_and_units_stand_on_axes(figures: dict[str, Figure], name: str) -> None:
    figure = figures[name]
    figure.draw_without_rendering()
    assert smallest_font(figure) >= 9
    labels = " ".join(axes.get_xlabel() + axes.get_ylabel() for axes in figure.axes)
    # Without axes it says why there is nothing to show; a drawing of hosts has no axes to speak of.
    assert (
        name in ("drops", "topology")
        or not figure.axes
        or re.search(r"requests/s|ms|µs|bytes|%|request|seconds", labels)
    )


def test_headings_say_what_the_tables_say(figures: dict[str, Figure]) -> None:
    said = {name: words(figure) for name, figure in figures.items()}
    assert "l2dsr answers more requests/s than proxy: 1.98 (1." in said["throughput"]
    assert "A request costs the director less CPU time with l2dsr than with proxy: 0.25 (0.2" in said["director-cpu"]
    assert "the director sends 1.10 with proxy, 0.07 with l2dsr" in said["director-bytes"]
    assert "direct 20 ms, proxy 20 ms, l2dsr 20 ms" in said["waits"]
    assert "No measured layer shows a loss" in said["drops"]
    assert "No measured layer lost anything  Clean in all arms: backlog, IP" in said["lost-by-layer"]
    assert "No arm was measured with two settings" in said["settings"]
    assert "of all packets received: proxy 100 %, l2dsr 100 %" in said["packets-by-cpu"]
    assert "Requests/s in the slowest second of a block, of its mean one: direct" in said["rate-over-time"]
    assert "What the director's CPUs did most of the time: proxy" in said["cpu-map"]
    assert "Of all receive softirqs, those on the director's CPUs: proxy 67 %, l2dsr 67 %" in said["irq-map"]
    assert "Answers pass through the director with proxy, and pass it by with l2dsr" in said["topology"]
    assert all(
        "5 KiB and concurrency 20; 3 blocks; closed loop (ab); engine haproxy, nft; fidelity namespace" in said[name]
        for name, figure in figures.items()
        if figure.axes
    )


def test_headings_about_settings(levers: Tables) -> None:
    said = {name: words(plot(levers)) for name, (plot, _) in FIGURES.items()}
    assert "No setting is shown to change: 99th percentile of the wait" in said["settings"]
    assert "proxy (clogged) in the backlog (70 %), l2dsr (clogged) in the backlog (70 %)" in said["lost-by-layer"]
    assert "Nothing lost: direct, proxy (free), l2dsr (free)." in said["lost-by-layer"]
    assert "The director's interrupts on CPU 1: direct 100 %, proxy 100 %, l2dsr 100 %" in said["irq-over-time"]


def test_the_testbed_as_it_was_laid_out(tables: Tables) -> None:
    figure = plots.plot_topology(tables)
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["direct", "proxy", "l2dsr"]
    assert texts.count("2 clients") == 3
    assert texts.count("director") == 2, "the direct arm does not pass it"
    assert sum("silent to ARP" in text for text in texts) == 1, "the VIP on lo, of l2dsr only"
    assert sum(text.startswith("0.07 bytes out of the director") for text in texts) == 1


def test_what_most_arms_have_no_room_for_is_said(builder: Any) -> None:
    arms = {f"proxy-{i}": {"kind": "proxy"} for i in range(10)}
    tables = builder.tables(lambda case: builder.measured(1000 + case.index), arms=arms, repetitions=1)
    assert "Not shown, because steadier: 2." in words(plots.plot_rate_over_time(tables))
    assert "Not shown: proxy-1, proxy-3, proxy-6, proxy-8." in words(plots.plot_irq_map(tables))


def test_levels_without_a_panel_are_said(builder: Any) -> None:
    factors = {"file_size": ["1 KiB", "2 KiB"], "concurrency": [10, 20, 30, 40]}
    tables = builder.tables(lambda case: builder.measured(500), factors=factors, repetitions=1)
    assert "Not shown: 2 levels at which arms differ less at 99 %." in words(plots.plot_waits(tables))


def test_a_few_very_long_waits_do_not_flatten_the_rest(builder: Any) -> None:
    long = replace(builder.measured(), waits_ms=((*[5] * 500, 3000), (5,) * 500))
    assert plots.plot_waits(builder.tables(lambda _: long)).axes[0].get_yscale() == "log"
    assert plots.plot_waits(builder.tables()).axes[0].get_yscale() == "linear"


def test_an_undecided_heading_is_neutral(builder: Any) -> None:
    tables = builder.tables(lambda case: builder.measured(1000 + case.block))
    said = words(plots.plot_throughput(tables))
    assert "no difference shown" in said
    assert "more" not in said
    assert "fewer" not in said


def test_a_heading_says_that_marks_leave_it_undecided(builder: Any) -> None:
    mark = {"name": "cpu", "verdict": "mark", "text": "", "spoils": ["requests_per_s"], "evidence": []}
    tables = builder.tables(lambda case: replace(builder.usual(case), guards=(mark,)))
    assert "undecided by marks of guards, ratio 1.98" in words(plots.plot_throughput(tables))


def test_losses_are_named_by_layer(builder: Any) -> None:
    tables = builder.tables(
        lambda case: replace(builder.usual(case), counters={"TcpExtListenDrops": 5}, softnet_dropped=3)
    )
    figure = plots.plot_drops(tables)
    assert "Losses in these layers: softnet backlog; listen, accept" in words(figure)
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert rows == ["NIC", "interface", "softnet backlog: dropped", "IP", "listen, SYN", "listen, accept: ListenDrops",
                    "socket", "retransmits"]  # fmt: skip


def test_every_figure_of_every_run_that_went_wrong(wrong: dict[str, Tables]) -> None:
    said = {(run, name): words(plot(broken)) for run, broken in wrong.items() for name, (plot, _) in FIGURES.items()}
    unmeasured = ("all failed", "not run")
    # Which hosts there were is known also of a run that measured nothing.
    assert all("No " in text for (run, name), text in said.items() if run in unmeasured and name != "topology")
    assert said["all failed", "topology"].startswith("The testbed, and the way of a request")
    assert "No case is done" in said["all failed", "throughput"]
    assert "No done case has CPU times" in said["no probes", "director-cpu"]
    assert "shares with other hosts" in said["one block, shared CPUs", "director-cpu"]


def test_arms_of_a_kind_have_shades_of_its_colour(builder: Any) -> None:
    series = all_series(
        builder.tables(arms={"proxy-a": {"kind": "proxy"}, "proxy-b": {"kind": "proxy"}, "l2dsr": None})
    )
    assert len({look.colour for look in series.values()}) == 3
    assert series["l2dsr"].colour == pytest.approx((0, 0x72 / 255, 0xB2 / 255))


def test_korean_has_letters_or_is_english(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    with language("ko"):
        if fonts.hangul_family() is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # a letter that no font has is a warning
                figure = plots.plot_topology(tables)
                lay_out(figure)
            assert "디렉터" in words(figure)
        monkeypatch.setattr(style, "hangul_family", lambda: None)
        assert "Answers pass through the director with proxy" in words(plots.plot_topology(tables))


def test_a_folder_that_cannot_be_made(tables: Tables, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="cannot write the figure web-share"):
        save_figure(plots.plot_web_share(tables), pd.DataFrame(), tmp_path / "file", "web-share")
