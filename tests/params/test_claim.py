"""Claims: what is read, and what is said about those that cannot be decided by the scenario."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from bmtlib.params.claim import Claim
from bmtlib.params.load_yaml import load_scenario, names
from bmtlib.params.scenario import Scenario

SETTLES = ("lvs-queues", "packet-drops", "irq-affinity", "proxy-threads")


def scenario(*claims: dict[str, Any]) -> Scenario:
    return Scenario.model_validate(
        {
            "title": "A test",
            "question": "What is what?",
            "arms": {"direct": None, "proxy": None, "l2dsr": None},
            "load": {"concurrency": 20, "seconds": 4},
            "factors": {"threads": [1, 2], "file_size": ["1 KiB", "5 KiB"], "keepalive": [False, True]},
            "claims": list(claims),
        }
    )


def claim(**fields: Any) -> dict[str, Any]:
    return {"text": "So.", "metric": "requests_per_s", "of": {"arm": "proxy"}, "is": "above", "limit": 1.0, **fields}


def said(*claims: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        scenario(*claims)
    return " ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in caught.value.errors())


def test_a_claim_is_read_and_written_with_the_same_keys() -> None:
    levels = {"threads": 2, "file_size": "5 KiB", "keepalive": True}
    found = scenario(claim(of={"arm": "proxy", "levels": levels}, over={"arm": "l2dsr"}))
    assert found.claims[0].of.levels == {"threads": 2, "file_size": 5120, "keepalive": True}
    assert (found.claims[0].is_, found.claims[0].limit) == ("above", 1.0)
    dumped = json.loads(found.model_dump_json())
    assert dumped["claims"][0]["is"] == "above"
    assert Claim.model_validate(dumped["claims"][0]) == found.claims[0]


@pytest.mark.parametrize(
    ("cases", "words"),
    [
        ({"arm": "nat"}, "claims.0.of.arm: the scenario has no arm 'nat'; it has direct, proxy, l2dsr"),
        (
            {"arm": "l2dsr", "levels": {"threads": 2}},
            "claims.0.of.levels.threads: the scenario does not vary 'threads'",
        ),
        ({"arm": "proxy", "levels": {"queues": 2}}, "claims.0.of.levels.queues: the scenario does not vary 'queues'"),
        ({"arm": "proxy", "levels": {"threads": 4}}, "claims.0.of.levels.threads: 4 is no level of 'threads': 1, 2"),
        ({"arm": "proxy", "levels": {"threads": True}}, "True is no level of 'threads'"),
        ({"arm": "proxy", "levels": {"keepalive": 1}}, "1 is no level of 'keepalive': no, yes"),
        ({"arm": "proxy", "levels": {"file_size": "2 KiB"}}, "2048 is no level of 'file_size': 1 KiB, 5 KiB"),
    ],
)
def test_cases_that_the_scenario_does_not_have(cases: dict[str, Any], words: str) -> None:
    assert words in said(claim(of=cases))
    assert words.replace(".of.", ".over.") in said(claim(over=cases, of={"arm": "direct"}))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"over": {"arm": "proxy"}}, "claims.0.over: is the same cases as `of`"),
        ({"metric": "speed"}, "claims.0.metric"),
        ({"is": "equal"}, "claims.0.is"),
        ({"limit": float("nan")}, "claims.0.limit"),
        ({"is_": "above"}, "claims.0.is_: Extra inputs"),
    ],
)
def test_other_mistakes(fields: dict[str, Any], words: str) -> None:
    assert words in said(claim(**fields))


@pytest.mark.parametrize("name", SETTLES)
def test_scenarios_that_settle_the_seeds_questions(name: str) -> None:
    assert name in names("scenarios")
    found = load_scenario(name)
    assert found.expect
    assert len(found.claims) >= 4
    assert found.director_cpus == (1 if name == "packet-drops" else 2)
    assert set(found.levers) == set(found.factors.get("lever", ()))
