"""The ledger: every claim in one vocabulary, what it stands on, and what would decide it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, get_args

import pytest
from click.testing import CliRunner

from bmtlib.analysis.claims import df_claims
from bmtlib.analysis.judged import VERDICT_OF, Result, Verdict
from bmtlib.analysis.ledger import df_ledger, tally
from bmtlib.analysis.plots import FIGURES
from bmtlib.analysis.proof import PROOFS
from bmtlib.analysis.seed_claims import SEED_CLAIMS
from bmtlib.analysis.tables import Tables, read_tables
from bmtlib.cli import main
from bmtlib.params.claim import METRICS

CLAIMS = [
    {
        "text": "L2DSR is faster.",
        "metric": "requests_per_s",
        "of": {"arm": "l2dsr"},
        "over": {"arm": "proxy"},
        "is": "above",
        "limit": 1.0,
        "source": "folklore",
    },
    {"text": "Nothing is lost.", "metric": "drops_backlog", "of": {"arm": "proxy"}, "is": "below", "limit": 1},
]


def test_every_claim_is_in_it_with_a_name_of_its_own(builder: Any) -> None:
    found = df_ledger(builder.tables(claims=CLAIMS))
    assert list(found["of"]) == ["scenario"] * 2 + ["study"] * len(SEED_CLAIMS) + ["table"] * 25
    assert found["id"].is_unique
    first = found.iloc[0]
    assert (first["claim"], first["source"], first["id"]) == ("L2DSR is faster.", "folklore", "claim-1")
    assert first["rule"] == "requests/s, l2dsr / proxy: the whole 95 % interval above 1.00"
    assert found["rule"][1] == "packets lost in the softnet backlog, proxy: in all blocks below 1"
    assert first["shown"] == "1.98 (95\u00a0%: 1.96–2.00; 3 blocks)"
    assert found["shown"][1] == "0 per block (3 blocks)"
    assert set(found["fidelity"]) == {"", "emulated virtual physical"}
    assert all(found.loc[found["of"] != "scenario", "needs"])


def test_one_vocabulary(builder: Any) -> None:
    assert set(VERDICT_OF) == set(get_args(Result))
    assert set(VERDICT_OF.values()) == set(get_args(Verdict))
    tables = builder.tables(claims=CLAIMS)
    found = df_ledger(tables)
    assert list(found["verdict"][:2]) == list(df_claims(tables)["verdict"])
    assert all(VERDICT_OF[row["result"]] == row["verdict"] for _, row in found[found["of"] != "scenario"].iterrows())
    assert tally(found["verdict"][:2]) == "2 supported"


def test_what_is_judged_leads_to_files_that_are_there(builder: Any) -> None:
    folder = builder(claims=CLAIMS)
    found = df_ledger(read_tables(folder))
    judged = found[found["n"] > 0]
    assert len(judged) == 4
    assert set(judged["figure"]) <= set(FIGURES)
    for raw in judged["raw"]:
        assert raw
        assert all((folder.path / path).is_file() for path in raw.split())
    assert (found.loc[found["n"] == 0, ["table", "figure", "raw"]] == "").all(axis=None)


def test_every_metric_has_a_proof() -> None:
    assert set(PROOFS) == set(METRICS)
    assert {proof.figure for proof in PROOFS.values()} <= set(FIGURES)


@pytest.mark.parametrize(
    ("claim", "fields", "decide"),
    [
        ({}, {}, ""),
        ({}, {"repetitions": 2}, "at least 3 blocks (--set repetitions=3)"),
        ({"limit": 1.975}, {}, "about 15 blocks, if they scatter as these 3 do"),
        ({"over": {"arm": "missing"}}, {"arms": {"l2dsr": None, "missing": {"kind": "proxy"}}}, "a run in which it is"),
        ({"metric": "director_cpu_us_per_request"}, {"run": {"placement": {"separate": False}}}, "CPUs of its own"),
    ],
)
def test_what_would_decide_it(builder: Any, claim: Any, fields: Any, decide: str) -> None:
    def figures(case: Any) -> Any:
        return None if case.arm == "missing" else builder.usual(case)

    found = df_ledger(builder.tables(figures, claims=[{**CLAIMS[0], **claim}], **fields)).iloc[0]
    assert (found["verdict"] == "undecided") == bool(decide)
    assert decide in found["decide"]


def test_the_verb(builder: Any) -> None:
    folder = builder(claims=CLAIMS, repetitions=2)
    shown = CliRunner().invoke(main, ["claims", str(folder.path)])
    assert shown.exit_code == 0, shown.output
    assert "The 25 rows of the study's table: 25 not testable here." in shown.output
    rows = json.loads(CliRunner().invoke(main, ["claims", str(folder.path), "--json"]).output)
    assert [row["verdict"] for row in rows[:2]] == ["undecided", "supported"]
    assert rows[0]["low"] is None
    assert CliRunner().invoke(main, ["claims", str(folder.path / "nothing")]).exit_code == 2


def test_many_left_out_ask_for_another_run(builder: Any) -> None:
    def figures(case: Any) -> Any:
        return replace(builder.usual(case), status="rejected" if case.block < 3 else "done")

    found = df_ledger(builder.tables(figures, claims=CLAIMS[:1], repetitions=5)).iloc[0]
    assert found["verdict"] == "undecided"
    assert found["decide"] == "a run of which at most 25 % of each side is left out"


def test_what_is_open_says_what_would_decide_it(wrong: dict[str, Tables], sizes: Tables, levers: Tables) -> None:
    for tables in (*wrong.values(), sizes, levers):
        found = df_ledger(tables)
        undecided = found["verdict"].isin(("undecided", "not testable here"))
        # The lowest row of the study's table is what its others are held against.
        assert set(found.loc[undecided & (found["decide"] == ""), "id"]) <= {"row-21"}
        assert (found.loc[~undecided, "decide"] == "").all()
        assert (found["evidence"].str.len() > 10).all()
