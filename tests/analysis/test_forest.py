"""The forest of ratios: what is drawn, what is folded, and the single blocks under it."""

from __future__ import annotations

from typing import Any

from bmtlib.analysis.compare import df_ratio
from bmtlib.analysis.forest import MOST_ROWS, df_forest, df_ratio_blocks
from bmtlib.analysis.plots import plot_ratio_forest, plot_seed_slope
from bmtlib.analysis.tables import Tables

MANY = {"threads": [1, 2, 4, 8], "concurrency": [20, 40, 60, 80]}


def words(figure: Any) -> str:
    return " ".join(text.get_text() for text in figure.texts).replace("\n", " ").replace("\u00a0", " ")


def labels(figure: Any) -> list[str]:
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_one_pair_has_a_row_per_measure(tables: Tables) -> None:
    figure = plot_ratio_forest(tables)
    assert labels(figure) == ["requests/s", "director CPU", "bytes through the director", "wait, 99th percentile"]
    assert words(figure).startswith(
        "l2dsr / proxy: requests/s higher; director CPU lower; bytes through the director lower; wait, 99th percentile "
        "undecided"
    )


def test_blocks_are_those_of_the_ratio(tables: Tables, sizes: Tables) -> None:
    for run in (tables, sizes):
        blocks = df_ratio_blocks(run)
        names = ["measure", "arm", "against", *run.factors]
        middle = blocks.groupby(names, dropna=False, sort=False)["ratio"].agg(["median", "count"]).reset_index()
        found = df_ratio(run).merge(middle, on=names)
        assert len(found) == len(df_ratio(run)[df_ratio(run)["n"] > 0])
        assert (found["ratio"] - found["median"]).abs().max() < 1e-12
        assert (found["n"] == found["count"]).all()


def test_many_levels_are_folded_between_the_ends(builder: Any) -> None:
    def figures(case: Any) -> Any:
        return builder.measured(400 + 40 * case.levels.get("threads", 9) + case.load.concurrency + case.block)

    tables = builder.tables(figures, factors=MANY)
    table = df_forest(tables)
    rates = table[table["measure"] == "requests_per_s"]
    assert (len(rates), rates["place"].notna().sum()) == (16, MOST_ROWS - 1)
    assert rates["ratio"].is_monotonic_decreasing
    shown = labels(plot_ratio_forest(tables))
    assert shown[0] == "requests/s"
    assert shown[5] == "… 8 between: 8 higher, 0 undecided, 0 lower"
    assert shown[1] == "concurrency 20, 1 thread"
    assert len(shown) <= 4 * (MOST_ROWS + 1)


def test_nothing_decided_is_a_neutral_heading(builder: Any) -> None:
    tables = builder.tables(lambda case: builder.measured(1000 + case.block))
    assert words(plot_ratio_forest(tables)).startswith("l2dsr / proxy: no difference shown")


def test_the_studys_rows_beside_ours(builder: Any) -> None:
    def figures(case: Any) -> Any:
        return builder.measured((1100 if case.kind == "l2dsr" else 1000) + 4 * case.block)

    factors = {"threads": [1, 2], "concurrency": [30000, 60000]}
    figure = plot_seed_slope(builder.tables(figures, factors=factors))
    assert words(figure).startswith("Of 5 ratios of the study measured here 3 are reproduced, 2 are not")
    one = plot_seed_slope(builder.tables(figures, factors=factors, repetitions=1))
    assert words(one).startswith("The study's ratios beside ours: of 5 rows measured none is decided")
    assert words(plot_seed_slope(builder.tables())).startswith("No row of the study's table was measured here")
