from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from pydantic import ValidationError

from bmtlib.params.arms import DirectArm, L2dsrArm, LvsTimeouts, ProxyArm
from bmtlib.params.check import check
from bmtlib.params.document import read_document
from bmtlib.params.factors import Combination, Factors, combinations, level_text, slug
from bmtlib.params.load_yaml import to_yaml
from bmtlib.params.repetitions import Repetitions
from bmtlib.params.resolve import resolve
from bmtlib.params.scenario import Load, Scenario
from bmtlib.params.units import parse_share, parse_size, size_text

GOOD: dict[str, Any] = {
    "title": "A",
    "question": "B",
    "arms": {"direct": None, "proxy": {"threads": 2}, "l2dsr": {}},
    "load": {"concurrency": 200, "seconds": 5},
}


def scenario(**changes: Any) -> Scenario:
    return Scenario.model_validate(GOOD | changes)


def test_defaults_are_the_studys_and_the_contracts() -> None:
    it = scenario()
    assert it.arms == {"direct": DirectArm(), "proxy": ProxyArm(threads=2), "l2dsr": L2dsrArm()}
    assert (it.webs, it.clients, it.repetitions, it.order, it.seed, it.tuning) == (
        4,
        4,
        3,
        "shuffled",
        2022,
        "recommended",
    )
    assert (it.load.file_size, it.load.ignore_socket_errors, it.load.timeout_s) == (5120, True, 30)
    assert it.arms["proxy"].timeouts.connect == "210s"


def test_an_arm_of_another_name_has_the_kind_it_says() -> None:
    it = scenario(arms={"proxy-a": {"kind": "proxy"}, "proxy-b": {"kind": "proxy", "threads": 4}})
    assert it.arms == {"proxy-a": ProxyArm(), "proxy-b": ProxyArm(threads=4)}


def test_nothing_can_be_changed() -> None:
    it = scenario()
    with pytest.raises(ValidationError):
        it.webs = 5  # type: ignore[misc]


def test_texts_of_a_user_are_only_texts() -> None:
    text = 'it\'s "$(reboot)" `id` <script>alert(1)</script> {{ x }} %s \\ 한국어'
    it = scenario(title=text, question=text)
    read, errors = check(read_document(to_yaml(it), "f.yml"), Scenario)
    assert errors == []
    assert read == it
    assert read.title == text


