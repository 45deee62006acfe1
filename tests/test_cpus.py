from __future__ import annotations

import random

import pytest

from bmtlib.cpus import parse_list, to_list, to_mask


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("", set()),
        ("\n", set()),
        ("0", {0}),
        ("0-3,8\n", {0, 1, 2, 3, 8}),
        (" 1 , 3-4 ", {1, 3, 4}),
        ("3,1-3", {1, 2, 3}),
    ],
)
def test_a_list_is_read(text: str, cpus: set[int]) -> None:
    assert parse_list(text) == cpus


@pytest.mark.parametrize("text", ["a", "1-", "-1", "1,,2", "1;2", "3-1", "1 2", "0x3", "1.5", "auto", "0-9999999", "٣"])
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a list|runs backwards|no machine has"):
        parse_list(text)


def test_any_set_comes_back_from_both_notations() -> None:
    chance = random.Random(1)
    for _ in range(300):
        cpus = {chance.randrange(200) for _ in range(chance.randrange(40))}
        assert parse_list(to_list(cpus)) == cpus
        mask = to_mask(cpus)
        assert int(mask.replace(",", ""), 16) == sum(1 << cpu for cpu in cpus)
        assert all(len(word) == 8 for word in mask.split(",")[1:])


@pytest.mark.parametrize(
    ("cpus", "mask"),
    [
        ({31}, "80000000"),
        ({32}, "1,00000000"),
        (set(range(64)), "ffffffff,ffffffff"),
        ({0, 95}, "80000000,00000000,00000001"),
    ],
)
def test_a_mask_has_a_comma_after_every_32_cpus(cpus: set[int], mask: str) -> None:
    assert to_mask(cpus) == mask
