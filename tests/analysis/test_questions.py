"""A stranger's questions: answered from verdicts, and no word of the answer goes beyond them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bmtlib.analysis.answer import answer
from bmtlib.analysis.plots import plot_ratio_forest, plot_throughput
from bmtlib.analysis.purchase import df_purchase
from bmtlib.analysis.questions import questions
from bmtlib.analysis.tables import Tables

# Words that say that one side is ahead, as a pattern -> the verdicts of requests/s that allow them.
AHEAD = {
    r"is faster than|answers more requests": {"higher"},
    r"is slower than|answers fewer requests": {"lower"},
    r"requests/s higher(?! at)|as many requests/s as .*: higher(?! at)": {"higher"},
    r"requests/s lower(?! at)|as many requests/s as .*: lower(?! at)": {"lower"},
    r"faster at [1-9]": {"mixed"},
    r"sooner|later": set(),
}


def run(builder: Any, verdict: str) -> Tables:
    """Figures that come to this verdict of requests/s, alike in all else."""
    scatter = {1: -150, 2: 0, 3: 150}
    rates = {
        "higher": lambda case: {"proxy": 800, "l2dsr": 900}[case.kind] + case.block,
        "lower": lambda case: {"proxy": 900, "l2dsr": 800}[case.kind] + case.block,
        "undecided": lambda case: 900 + (scatter[case.block] if case.kind == "l2dsr" else 0),
        "mixed": lambda case: {1: 800, 2: 1000}.get(case.levels.get("threads", 0), 900) + case.block,
    }
    factors = {"threads": [1, 2]} if verdict == "mixed" else {}
    if verdict == "none":
        return builder.tables(lambda _: None)  # type: ignore[no-any-return]
    return builder.tables(lambda case: builder.measured(rates[verdict](case)), factors=factors)  # type: ignore[no-any-return]


def all_words(tables: Tables) -> str:
    """Everything that the head of the report and its figures' headings say of the arms."""
    parts = [text for asked in questions(tables) for text in (asked.lead, *asked.said)]
    drawn = [plot(tables) for plot in (plot_throughput, plot_ratio_forest)]
    headings = [figure.texts[0].get_text().replace("\n", " ") for figure in drawn]
    return "\n".join([*parts, *answer(tables).sentences, *headings])


@pytest.mark.parametrize("verdict", ["higher", "lower", "undecided", "mixed", "none"])
def test_no_word_goes_beyond_the_verdict(builder: Any, verdict: str) -> None:
    tables = run(builder, verdict)
    assert answer(tables).verdict == verdict
    text = all_words(tables)
    said = {pattern for pattern in AHEAD if re.search(pattern, text)}
    assert all(verdict in AHEAD[pattern] for pattern in said), said
    assert bool(said) == (verdict not in ("undecided", "none"))


def test_each_question_has_a_lead_and_a_place(builder: Any, wrong: dict[str, Tables], sizes: Tables) -> None:
    for tables in (*wrong.values(), sizes):
        asked = questions(tables)
        assert len({question.asked for question in asked}) == 4
        assert all(question.lead.endswith((".", "”")) for question in asked)
        assert all(question.places for question in asked[:3])


def test_two_blocks_do_not_answer_which_is_faster(builder: Any) -> None:
    first = questions(builder.tables(repetitions=2))[0]
    assert first.lead == "Neither l2dsr nor proxy is shown to be the faster one."
    assert "2 blocks, no interval" in first.said[0]


def test_the_studys_claim_is_answered_by_its_verdict(builder: Any) -> None:
    rates = {"proxy": 800, "l2dsr": 880}
    held = questions(builder.tables(lambda case: builder.measured(rates[case.kind] + case.block)))[2]
    assert held.lead.startswith("Reproduced here: “Below 5 Gbit/s")
    assert "Of the study's 7 claims: 1 supported, 1 not supported, 5 not testable here." in held.said[1]
    none = questions(builder.tables(arms={"direct": None}))[2]
    assert none.lead.startswith("Not testable in this run: ")


def test_what_to_buy_without_a_size_sweep_is_a_floor(tables: Tables) -> None:
    """5 KiB: 1 s of CPU for 408 requests of the proxy, so 50,000 a second take 122.5 directors of one CPU."""
    found = df_purchase(tables).set_index("arm")
    assert list(found["bound"]) == ["at least"] * 2
    assert (found.loc["proxy", "directors"], found.loc["l2dsr", "directors"]) == (123, 31)
    assert found.loc["proxy", "low"] <= 123 <= found.loc["proxy", "high"]
    assert (found["from_kib"] == 5).all()
    asked = questions(tables)[3]
    assert asked.lead.startswith("Directors with 1 CPU: proxy at least 123 (")
    assert "by the cost of 5 KiB" in asked.lead
    assert any("bmt run file-size" in text for text in asked.said)
    assert any("do not size a site by these counts" in text for text in asked.said)


def test_the_answers_themselves_fill_a_proxys_link(builder: Any) -> None:
    """However cheap a request is: 50,000 of 20 KiB are 8.2 Gbit/s, and the cost at 5 KiB does not show them."""
    cheap = {"director_cpu_s": {"user": 0.01}, "director_in": 1000, "director_out": 1000}
    found = df_purchase(builder.tables(lambda case: builder.measured(4000, **cheap))).set_index("arm")
    assert found.loc["proxy", "limit"] == "link"
    assert found.loc["l2dsr", "limit"] == "director CPU"


def test_two_sizes_bound_it_from_both_sides(sizes: Tables) -> None:
    found = df_purchase(sizes)
    assert set(found["bound"]) == {"at least", "at most"}
    ends = found[found["arm"] == "proxy"].groupby("bound")["directors"].min()
    assert ends["at least"] <= ends["at most"]


def test_three_sizes_give_a_number(builder: Any) -> None:
    def figures(case: Any) -> Any:
        cost = (100 + 4 * int(case.load.file_size) / 1024) * 1000 / 1e6 * (1 + 0.01 * case.block)
        return builder.measured(1000, director_cpu_s={"user": cost}, director_in=10**6, director_out=10**6)

    found = df_purchase(builder.tables(figures, factors={"file_size": ["1 KiB", "16 KiB", "64 KiB"]}))
    assert (found["bound"] == "").all()
    assert (found["directors"] == 10).all()  # 180 µs x 1.02 x 50,000
    asked = questions(builder.tables(figures, factors={"file_size": ["1 KiB", "16 KiB", "64 KiB"]}))[3]
    assert asked.places == {"other demands": "t-capacity"}
    assert not any("needs a run over file sizes" in text for text in asked.said)


def test_shared_cpus_tell_no_number(builder: Any) -> None:
    asked = questions(builder.tables(builder.usual, {"placement": {"rps": True, "separate": False}}))[3]
    assert asked.lead == "This run cannot say: other hosts share the director's CPUs, so its cost is not known."
    assert "8.19 Gbit/s" in asked.said[0]
