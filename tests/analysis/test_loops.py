"""Closed and open loop are told apart wherever waits are spoken of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bmtlib.analysis import compare, plots
from bmtlib.analysis.answer import answer
from bmtlib.analysis.limits import limits
from bmtlib.analysis.naming import conditions, wait_text, waits_from
from bmtlib.analysis.seed_claims import df_seed_claims
from bmtlib.analysis.tables import Tables
from bmtlib.report import results


@pytest.fixture
def opened(tables: Tables) -> Tables:
    """The same run, as if its load had been an open loop."""
    cases = tables.cases.assign(loop="open", load_engine="open_loop", offered_per_s=1000)
    return replace(tables, cases=cases.astype(tables.cases.dtypes))


def test_a_closed_loop(tables: Tables) -> None:
    assert "closed loop (ab)" in conditions(tables)
    assert "concurrency 20" in conditions(tables)
    assert "The load is a closed loop" in " ".join(limits(tables))
    assert "(closed loop)" in str(results.waits(tables))
    assert not compare.df_little(tables).empty
    assert str(answer(tables)).startswith("At 5 KiB and concurrency 20, l2dsr (engine nft) answered")
    assert wait_text(tables, 3.25) == "3 ms"


def test_an_open_loop(opened: Tables) -> None:
    assert "open loop;" in conditions(opened)
    assert "5 KiB and 1,000 requests/s" in conditions(opened)
    assert "concurrency" not in conditions(opened)
    said = " ".join(limits(opened))
    assert "The load is an open loop" in said
    assert "closed" not in said
    assert "(1,000 requests/s): nothing is known of others" in said
    assert "(open loop)" in str(results.waits(opened))
    assert waits_from(opened).startswith("From the instant when a request was due")
    assert compare.df_little(opened).empty
    assert "closed loop only" in str(results.little(opened))
    assert "At 5 KiB and 1,000 requests/s, the 99th percentile of the wait with l2dsr" in str(answer(opened))
    assert "requests/s as" not in str(answer(opened))
    assert wait_text(opened, 3.25) == "3.25 ms"


def test_rates_that_were_offered_are_no_answer_to_the_studys_claim(tables: Tables, opened: Tables) -> None:
    """All arms that bear a rate answer as many requests/s, and in a search too: a ratio of 1 says nothing."""
    closed, offered = (df_seed_claims(of).set_index("claim") for of in (tables, opened))
    claim = next(text for text in closed.index if "about 10 % more requests/s" in text)
    assert closed.loc[claim, "result"] != "not testable here"
    assert offered.loc[claim, "result"] == "not testable here"
    assert "offered at a rate" in offered.loc[claim, "evidence"]


def test_the_figure_names_its_loop(tables: Tables, opened: Tables) -> None:
    for of, word in ((tables, "a closed loop"), (opened, "an open loop")):
        figure = plots.plot_waits(of)
        assert any(f"In {word}, 99 of 100" in text.get_text().replace("\n", " ") for text in figure.texts)
