"""Verdicts on claims: each side of the rule, what leaves a claim undecided, and what the evidence says."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from bmtlib.analysis.claims import df_claims
from bmtlib.analysis.metrics import METRICS, df_metrics
from bmtlib.params import claim as params
from bmtlib.params.paths import project_root
from bmtlib.plan import Case

RATIO = {"of": {"arm": "l2dsr"}, "over": {"arm": "proxy"}}


def claim(**fields: Any) -> dict[str, Any]:
    return {"text": "It is so.", "metric": "requests_per_s", "is": "above", "limit": 1.0, **fields}


def verdicts(
    builder: Any, *claims: dict[str, Any], figures: Any = None, run: Any = None, **fields: Any
) -> pd.DataFrame:
    return df_claims(builder.tables(figures or builder.usual, run, claims=list(claims), **fields))


@pytest.mark.parametrize(
    ("side", "limit", "verdict"),
    [
        ("above", 1.0, "supported"),
        ("below", 1.0, "not supported"),
        ("above", 3.0, "not supported"),
        ("below", 3.0, "supported"),
        ("above", 1.98, "undecided"),
        ("below", 1.98, "undecided"),
    ],
)
def test_a_ratio_decides_by_its_whole_interval(builder: Any, side: str, limit: float, verdict: str) -> None:
    found = verdicts(builder, claim(**RATIO, **{"is": side, "limit": limit})).iloc[0]
    assert found["verdict"] == verdict
    assert (found["n"], found["of"], found["over"]) == (3, "l2dsr", "proxy")
    assert found["low"] < found["estimate"] < found["high"]
    said = "Requests/s, l2dsr / proxy: 1.98 (95\u00a0%: 1.96–2.00; 3 blocks)"
    assert found["evidence"] == said + ("; the interval holds 1.98." if verdict == "undecided" else ".")


def test_a_value_decides_like_a_ratio(builder: Any) -> None:
    cost = claim(metric="director_cpu_us_per_request", of={"arm": "l2dsr"})
    low, high, wide = (claim(**{**cost, "limit": limit}) for limit in (100, 10_000, 621.0))
    found = verdicts(builder, low, high, wide)
    assert list(found["verdict"]) == ["supported", "not supported", "undecided"]
    assert found["evidence"][0].startswith("Director CPU per request, l2dsr: 619 µs (95\u00a0%: ")


def test_two_blocks_decide_no_quantity_and_one_block_no_count(builder: Any) -> None:
    lossy = {"figures": lambda case: replace(builder.usual(case), softnet_dropped=5)}
    drops = claim(metric="drops_backlog", of={"arm": "l2dsr"}, limit=0)
    two = verdicts(builder, claim(**RATIO), drops, repetitions=2, **lossy)
    assert list(two["verdict"]) == ["undecided", "supported"]
    assert two["evidence"][0] == "Requests/s, l2dsr / proxy: 1.99 (2 blocks); 2 blocks give no interval, 3 would."
    one = verdicts(builder, drops, repetitions=1, **lossy)
    assert one["verdict"][0] == "undecided"
    assert "1 block could be chance" in one["evidence"][0]


def test_counts_decide_when_all_blocks_agree(builder: Any) -> None:
    def figures(case: Case) -> Any:
        return replace(
            builder.usual(case), softnet_dropped={"proxy": 7 * case.block, "l2dsr": case.block // 3}[case.kind]
        )

    of_arm = [
        claim(metric="drops_backlog", of={"arm": arm}, limit=0, **{"is": side})
        for arm, side in (("proxy", "above"), ("l2dsr", "above"), ("proxy", "below"))
    ]
    found = verdicts(builder, *of_arm, figures=figures)
    assert list(found["verdict"]) == ["supported", "undecided", "not supported"]
    assert found["evidence"][0] == "Packets lost in the softnet backlog, proxy: 7 to 21 per block (3 blocks)."
    assert "it holds in 1 of 3 blocks" in found["evidence"][1]


def test_what_was_not_measured_is_undecided_and_says_so(builder: Any) -> None:
    def figures(case: Case) -> Any:
        if case.arm == "l2dsr":
            return builder.measured(0, status="failed", error="the director has 1 CPU")
        return replace(builder.usual(case), without=frozenset({"softnet"}))

    nic = claim(metric="ipvs_cpu_share", of={"arm": "proxy"})
    found = verdicts(builder, claim(**RATIO), nic, claim(metric="drops_backlog", of={"arm": "proxy"}), figures=figures)
    assert list(found["verdict"]) == ["undecided"] * 3
    assert found["evidence"][0] == "No case of l2dsr is done: the director has 1 CPU."
    assert found["evidence"][1] == "Not measured with proxy."
    assert found["evidence"][2] == "Not measured with proxy."
    assert verdicts(builder, claim(**RATIO), figures=lambda _: None)["verdict"][0] == "undecided"


def test_spreads_are_compared_by_f(builder: Any) -> None:
    def figures(case: Case) -> Any:
        wide = {"proxy": 300, "l2dsr": 3}[case.kind]
        return builder.measured(2000 + wide * (-1) ** case.block + case.block)

    wider = claim(metric="spread_requests_per_s", of={"arm": "proxy"}, over={"arm": "l2dsr"})
    alone = claim(metric="spread_requests_per_s", of={"arm": "proxy"}, limit=0.01)
    found = verdicts(builder, wider, alone, figures=figures, repetitions=5)
    assert list(found["verdict"]) == ["supported", "supported"]
    assert re.match(r"Spread of requests/s between blocks, proxy: 16\.\d % \(95\u00a0%: ", found["evidence"][1])


def test_levels_choose_cases_and_the_others_are_paired(builder: Any) -> None:
    def figures(case: Case) -> Any:
        grow = 1 + (case.levels.get("threads", 1) == 2) + 2 * (case.levels["file_size"] == 1024)
        return builder.measured(400 * grow + case.block)

    factors = {"file_size": ["1 KiB", "64 KiB"], "threads": [1, 2]}
    small = {"arm": "proxy", "levels": {"threads": 2, "file_size": "1 KiB"}}
    claims = [
        claim(of=small, over={"arm": "proxy", "levels": {"threads": 1, "file_size": "1 KiB"}}),
        # Paired by file size: 4 / 3 and 2 / 1, their median within each block.
        claim(of={"arm": "proxy", "levels": {"threads": 2}}, over={"arm": "proxy", "levels": {"threads": 1}}),
    ]
    found = verdicts(builder, *claims, figures=figures, factors=factors)
    assert found["of"][0] == "proxy with 2 threads, 1 KiB"
    assert list(found["estimate"].round(2)) == [1.33, 1.66]
    assert list(found["n"]) == [3, 3]


def test_cpus_that_share_one_do_not_decide_what_a_second_one_brings(builder: Any) -> None:
    factors = {"threads": [1, 2]}
    threads = [{"arm": "proxy", "levels": {"threads": n}} for n in (2, 1)]
    claims = [
        claim(of=threads[0], over=threads[1]),
        claim(**RATIO),
        claim(metric="packet_cpu_share", of={"arm": "l2dsr"}, limit=0.5),
    ]
    fields = {"claims": claims, "factors": factors, "director_cpus": 2}
    shared = builder.tables(builder.usual, {"machine": {"vcpus": 2, "cpus": [1]}}, **fields)
    found = df_claims(shared)
    assert list(found["verdict"]) == ["undecided", "supported", "supported"]
    assert "the question needs 2 CPUs for the director, and it had 1" in found["evidence"][0]
    own = builder.tables(builder.usual, {"machine": {"vcpus": 2, "cpus": [0, 1]}}, **fields)
    assert "needs 2 CPUs" not in df_claims(own)["evidence"][0]


def test_cpu_time_on_shared_cpus_decides_nothing(builder: Any) -> None:
    cost = claim(metric="director_cpu_us_per_request", **RATIO, **{"is": "below"})
    found = verdicts(builder, cost, run={"placement": {"rps": True, "separate": False}})
    assert found["verdict"][0] == "undecided"
    assert "other hosts share the director's CPUs" in found["evidence"][0]


def test_every_metric_has_words_and_a_column_and_is_documented(tables: Any) -> None:
    assert tuple(METRICS) == params.METRICS
    assert set(params.METRICS) <= set(df_metrics(tables).columns)
    dictionary = (project_root() / "data" / "README.md").read_text()
    section = dictionary.partition("### Metrics\n")[2].partition("\n\nA claim is")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", " ".join(cells))) == set(params.METRICS)


def test_a_run_without_claims(tables: Any) -> None:
    assert df_claims(tables).empty
