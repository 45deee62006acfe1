from __future__ import annotations

import json
import random
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bmtlib.errors import InputError
from bmtlib.params.arms import KINDS, ProxyArm
from bmtlib.params.paths import project_root
from bmtlib.params.profile import HostTuning, Irq, Nic
from bmtlib.params.scenario import Scenario
from bmtlib.params.testbed import Network, PlacementWish, Testbed
from bmtlib.plan import make_plan, plan_from_json, rows


def scenario(**changes: Any) -> Scenario:
    base: dict[str, Any] = {
        "title": "A",
        "question": "B",
        "arms": {"direct": None, "proxy": None, "l2dsr": None},
        "load": {"concurrency": 200, "seconds": 5},
    }
    return Scenario.model_validate(base | changes)


def test_one_case_resolved() -> None:
    it = scenario(arms={"proxy": {"retries": 1}}, factors={"file_size": ["64 KiB"], "threads": [2]}, repetitions=1)
    (case,) = make_plan(it, Testbed()).cases
    assert case.id == "b1-proxy-file_size-64kib-threads-2"
    assert (case.block, case.index, case.arm, case.kind, case.engine) == (1, 0, "proxy", "proxy", "haproxy")
    assert case.levels == {"file_size": 65_536, "threads": 2}
    assert case.load.file_size == 65_536
    assert case.settings == ProxyArm(retries=1, threads=2)
    assert case.tuning == "recommended"


def test_a_case_with_a_lever() -> None:
    levers = {"none": {"text": "as it is"}, "ring": {"text": "small", "nic": {"ring_rx": 64}}}
    factors = {"lever": ["none", "ring"], "queues": [2]}
    it = scenario(arms={"direct": None, "nat": None}, levers=levers, factors=factors, repetitions=1, order="listed")
    direct, control, case = make_plan(it, Testbed()).cases
    assert (direct.id, direct.lever, direct.queues, direct.director) == ("b1-direct", None, None, HostTuning())
    assert case.id == "b1-nat-queues-2-lever-ring"
    assert (case.lever, case.queues, case.kind, case.engine) == ("ring", 2, "nat", "ipvs")
    assert case.director == HostTuning(nic=Nic(channels=2, ring_rx=64), irq=Irq(cpus="all"))
    assert control.director.nic == Nic(channels=2)


def test_a_plan_of_a_version_without_levers_can_be_read() -> None:
    data = json.loads(make_plan(scenario(), Testbed()).to_json())
    for case in data["cases"]:
        del case["queues"], case["lever"], case["director"]
    assert plan_from_json(json.dumps(data)) == make_plan(scenario(), Testbed())


def test_engines() -> None:
    plan = make_plan(scenario(order="listed", repetitions=1), Testbed())
    assert [case.engine for case in plan.cases] == ["none", "haproxy", "auto"]


def random_scenario(chance: random.Random) -> Scenario:
    factors: dict[str, Any] = {
        "file_size": chance.sample(range(1, 9000), chance.randrange(1, 4)),
        "concurrency": chance.sample(range(4, 500), chance.randrange(1, 4)),
        "keepalive": chance.choice([[True], [False], [True, False]]),
        "threads": chance.sample(range(1, 64), chance.randrange(1, 4)),
        "queues": chance.sample(range(1, 9), chance.randrange(1, 4)),
        "lever": chance.sample(["a", "b-c", "1"], chance.randrange(1, 4)),
    }
    chosen = {name: factors[name] for name in chance.sample(sorted(factors), chance.randrange(5))}
    arms: dict[str, Any] = {f"arm{i}": {"kind": chance.choice(KINDS)} for i in range(chance.randrange(1, 4))}
    arms["proxy"] = {}
    levers = {name: {"text": name, "nic": {"ring_rx": 64 + len(name)}} for name in ("a", "b-c", "1")}
    seed = chance.randrange(10_000)
    return scenario(arms=arms, factors=chosen, levers=levers, repetitions=chance.randrange(1, 5), seed=seed)


def test_each_block_holds_each_case_once_and_the_plan_comes_back_from_json() -> None:
    chance = random.Random(1)
    for _ in range(60):
        it = random_scenario(chance)
        plan = make_plan(it, Testbed())
        blocks = [
            [case.id.partition("-")[2] for case in plan.cases if case.block == i + 1] for i in range(it.repetitions)
        ]
        assert all(sorted(block) == sorted(blocks[0]) for block in blocks)
        assert max(Counter(blocks[0]).values()) == 1
        assert [case.index for case in plan.cases] == list(range(len(plan.cases)))
        assert [case.block for case in plan.cases] == sorted(case.block for case in plan.cases)
        assert all(re.fullmatch(r"[a-z0-9._-]+", case.id) for case in plan.cases)
        assert len({case.id.lower() for case in plan.cases}) == len(plan.cases)
        assert plan_from_json(plan.to_json()) == plan == make_plan(it, Testbed())
        assert len(rows(plan)) == len(plan.cases)


def order(it: Scenario) -> list[str]:
    return [case.id for case in make_plan(it, Testbed()).cases]


def test_the_seed_makes_the_order() -> None:
    factors = {"file_size": [1, 2, 3, 4, 5]}
    orders = {tuple(order(scenario(factors=factors, seed=seed))) for seed in range(50)}
    assert len(orders) == 50
    ids = [name.partition("-")[2] for name in order(scenario(factors=factors))]
    assert ids[:15] != ids[15:30] != ids[30:]


def test_the_order_of_a_seed_never_changes() -> None:
    """A run that is resumed, or repeated elsewhere, has the same order: written down here for good."""
    assert order(scenario()) == [
        "b1-l2dsr",
        "b1-proxy",
        "b1-direct",
        "b2-direct",
        "b2-proxy",
        "b2-l2dsr",
        "b3-direct",
        "b3-proxy",
        "b3-l2dsr",
    ]


