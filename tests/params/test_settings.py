from __future__ import annotations

import pytest

from bmtlib.errors import InputError
from bmtlib.params.load_yaml import load_inputs, load_scenario, load_testbed
from bmtlib.params.scenario import ProxyArm


def test_settings_go_over_the_file() -> None:
    it = load_scenario(
        "quick",
        ["load.concurrency=400", "arms.proxy.threads=2", "factors.file_size=[1 KiB, 5 KiB]", "title=Is it: a $(test)?"],
    )
    assert it.load.concurrency == 400
    assert it.load.seconds == load_scenario("quick").load.seconds
    assert it.arms["proxy"] == ProxyArm(threads=2)
    assert it.factors == {"file_size": (1024, 5120)}
    assert it.title == "Is it: a $(test)?"


def test_the_last_of_two_counts_and_a_whole_may_be_set_before_its_part() -> None:
    it = load_scenario("quick", ["webs=5", "webs=6", "load={concurrency: 10, requests: 90}", "load.concurrency=20"])
    assert it.webs == 6
    assert (it.load.concurrency, it.load.requests, it.load.seconds) == (20, 90, None)


def test_an_arm_may_be_added_as_a_whole_or_be_made_of_nothing() -> None:
    it = load_scenario("quick", ["arms={proxy-a: {kind: proxy}}", "arms.proxy-b={kind: proxy}", "arms.direct="])
    assert list(it.arms) == ["proxy-a", "proxy-b", "direct"]
    assert load_scenario("quick", ["arms.direct.kind=direct"]) == load_scenario("quick")


def test_the_testbed_has_its_prefix() -> None:
    scenario, testbed = load_inputs("quick", "netns", ["testbed.placement.director_cpus=1", "webs=3"])
    assert (scenario.webs, testbed.placement.director_cpus) == (3, "1")
    assert load_testbed("netns", ["testbed.network.port=8080"]).network.port == 8080


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ("load.concurency=4", "load.concurency: unknown key; did you mean 'concurrency'?"),
        ("lod.concurrency=4", "lod: unknown key; did you mean 'load'?"),
        ("arms.prxy.threads=2", "arms.prxy: no such arm; did you mean 'proxy'?"),
        ("arms.proxy.thread=2", "arms.proxy.thread: unknown key; did you mean 'threads'?"),
        ("load.concurrency.x=4", "load.concurrency is 200, which has no keys; set it as a whole"),
        ("load.concurrency=many", "load.concurrency: expected a whole number, found the text 'many'"),
        ("load.concurrency=", "load.concurrency: expected a whole number, found nothing"),
        ("load.keepalive=1", "load.keepalive: expected true or false, found 1"),
        ("title=on", "title: expected a text, found true (so YAML reads on; quotes make it a text)"),
        ("factors.threads=[1, x]", "factors.threads[1]: expected a whole number, found the text 'x'"),
        ("factors.threads=[1", "1: not valid YAML"),
        ("tuning=sead", "tuning: no such set of profiles; did you mean 'seed'?"),
        ("load.concurrency", "expected a key path and a value, such as load.concurrency=400"),
        ("=4", "expected a key path and a value, such as load.concurrency=400"),
        ("load..x=4", "expected a key path and a value, such as load.concurrency=400"),
        (
            "load.concurrency=2",
            "load.concurrency: 2 connections cannot be spread over 4 clients: each needs one at least",
        ),
        ("testbed.placement.director_cpu=1", "placement.director_cpu: unknown key; did you mean 'director_cpus'?"),
        ("testbed.network=3", "network: expected keys and values, found 3"),
    ],
)
def test_an_error_names_the_setting(setting: str, error: str) -> None:
    with pytest.raises(InputError) as caught:
        load_inputs("quick", "netns", [setting])
    assert caught.value.what.startswith(f"--set {setting}:")
    assert error in caught.value.what
    assert "\n" not in caught.value.what


def test_a_setting_of_several_lines_is_shown_on_one() -> None:
    with pytest.raises(InputError) as caught:
        load_inputs("quick", "netns", ["webs=4\n\x1b[31mred"])
    assert caught.value.what.splitlines() == [
        r"--set 'webs=4\n\x1b[31mred': webs: expected a whole number, found the text '4\n\x1b[31mred'"
    ]


def test_all_errors_at_once() -> None:
    with pytest.raises(InputError) as caught:
        load_inputs("quick", "netns", ["webs=0", "load.secnds=1", "repetitions=x", "testbed.kind=wm"])
    assert len(caught.value.what.splitlines()) == 4