@pytest.mark.parametrize(
    ("text", "size"), [("1 B", 1), ("5 KiB", 5120), ("5KiB", 5120), ("3 MiB", 3 * 1024**2), ("1 GiB", 1024**3)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size
    assert scenario(load={"concurrency": 9, "seconds": 1, "file_size": text}).load.file_size == size


@pytest.mark.parametrize(
    "size", ["5", "5 KB", "5kib", "-5 KiB", "1.5 KiB", "5  KiB", "5 KiB;", "", "0 B", "2 GiB", 0, True, None]
)
def test_what_is_no_size_is_refused(size: object) -> None:
    with pytest.raises(ValidationError):
        scenario(load={"concurrency": 9, "seconds": 1, "file_size": size})


def test_any_size_comes_back_from_its_text() -> None:
    chance = random.Random(3)
    for _ in range(500):
        size = chance.randrange(1, 2 ** chance.randrange(1, 31))
        assert parse_size(size_text(size)) == size


def test_combinations_leave_threads_to_proxies() -> None:
    factors = scenario(factors={"threads": [1, 2], "file_size": ["1 KiB", 5120], "keepalive": [False, True]}).factors
    assert len(combinations(factors, "proxy")) == 8
    assert combinations(factors, "direct") == [
        {"file_size": 1024, "keepalive": False},
        {"file_size": 1024, "keepalive": True},
        {"file_size": 5120, "keepalive": False},
        {"file_size": 5120, "keepalive": True},
    ]
    assert combinations(scenario().factors, "proxy") == [{}]


def test_combinations_leave_the_director_out_of_the_direct_arm() -> None:
    levers = {"a": {"text": "x"}, "b": {"text": "y"}}
    factors = scenario(levers=levers, factors={"lever": ["a", "b"], "queues": [1, 2]}).factors
    assert combinations(factors, "direct") == [{}]
    for kind in ("proxy", "l2dsr", "l3dsr", "nat"):
        assert combinations(factors, kind) == [
            {"queues": queues, "lever": lever} for queues in (1, 2) for lever in ("a", "b")
        ]


def test_a_combination_may_name_every_factor() -> None:
    assert Combination.__annotations__.keys() == Factors.__annotations__.keys()


def test_shares() -> None:
    assert [parse_share(text) for text in ("5%", "2.5 %", "0.1%", "50%", 0.05)] == [0.05, 0.025, 0.001, 0.5, 0.05]
    for text in ("5", "five%", "5%%", "-5%", "5 percent", "100%", "1e1%", "٥%", ""):
        with pytest.raises(ValueError, match="is not a share such as '5%'"):
            parse_share(text)


def test_a_goal_for_repetitions_comes_back_from_yaml() -> None:
    wish = {"min": 6, "max": 9, "until": {"ratio_interval": "2.5%", "of": "l2dsr", "over": "proxy"}}
    values = {"title": "A", "question": "B", "arms": {"proxy": None, "l2dsr": None}}
    it = Scenario.model_validate(values | {"load": {"concurrency": 10, "seconds": 1}, "repetitions": wish})
    assert isinstance(it.repetitions, Repetitions)
    assert (it.repetitions.min, it.repetitions.until.ratio_interval) == (6, 0.025)
    assert check(read_document(to_yaml(it), "again.yml"), Scenario) == (it, [])


def test_names_of_levels() -> None:
    levels: dict[str, Any] = {"file_size": 64 * 1024, "concurrency": 200, "keepalive": False, "threads": 2}
    assert slug("proxy", levels) == "proxy-file_size-64kib-concurrency-200-keepalive-no-threads-2"
    assert [level_text(*item) for item in levels.items()] == ["64 KiB", "200", "no", "2"]
    assert slug("nat", {"lever": "small-ring", "queues": 2}) == "nat-lever-small-ring-queues-2"


def test_resolve_changes_only_what_a_level_stands_for() -> None:
    load, arm = Load(concurrency=10, requests=100), ProxyArm(retries=1)
    levels = {"file_size": 1, "concurrency": 100, "keepalive": True, "threads": 8}
    new_load, new_arm = resolve(load, arm, levels)
    assert new_load == Load(concurrency=100, requests=100, file_size=1, keepalive=True)
    assert new_arm == ProxyArm(retries=1, threads=8)
    assert resolve(load, arm, {}) == resolve(load, arm, {"queues": 2, "lever": "small-ring"}) == (load, arm)
    assert resolve(load, DirectArm(), {"threads": 2})[1] == DirectArm()
    with pytest.raises(ValidationError, match="101 is more than the 100 requests"):
        resolve(load, arm, {"concurrency": 101})


def test_thresholds_of_lvs() -> None:
    assert L2dsrArm(upper_threshold=100, lower_threshold=75).lower_threshold == 75
    assert L2dsrArm(upper_threshold=100, engine="ipvs").lower_threshold == 0
    assert L2dsrArm(upper_threshold=35_000, lower_threshold=35_000), "as in the seed study"
    with pytest.raises(ValidationError, match="must not be above upper_threshold"):
        L2dsrArm(upper_threshold=100, lower_threshold=101)


@pytest.mark.parametrize("kind", ["l2dsr", "l3dsr", "nat"])
def test_settings_of_lvs(kind: str) -> None:
    arm = {"scheduler": "wlc", "weights": [1, 2, 3, 20], "timeouts": {"tcp_fin": 10}, "conntrack": False}
    found = scenario(arms={kind: arm}).arms[kind]
    assert found.weights == (1, 2, 3, 20)
    assert found.of_lvs_alone() == {
        "scheduler": "wlc",
        "weights": (1, 2, 3, 20),
        "timeouts": LvsTimeouts(tcp_fin=10),
        "conntrack": False,
    }
    assert scenario(arms={kind: None}).arms[kind].of_lvs_alone() == {}
    with pytest.raises(ValidationError, match="needs one for each of the 5 web hosts, found 4"):
        scenario(arms={kind: arm}, webs=5)
    with pytest.raises(ValidationError, match="more than 20 times"):
        scenario(arms={kind: arm | {"weights": [1, 2, 3, 21]}})
    with pytest.raises(ValidationError, match="takes no notice of weights"):
        scenario(arms={kind: arm | {"scheduler": "lc"}})
    assert scenario(arms={kind: {"scheduler": "rr", "weights": [2, 2, 2, 2]}})


def test_random_damage_is_always_explained() -> None:
    """Whatever stands somewhere in the values: it is accepted, or every line of the errors names a key."""
    chance = random.Random(5)
    claim = {"text": "x", "metric": "wait_p50_ms", "of": {"arm": "nat"}, "is": "above", "limit": 1}
    lever = {"text": "x", "nic": {"ring_rx": 64, "features": {"gro": False}}, "irq": {"cpus": "all"}}
    whole = Scenario.model_validate(
        GOOD
        | {"factors": {"file_size": [1], "threads": [1], "queues": [1], "lever": ["a"]}, "probes": ["nstat"]}
        | {"arms": {"proxy": {}, "nat": {"scheduler": "wrr", "weights": [1, 2, 3, 4], "timeouts": {"tcp": 9}}}}
        | {"levers": {"a": lever}, "claims": [claim]}
    )
    junk = [None, True, -1, 0, 3, 10**400, 1.5, "", "x", "proxy", [], [1, 1], ["a"], {}, {"kind": "proxy"}, {"a": {}}]
    for _ in range(600):
        data = copy.deepcopy(whole.model_dump(mode="json"))
        spot: Any = data
        while True:
            keys = list(spot) if isinstance(spot, dict) else list(range(len(spot)))
            key = chance.choice(keys)
            if isinstance(spot[key], dict | list) and spot[key] and chance.random() < 0.7:
                spot = spot[key]
                continue
            break
        if isinstance(spot, dict) and chance.random() < 0.3:
            spot[f"{key}x"] = spot.pop(key)
        else:
            spot[key] = chance.choice(junk)
        document = read_document("{}", "f.yml")
        found, errors = check(type(document)(data=data, places=document.places, written={}), Scenario)
        assert (found is None) == bool(errors)
        assert all(line.startswith("f.yml: ") and "\n" not in line for line in errors)
        assert not any("Input should be" in line for line in errors), errors
