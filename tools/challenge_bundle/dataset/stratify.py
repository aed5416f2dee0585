"""Which images are taken, and into which split each goes: seeded, by class, twins kept together."""

import functools
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from challenge_bundle.errors import DataError
from challenge_bundle.layout import SPLITS

T = TypeVar("T")


def rank(seed: int, key: str) -> bytes:
    """A place in a random order that depends on the seed and the image alone, not on what else there is.

    Taking the first n by rank samples without replacement, and a larger n contains the smaller.
    """
    return hashlib.sha256(f"{seed}\0{key}".encode()).digest()


def sample(
    items: Iterable[T], count: int, seed: int, key: Callable[[T], str], stratum: Callable[[T], Hashable]
) -> list[T]:
    """Take at most `count` items of each stratum.

    Returns:
        The items taken, by rank.
    """
    taken: dict[Hashable, int] = defaultdict(int)
    chosen: list[T] = []
    for item in sorted(items, key=lambda item: rank(seed, key(item))):
        if taken[stratum(item)] < count:
            taken[stratum(item)] += 1
            chosen.append(item)
    return chosen


def stratified_sample(
    items: Iterable[T], count: int, seed: int, key: Callable[[T], str], stratum: Callable[[T], Hashable]
) -> list[T]:
    """Take `count` items in all, of each stratum its share; a larger count takes the same ones and more.

    Returns:
        The items taken, by their place within their stratum, then by rank.
    """
    strata: dict[Hashable, list[T]] = defaultdict(list)
    for item in sorted(items, key=lambda item: rank(seed, key(item))):
        strata[stratum(item)].append(item)
    placed = [
        ((place + 0.5) / len(members), rank(seed, key(item)), item)
        for members in strata.values()
        for place, item in enumerate(members)
    ]
    return [item for _, _, item in sorted(placed, key=lambda one: one[:2])[:count]]


def connect(items: Sequence[T], keys: Callable[[T], Iterable[Hashable]]) -> list[list[T]]:
    """Put together what shares a key, directly or through others.

    Returns:
        Groups, in the order of their first items, which keep theirs.
    """
    parent = list(range(len(items)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    first_with: dict[Hashable, int] = {}
    for place, item in enumerate(items):
        for key in keys(item):
            one, other = root(first_with.setdefault(key, place)), root(place)
            parent[max(one, other)] = min(one, other)
    groups: dict[int, list[T]] = defaultdict(list)
    for place, item in enumerate(items):
        groups[root(place)].append(item)
    return list(groups.values())


def split_groups(
    groups: Sequence[Sequence[T]],
    shares: Mapping[str, Mapping[str, float]],
    class_of: Callable[[T], str],
    kept: Sequence[str | None] = (),
    describe: Callable[[Sequence[T]], str] = lambda group: str(group[0]),
) -> dict[str, list[T]]:
    """Deal groups out so that each split gets its share of each class, and no group is in two splits.

    The largest group is dealt first, to the split that lacks most of what is in it. Groups that keep a split
    come before all others, so that these make up for them.

    Args:
        groups: In random order; the items of one group stay together, whatever their classes.
        shares: Of each split, with sum 1, for each class.
        class_of: The class of an item.
        kept: The split that each group keeps; None of one that is dealt. Empty deals all.
        describe: Names a group, for messages.

    Returns:
        Items of each split.

    Raises:
        DataError: A class is in fewer groups than there are splits.

    Source:
        Sechidis, Tsoumakas, Vlahavas, On the Stratification of Multi-Label Data, ECML PKDD 2011.
    """
    counts = [Counter(map(class_of, group)) for group in groups]
    totals: Counter[str] = sum(counts, Counter())
    splits = list(next(iter(shares.values())))
    _refuse_too_few(groups, class_of, len(splits), describe)
    missing = {split: {name: shares[name][split] * totals[name] for name in totals} for split in splits}
    dealt: dict[str, list[T]] = {split: [] for split in splits}
    dealt_classes: dict[str, set[str]] = {split: set() for split in splits}

    def need(split: str, count: Counter[str]) -> tuple[int, float]:
        # Every split gets its first group of a class before the largest deficit decides.
        new = len(count.keys() - dealt_classes[split])
        return new, sum(number * missing[split][name] for name, number in count.items())

    def give(place: int, split: str) -> None:
        dealt[split].extend(groups[place])
        dealt_classes[split] |= counts[place].keys()
        for name, number in counts[place].items():
            missing[split][name] -= number

    known = dict(enumerate(kept))
    for place, split in known.items():
        if split is not None:
            give(place, split)
    for place in sorted(range(len(groups)), key=lambda place: -len(groups[place])):
        if known.get(place) is None:
            give(place, max(splits, key=functools.partial(need, count=counts[place])))
    return dealt


def _refuse_too_few(
    groups: Sequence[Sequence[T]],
    class_of: Callable[[T], str],
    splits: int,
    describe: Callable[[Sequence[T]], str],
) -> None:
    of_class: dict[str, list[Sequence[T]]] = defaultdict(list)
    for group in groups:
        for class_name in set(map(class_of, group)):
            of_class[class_name].append(group)
    for class_name, having in sorted(of_class.items()):
        if len(having) < splits:
            parts = ([item for item in group if class_of(item) == class_name] for group in having)
            raise DataError(
                f"class {class_name}: {len(having)} different images or groups for {splits} splits"
                f" ({'; '.join(map(describe, parts))}); every split needs at least one of each class, so add"
                " images, of other patients where --group is used, or leave the class out"
            )


def missing_splits(given: set[str]) -> tuple[str, ...]:
    """The splits that the source does not have; they are cut from its training images.

    Raises:
        DataError: It has splits but no training images.
    """
    if given and "training" not in given:
        raise DataError(
            f"the source has {', '.join(sorted(given))} but no training images; add a train/ folder"
        )
    return tuple(split for split in SPLITS if split not in given)
