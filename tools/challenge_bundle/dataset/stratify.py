"""Which images are sampled, and into which split each goes: seeded, by stratum, related ones together."""

import functools
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from challenge_bundle.findings import ERROR, Finding
from challenge_bundle.layout import SPLITS

T = TypeVar("T")


def rank(seed: int, key: str) -> bytes:
    """A place in a random order that depends on the seed and the image alone, not on what else there is.

    Taking the first n by rank samples without replacement, and a larger n contains the smaller.
    """
    # Of names that are not UTF-8 too: they are refused after all of them were ranked.
    return hashlib.sha256(f"{seed}\0{key}".encode(errors="surrogateescape")).digest()


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
        Sets of items, in the order of their first items, which keep theirs.
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
    sets: dict[int, list[T]] = defaultdict(list)
    for place, item in enumerate(items):
        sets[root(place)].append(item)
    return list(sets.values())


def assign_sets(
    together: Sequence[Sequence[T]],
    shares: Mapping[str, Mapping[str, float]],
    strata_of: Callable[[T], Iterable[str]],
    kept: Sequence[str | None] = (),
    sizes: Mapping[str, float] | None = None,
) -> dict[str, list[T]]:
    """Assign sets of items to splits so that each split gets its share of each stratum, and no set is in two.

    The largest set is assigned first, to the split that lacks most of what is in it. Sets that keep a split
    come before all others, so that these make up for them.

    Args:
        together: In random order; the items of one set stay together, whatever their strata.
        shares: Of each split, with sum 1, for each stratum.
        strata_of: The strata of an item: its class, or each of its labels.
        kept: The split that each set keeps; None of one that is assigned. Empty assigns all.
        sizes: How many items each split should get; where several lack a set's strata alike, the one that
            lacks most items gets it. None takes the first of them.

    Returns:
        Items of each split; see find_rare_classes for when a split may lack a stratum.

    Source:
        Sechidis, Tsoumakas, Vlahavas, On the Stratification of Multi-Label Data, ECML PKDD 2011.
    """
    counts = [Counter(stratum for item in same for stratum in strata_of(item)) for same in together]
    totals: Counter[str] = sum(counts, Counter())
    splits = list(next(iter(shares.values())))
    missing = {split: {name: shares[name][split] * totals[name] for name in totals} for split in splits}
    assigned: dict[str, list[T]] = {split: [] for split in splits}
    assigned_strata: dict[str, set[str]] = {split: set() for split in splits}

    def need(split: str, count: Counter[str]) -> tuple[int, float, float]:
        # Every split gets its first set of a stratum before the largest deficit decides.
        new = len(count.keys() - assigned_strata[split])
        lack = sum(number * missing[split][name] for name, number in count.items())
        return new, lack, sizes[split] - len(assigned[split]) if sizes else 0.0

    def assign(place: int, split: str) -> None:
        assigned[split].extend(together[place])
        assigned_strata[split] |= counts[place].keys()
        for name, number in counts[place].items():
            missing[split][name] -= number

    known = dict(enumerate(kept))
    for place, split in known.items():
        if split is not None:
            assign(place, split)
    for place in sorted(range(len(together)), key=lambda place: -len(together[place])):
        if known.get(place) is None:
            assign(place, max(splits, key=functools.partial(need, count=counts[place])))
    return assigned


def find_rare_classes(
    together: Sequence[Sequence[T]],
    class_of: Callable[[T], str],
    splits: int,
    describe: Callable[[Sequence[T]], str],
) -> list[Finding]:
    """Find classes that not every split can get an image of.

    Args:
        together: Sets of items that stay in one split.
        class_of: The class of an item.
        splits: How many splits there are.
        describe: Names such a set, for messages.
    """
    of_class: dict[str, list[Sequence[T]]] = defaultdict(list)
    for same in together:
        for class_name in set(map(class_of, same)):
            of_class[class_name].append(same)
    findings = []
    for class_name, having in sorted(of_class.items()):
        if len(having) < splits:
            own = ([item for item in same if class_of(item) == class_name] for same in having)
            message = (
                f"class {class_name}: {len(having)} different images or patient groups for {splits} splits"
                f" ({'; '.join(map(describe, own))})"
            )
            hint = (
                "every split needs at least one of each class: add images, of other patients where --group"
                " is used, or leave the class out"
            )
            findings.append(Finding("class-too-small", ERROR, "", message, hint))
    return findings


def missing_splits(given: Collection[str]) -> tuple[str, ...]:
    """The splits that the source does not have; they are cut from its training images."""
    return tuple(split for split in SPLITS if split not in given)
