"""Lists in the analysis that must follow the parameters: kinds of arms, factors."""

from __future__ import annotations

from bmtlib.analysis.naming import level
from bmtlib.analysis.plots.style import KIND_COLOURS
from bmtlib.analysis.schema import COLUMNS, FACTOR_COLUMNS
from bmtlib.analysis.trials import KINDS
from bmtlib.params import arms
from bmtlib.params.factors import Factors
from bmtlib.setup.lvs import FORWARD


def test_every_kind_of_arm_has_its_place_and_its_colour() -> None:
    assert sorted(KINDS) == sorted(KIND_COLOURS) == sorted(arms.KINDS)
    assert len(set(KIND_COLOURS.values())) == len(KIND_COLOURS)
    assert set(FORWARD) == set(arms.KINDS) - {"direct", "proxy"}


def test_every_factor_has_a_column_and_words() -> None:
    assert set(FACTOR_COLUMNS) == set(Factors.__annotations__)
    assert set(FACTOR_COLUMNS.values()) <= set(COLUMNS["cases"])
    levels = {
        "file_size_bytes": 5120,
        "concurrency": 200,
        "offered_per_s": 2000,
        "keepalive": False,
        "threads": 2,
        "queues": 2,
        "lever": "cured",
        "tuning": "seed",
    }
    assert set(levels) == set(FACTOR_COLUMNS.values())
    words = [level(column, value) for column, value in levels.items()]
    rest = ["no keep-alive", "2 threads", "2 queues", "cured", "seed tuning"]
    assert words == ["5 KiB", "concurrency 200", "2,000 requests/s", *rest]