def test_every_order_of_three_arms_is_about_as_frequent() -> None:
    seen = Counter(tuple(order(scenario(repetitions=1, seed=seed))) for seed in range(600))
    assert len(seen) == 6
    assert min(seen.values()) > 60


def test_listed_order() -> None:
    assert order(scenario(order="listed", repetitions=2)) == [
        "b1-direct",
        "b1-proxy",
        "b1-l2dsr",
        "b2-direct",
        "b2-proxy",
        "b2-l2dsr",
    ]


def test_the_digest_is_of_everything_that_was_asked_for() -> None:
    def digest(testbed: Testbed = Testbed(), **changes: Any) -> str:  # noqa: B008 (immutable)
        return make_plan(scenario(**changes), testbed).digest

    assert digest() == digest()
    assert re.fullmatch(r"[0-9a-f]{64}", digest())
    others = [
        digest(title="other"),
        digest(seed=1),
        digest(webs=5),
        digest(load={"concurrency": 201, "seconds": 5}),
        digest(arms={"proxy": None, "direct": None, "l2dsr": None}),
        digest(Testbed(network=Network(port=81))),
        digest(Testbed(placement=PlacementWish(director_cpus="1"))),
    ]
    assert len({digest(), *others}) == 8
    assert digest(load={"concurrency": 200, "seconds": 5, "file_size": "5 KiB"}) == digest()


def test_a_case_has_a_digest_of_all_that_decides_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def digests(testbed: Testbed = Testbed(), **changes: Any) -> dict[str, str]:  # noqa: B008 (immutable)
        return {case.id: case.digest for case in make_plan(scenario(**changes), testbed).cases}

    found = digests()
    assert len(set(found.values())) == 3
    assert found["b1-proxy"] == found["b2-proxy"] == digests(seed=7, repetitions=9, title="other")["b9-proxy"]
    others = [
        digests(webs=5),
        digests(load={"concurrency": 201, "seconds": 5}),
        digests(tuning="seed"),
        digests(Testbed(network=Network(port=81))),
        digests(arms={"proxy": {"retries": 1}}),
    ]
    assert len({found["b1-proxy"], *(it["b1-proxy"] for it in others)}) == 6
    # The content of the profiles counts, not their name alone.
    shutil.copytree(project_root() / "params", tmp_path / "params")
    path = tmp_path / "params/profiles/recommended-web.yml"
    path.write_text(path.read_text().replace("value: 65535", "value: 65534"))
    before = make_plan(scenario(), Testbed()).digest
    monkeypatch.setattr("bmtlib.params.load_yaml.project_root", lambda: tmp_path)
    assert make_plan(scenario(), Testbed()).digest != before
    assert digests()["b1-proxy"] != found["b1-proxy"]
    assert digests(tuning="none") == digests(tuning="none")


def test_chosen_combinations() -> None:
    listed = [{"file_size": "1 KiB", "concurrency": 50}, {"file_size": "64 KiB", "concurrency": 400}]
    it = scenario(combinations=listed, factors={"threads": [1, 2]}, repetitions=1, order="listed")
    assert order(it) == [
        "b1-direct-file_size-1kib-concurrency-50",
        "b1-direct-file_size-64kib-concurrency-400",
        "b1-proxy-file_size-1kib-concurrency-50-threads-1",
        "b1-proxy-file_size-1kib-concurrency-50-threads-2",
        "b1-proxy-file_size-64kib-concurrency-400-threads-1",
        "b1-proxy-file_size-64kib-concurrency-400-threads-2",
        "b1-l2dsr-file_size-1kib-concurrency-50",
        "b1-l2dsr-file_size-64kib-concurrency-400",
    ]
    loads = {case.load.file_size: case.load.concurrency for case in make_plan(it, Testbed()).cases}
    assert loads == {1024: 50, 65_536: 400}
    threads = [{"threads": 1}, {"threads": 2}]
    assert order(scenario(combinations=threads, repetitions=1, order="listed")) == [
        "b1-direct",
        "b1-proxy-threads-1",
        "b1-proxy-threads-2",
        "b1-l2dsr",
    ]


def test_a_plan_holds_all_blocks_that_may_be_needed() -> None:
    wish = {"min": 5, "max": 7, "until": {"ratio_interval": "5%"}}
    assert order(scenario(repetitions=wish)) == order(scenario(repetitions=7))


def test_the_table_of_a_dry_run() -> None:
    it = scenario(arms={"proxy": None}, load={"concurrency": 10, "requests": 99}, repetitions=1)
    assert rows(make_plan(it, Testbed())) == [
        {
            "case": "b1-proxy",
            "block": "1",
            "arm": "proxy",
            "engine": "haproxy",
            "threads": "1",
            "concurrency": "10",
            "ends after": "99 requests",
            "file size": "5 KiB",
            "keep-alive": "no",
            "warm-up": "1 s",
        }
    ]


def test_hosts_without_room_are_refused() -> None:
    testbed = Testbed(network=Network(vip="10.0.0.2", front="10.0.0.0/29"))
    with pytest.raises(InputError, match="5 clients do not fit into"):
        make_plan(scenario(clients=5), testbed)


def test_a_damaged_plan_is_refused() -> None:
    text = make_plan(scenario(), Testbed()).to_json()
    for cut in range(0, len(text) - 2, 97):
        with pytest.raises(InputError, match="not a plan"):
            plan_from_json(text[:cut])
    data = json.loads(text)
    for change in ({"seed": "2022"}, {"cases": [{}]}, {"more": 1}, {"testbed": {"kind": "cloud"}}):
        with pytest.raises(InputError, match="not a plan"):
            plan_from_json(json.dumps(data | change))
