"""Sampling and splitting: seeded, growing, balanced, duplicates together."""

from challenge_bundle.dataset.stratify import (
    assign_sets,
    connect,
    find_rare_classes,
    missing_splits,
    rank,
    sample,
    stratified_sample,
)
from challenge_bundle.findings import ERROR

SHARES = {"training": 0.6, "validation": 0.2, "testing": 0.2}


def test_a_larger_sample_contains_the_smaller() -> None:
    items = [f"{class_name}/{number}" for class_name in "abc" for number in range(50)]

    def take(count: int, seed: int = 0) -> set[str]:
        return set(sample(items, count, seed, str, lambda item: item[0]))

    assert len(take(5)) == 15
    assert take(5) < take(20) < take(50) == set(items)
    assert take(5) != take(5, seed=1)


def test_splits_keep_their_shares_and_groups_stay_whole() -> None:
    groups = [[f"{group}-{shot}" for shot in range(1 + group % 4)] for group in range(100)]

    assigned = assign_sets(groups, {"x": SHARES}, lambda item: "x")

    total = sum(map(len, groups))
    assert sum(map(len, assigned.values())) == total
    for split, share in SHARES.items():
        assert abs(len(assigned[split]) - share * total) <= 4
    split_of = {item.split("-")[0]: split for split, items in assigned.items() for item in items}
    for split, items in assigned.items():
        assert all(split_of[item.split("-")[0]] == split for item in items)


def test_groups_that_keep_a_split_are_made_up_for() -> None:
    groups = [[f"{group}-{shot}" for shot in range(1 + group % 4)] for group in range(100)]
    kept = ["testing" if group < 20 else "validation" if group < 22 else None for group in range(100)]
    assigned = assign_sets(groups, {"x": SHARES}, lambda item: "x", kept)
    total = sum(map(len, groups))
    for split, share in SHARES.items():
        assert abs(len(assigned[split]) - share * total) <= 4
    split_of = {item: split for split, items in assigned.items() for item in items}
    assert all(split_of[groups[place][0]] == split for place, split in enumerate(kept) if split)

    everything = assign_sets(groups[:22], {"x": SHARES}, lambda item: "x", kept[:22])
    assert {split: bool(items) for split, items in everything.items()} == {
        "training": False,
        "validation": True,
        "testing": True,
    }


def test_three_images_fill_three_splits_and_two_do_not() -> None:
    assert {
        split: len(items)
        for split, items in assign_sets([["a"], ["b"], ["c"]], {"x": SHARES}, lambda item: "x").items()
    } == {
        "training": 1,
        "validation": 1,
        "testing": 1,
    }
    (found,) = find_rare_classes([["a", "same as a"], ["b"]], lambda item: "x", 3, str)
    assert (found.code, found.severity) == ("class-too-small", ERROR)
    assert found.message.startswith("class x: 2 different images or patient groups for 3 splits")
    assert find_rare_classes([["a"], ["b"], ["c"]], lambda item: "x", 3, str) == []


def test_missing_splits() -> None:
    assert missing_splits(set()) == ("training", "validation", "testing")
    assert missing_splits({"training", "testing"}) == ("validation",)
    assert missing_splits({"testing"}) == ("training", "validation")


def test_a_stratified_sample_has_of_each_stratum_its_share_and_grows() -> None:
    items = [
        f"{stratum}{number:02d}"
        for stratum, count in (("a", 40), ("b", 20), ("c", 5))
        for number in range(count)
    ]

    def take(count: int, seed: int = 0) -> list[str]:
        return stratified_sample(items, count, seed, str, lambda item: item[0])

    for count, of_each in (
        (13, {"a": 8, "b": 4, "c": 1}),
        (26, {"a": 16, "b": 8, "c": 2}),
        (65, {"a": 40, "b": 20, "c": 5}),
    ):
        found = take(count)
        assert {name: sum(item[0] == name for item in found) for name in "abc"} == of_each
        assert take(65)[:count] == found
    assert take(65, seed=1) != take(65)
    # Within a stratum, by rank: not in the order of the names.
    of_a = [item for item in take(65) if item[0] == "a"]
    assert of_a == sorted(of_a, key=lambda item: rank(0, item))


def test_a_stratified_sample_needs_no_items_that_can_be_ordered() -> None:
    items = [{"name": "x"}, {"name": "y"}]
    assert len(stratified_sample(items, 2, 0, lambda item: "same", lambda item: item["name"])) == 2


def test_a_sample_is_by_rank_not_by_name() -> None:
    found = sample(list("abcdefgh"), 8, 3, str, lambda item: 0)
    assert found == sorted("abcdefgh", key=lambda item: rank(3, item))


def test_what_shares_a_key_directly_or_through_others_is_together() -> None:
    keys = {"a": [1], "b": [2], "c": [3], "d": [1, 2], "e": [], "f": [4, 3], "g": [5], "h": [4, 5], "i": [2]}
    assert connect("abcdefghi", keys.__getitem__) == [["a", "b", "d", "i"], ["c", "f", "g", "h"], ["e"]]
    chain = [[number, number + 1] for number in range(500)]
    order = chain[::2] + chain[1::2]
    assert connect(order, lambda item: item) == [order]


def test_the_largest_group_is_placed_first_where_most_is_missing() -> None:
    groups = [
        ["s1"],
        ["s2"],
        ["s3"],
        [f"m{number}" for number in range(4)],
        [f"l{number}" for number in range(12)],
    ]
    placed = assign_sets(groups, {"x": SHARES}, lambda item: "x")
    assert placed["training"][:12] == groups[4]
    assert "m0" in placed["validation"] + placed["testing"]


def test_too_few_groups_of_a_class_are_named_by_its_own_images() -> None:
    groups = [["x1", "y1"], ["x2"], ["x3"], ["y2", "x4"]]
    (found,) = find_rare_classes(groups, lambda item: item[0], 3, lambda same: str(same[0]))
    assert found.message.startswith("class y: 2 different ")
    assert found.message.endswith(" (y1; y2)")
