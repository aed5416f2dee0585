"""Which images are taken, and into which split each goes: seeded, by class, twins kept together."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from tools.errors import DataError
from tools.layout import SPLITS

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


def split_groups(groups: Sequence[Sequence[T]], shares: Mapping[str, float]) -> dict[str, list[T]]:
    """Deal groups out so that each split gets its share of items, and no group is in two splits.

    Args:
        groups: In random order; the items of one group stay together.
        shares: Of each split, with sum 1.

    Returns:
        Items of each split.

    Raises:
        DataError: Fewer groups than splits.
    """
    if len(groups) < len(shares):
        raise DataError(
            f"{len(groups)} different images for {len(shares)} splits;"
            " every split needs at least one of each class"
        )
    total = sum(len(group) for group in groups)
    dealt: dict[str, list[T]] = {split: [] for split in shares}
    for group in sorted(groups, key=len, reverse=True):
        # Every split gets its first group before the largest deficit decides.
        neediest = max(
            shares, key=lambda split: (not dealt[split], shares[split] * total - len(dealt[split]))
        )
        dealt[neediest].extend(group)
    return dealt


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
