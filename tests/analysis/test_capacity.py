"""How many directors: by hand from known costs, with what limits, and what is only a guess."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bmtlib.analysis.capacity import Demand, df_capacity
from bmtlib.analysis.link_claim import df_link_gain, judge_link_claim
from bmtlib.analysis.tables import Tables, read_tables
from bmtlib.cli import main
from bmtlib.errors import InputError
from bmtlib.plan import Case
from bmtlib.report import costs
from bmtlib.rundir import RunDir


@pytest.fixture
def folder(builder: Any) -> RunDir:
    return builder.swept()  # type: ignore[no-any-return]


@pytest.fixture
def sweep(builder: Any) -> Tables:
    return read_tables(builder.swept())


def test_directors_by_hand(sweep: Tables) -> None:
    rows = df_capacity(sweep, [Demand(requests_per_s=50_000, kib=64, gbit_per_s=10)]).set_index("arm")
    # A proxy's request of 64 KiB takes 356 µs x 1.03, the middle block: 2,727/s on one CPU, so 19 directors.
    proxy, l2dsr = rows.loc["proxy"], rows.loc["l2dsr"]
    assert proxy["per_director_per_s"] == pytest.approx(1e6 / (356 * 1.03), rel=0.02)
    assert (proxy["directors"], proxy["limit"], proxy["extrapolated"]) == (19, "director CPU", "")
    assert proxy["directors_low"] <= 19 <= proxy["directors_high"]
    assert (l2dsr["directors"], l2dsr["limit"]) == (6, "director CPU")  # 114 x 1.03 µs
    # 50,000 answers of 64,000 bytes are 25.6 Gbit/s, whoever sends them.
    assert (proxy["web_links"], l2dsr["web_links"]) == (3, 3)
    assert "do not size a site" in proxy["fidelity"]


def test_a_slow_link_limits_the_proxy_and_not_l2dsr(sweep: Tables) -> None:
    rows = df_capacity(sweep, [Demand(requests_per_s=1_000, kib=512, gbit_per_s=0.1)]).set_index("arm")
    assert rows.loc["proxy", "limit"].startswith("link")
    # 513,000 bytes each way: 24.4 requests/s over 100 Mbit/s.
    assert rows.loc["proxy", "per_director_per_s"] == pytest.approx(0.1e9 / 8 / 513_000, rel=0.02)
    assert rows.loc["proxy", "directors"] == 42
    assert rows.loc["l2dsr", "limit"] == "director CPU"


def test_half_in_use_takes_twice_as_many(sweep: Tables) -> None:
    full, half = (
        df_capacity(sweep, [Demand(requests_per_s=50_000, kib=64, gbit_per_s=10, use=use)])["per_director_per_s"]
        for use in (1.0, 0.5)
    )
    assert np.allclose(full, 2 * half)


@pytest.mark.parametrize(
    ("kib", "cpus", "said"),
    [(64, None, ""), (2000, None, "sizes measured: 1 KiB to 512 KiB"), (64, 8, "CPUs of a director measured: 1")],
)
def test_what_lies_beyond_the_measurement_is_marked(sweep: Tables, kib: float, cpus: int | None, said: str) -> None:
    rows = df_capacity(sweep, [Demand(requests_per_s=1, kib=kib, gbit_per_s=1, cpus=cpus)])
    assert set(rows["extrapolated"]) == {said}


def test_a_misfit_widens_the_interval(builder: Any) -> None:
    def bent(case: Case) -> Any:
        found = builder.priced()(case)
        more = 1.5 if case.load.file_size == 64 * 1024 else 1.0
        return replace(found, director_cpu_s={"user": found.director_cpu_s["user"] * more})

    demand = [Demand(requests_per_s=50_000, kib=64, gbit_per_s=10)]
    straight, crooked = (
        df_capacity(builder.tables(made, repetitions=5, factors={"file_size": builder.sizes}), demand).iloc[0]
        for made in (builder.priced(), bent)
    )
    spans = [row["per_director_high"] / row["per_director_low"] for row in (straight, crooked)]
    assert spans[0] < 1.1 < 1.25 < spans[1]


def test_few_blocks_give_a_count_without_an_interval(builder: Any) -> None:
    tables = builder.tables(builder.priced(), repetitions=2, factors={"file_size": builder.sizes})
    row = df_capacity(tables, [Demand(requests_per_s=50_000, kib=64, gbit_per_s=10)]).iloc[0]
    assert row["directors"] == 19
    assert row[["directors_low", "directors_high"]].isna().all()


@pytest.mark.parametrize("field", ["requests_per_s", "kib", "gbit_per_s", "use"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_demand_that_cannot_be(field: str, value: float) -> None:
    with pytest.raises(InputError, match=field):
        Demand(**{"requests_per_s": 1.0, "kib": 1.0, "gbit_per_s": 1.0, field: value})


def test_other_demands_that_cannot_be() -> None:
    with pytest.raises(InputError, match="at most 1"):
        Demand(requests_per_s=1, kib=1, gbit_per_s=1, use=70)
    with pytest.raises(InputError, match="at least one CPU"):
        Demand(requests_per_s=1, kib=1, gbit_per_s=1, cpus=0)


def test_runs_that_went_wrong_have_no_count(wrong: dict[str, Tables]) -> None:
    for tables in wrong.values():
        assert df_capacity(tables, [Demand(requests_per_s=1, kib=1, gbit_per_s=1)]).empty
        assert judge_link_claim(tables).verdict == "not testable here"
        assert costs.capacity(tables) == costs.cost_fit(tables) == costs.scaling(tables) == ""


def test_the_report_has_the_counts(sweep: Tables) -> None:
    said = repr(costs.capacity(sweep))
    assert "50,000 64 KiB 10 19, director CPU 6 (6–7), director CPU 3" in said
    assert "do not size a site by these counts" in said
    assert re.search(r"proxy director CPU, µs 1\d\d .* – .* 4\.\d\d ", repr(costs.cost_fit(sweep)))


def test_the_seed_claim_about_links(builder: Any, sweep: Tables) -> None:
    claim = judge_link_claim(sweep)
    assert claim.result == "reproduced"
    gain = df_link_gain(sweep)
    assert set(gain["gbit_per_s"]) == {10.0, 20.0}
    assert (gain["low"] > 1.1).all()
    assert claim.found.low == gain.loc[gain["ratio"].idxmin(), "low"]
    assert "6 of 6" in claim.evidence
    same = builder.priced(proxy=50.0, per_kib=(1.0, 1.0))
    assert judge_link_claim(builder.tables(same, repetitions=5, factors={"file_size": builder.sizes})).result == (
        "not reproduced"
    )
    mixed = builder.priced(proxy=50.0)  # alike for small answers, cheaper for large ones
    undecided = judge_link_claim(builder.tables(mixed, repetitions=5, factors={"file_size": builder.sizes}))
    assert undecided.verdict == "undecided"
    assert undecided.decide == "about 17 blocks, if they scatter as these 5 do"


def test_the_verb(folder: RunDir, run: RunDir) -> None:
    words = ["--rps", "50000", "--kib", "64", "--gbit", "10"]
    done = CliRunner().invoke(main, ["capacity", str(folder.path), *words])
    assert done.exit_code == 0, done.output
    assert "19" in done.output
    assert "do not size a site" in " ".join(done.output.split())
    said = CliRunner().invoke(main, ["capacity", str(folder.path), *words[:2], "--kib", "4000", *words[4:]]).output
    assert "EXTRAPOLATED" in said
    as_json = CliRunner().invoke(main, ["capacity", str(folder.path), *words, "--json"]).output
    assert '"directors":19' in as_json
    refused = CliRunner().invoke(main, ["capacity", str(run.path), *words])
    assert refused.exit_code == 2
    assert "the size of the file was not varied" in refused.output
