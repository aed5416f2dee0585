"""Sampling and splitting: seeded, growing, balanced, twins together."""

import pytest

from tools.errors import DataError
from tools.sources.splitting import missing_splits, sample, split_groups

SHARES = {"training": 0.6, "validation": 0.2, "testing": 0.2}


def test_a_larger_sample_contains_the_smaller() -> None:
    items = [f"{class_name}/{number}" for class_name in "abc" for number in range(50)]

    def take(count: int, seed: int = 0) -> set[str]:
        return set(sample(items, count, seed, str, lambda item: item[0]))

    assert len(take(5)) == 15
    assert take(5) < take(20) < take(50) == set(items)
    assert take(5) != take(5, seed=1)


def test_splits_keep_their_shares_and_groups_stay_whole() -> None:
    groups = [[f"{group}-{twin}" for twin in range(1 + group % 4)] for group in range(100)]

    dealt = split_groups(groups, {"x": SHARES}, lambda item: "x")

    total = sum(map(len, groups))
    assert sum(map(len, dealt.values())) == total
    for split, share in SHARES.items():
        assert abs(len(dealt[split]) - share * total) <= 4
    split_of = {item.split("-")[0]: split for split, items in dealt.items() for item in items}
    for split, items in dealt.items():
        assert all(split_of[item.split("-")[0]] == split for item in items)


def test_groups_that_keep_a_split_are_made_up_for() -> None:
    groups = [[f"{group}-{twin}" for twin in range(1 + group % 4)] for group in range(100)]
    kept = ["testing" if group < 20 else "validation" if group < 22 else None for group in range(100)]
    dealt = split_groups(groups, {"x": SHARES}, lambda item: "x", kept)
    total = sum(map(len, groups))
    for split, share in SHARES.items():
        assert abs(len(dealt[split]) - share * total) <= 4
    split_of = {item: split for split, items in dealt.items() for item in items}
    assert all(split_of[groups[place][0]] == split for place, split in enumerate(kept) if split)

    everything = split_groups(groups[:22], {"x": SHARES}, lambda item: "x", kept[:22])
    assert {split: bool(items) for split, items in everything.items()} == {
        "training": False,
        "validation": True,
        "testing": True,
    }


def test_three_images_fill_three_splits_and_two_do_not() -> None:
    assert {
        split: len(items)
        for split, items in split_groups([["a"], ["b"], ["c"]], {"x": SHARES}, lambda item: "x").items()
    } == {
        "training": 1,
        "validation": 1,
        "testing": 1,
    }
    with pytest.raises(DataError, match="2 different images or groups for 3 splits"):
        split_groups([["a", "twin of a"], ["b"]], {"x": SHARES}, lambda item: "x")


def test_missing_splits() -> None:
    assert missing_splits(set()) == ("training", "validation", "testing")
    assert missing_splits({"training", "testing"}) == ("validation",)
    with pytest.raises(DataError, match="no training images"):
        missing_splits({"testing"})
